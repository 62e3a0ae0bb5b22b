"""Out of compression, in pieces and bounded: a file of a few kilobytes must fill neither the disk nor the memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Protocol, cast

from hullkit.errors import TrustError
from hullkit.tree.entry import CHUNK

#: times the compressed size; packages and layers reach 50, and zeros stay below it when gzip can do no better (1032)
MAX_RATIO = 400
#: below this output the ratio does not matter
_RATIO_FREE = 64 << 20
#: memory for the xz dictionary; xz -9 needs 65 MiB
_XZ_MEMORY = 256 << 20
#: zstd frames that need a larger window are refused; it is what ``zstd --long=27`` makes
_ZSTD_WINDOW = 1 << 27
_MAGIC = {"gz": b"\x1f\x8b", "xz": b"\xfd7zXZ\0", "zst": b"\x28\xb5\x2f\xfd"}
_BOMB = "it looks like a decompression bomb"


def compression(head: bytes) -> str:
    """How data are compressed that begin with ``head`` (six bytes are enough): "gz", "xz", "zst" or "" (not)."""
    return next((kind for kind, magic in _MAGIC.items() if head.startswith(magic)), "")


def decompress(
    blocks: Iterable[bytes], kind: str, *, max_size: int, what: str, max_ratio: int = MAX_RATIO
) -> Iterator[bytes]:
    """The decompressed stream of ``kind`` ("xz", "zst", "gz", "" for stored), in pieces of at most CHUNK bytes.

    Several streams behind each other are one (RFC 1952, RFC 8878, the .xz format). ``what`` names it in errors.
    Raises TrustError when it is damaged or cut off, or grows beyond ``max_size`` or ``max_ratio``.
    """
    consumed = produced = 0

    def counted() -> Iterator[bytes]:
        nonlocal consumed
        for block in blocks:
            consumed += len(block)
            yield block

    for piece in _plain(counted(), kind, what):
        produced += len(piece)
        if produced > max_size:
            raise TrustError(f"{what}: unfolds to more than {max_size} bytes and is refused", hint=_BOMB)
        if produced > _RATIO_FREE and produced > max_ratio * consumed:
            raise TrustError(f"{what}: unfolds to more than {max_ratio} times its size and is refused", hint=_BOMB)
        yield piece


def _plain(blocks: Iterator[bytes], kind: str, what: str) -> Iterator[bytes]:
    if kind == "":
        yield from blocks
    elif kind == "xz":
        yield from _xz(blocks, what)
    elif kind == "zst":
        yield from _zstd(blocks, what)
    elif kind == "gz":
        yield from _gzip(blocks, what)
    else:
        raise TrustError(f"{what}: compression {kind!r} is not known")


class _Decoder(Protocol):
    """One stream: what the decoders of lzma and isal have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = ...) -> bytes: ...


def _streams(blocks: Iterator[bytes], new: Callable[[], _Decoder], what: str) -> Iterator[bytes]:
    """Streams one behind another; zeros between and behind them are padding."""
    decoder = new()
    for block in blocks:
        data = block
        while data or not (decoder.needs_input or decoder.eof):
            if decoder.eof:
                data = data.lstrip(b"\0")
                if not data:
                    break
                decoder = new()
            if piece := decoder.decompress(data, CHUNK):
                yield piece
            data = decoder.unused_data if decoder.eof else b""
    if not decoder.eof:
        raise TrustError(f"{what}: cut off within its compressed data")


def _xz(blocks: Iterator[bytes], what: str) -> Iterator[bytes]:
    import lzma

    try:
        yield from _streams(blocks, lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY), what)
    except lzma.LZMAError as error:
        raise TrustError(f"{what}: damaged xz data: {error}") from error


def _gzip(blocks: Iterator[bytes], what: str) -> Iterator[bytes]:
    from isal import igzip_lib

    # the stubs of isal call the exception class an exception
    damaged = cast("type[Exception]", igzip_lib.IsalError)
    try:
        yield from _streams(blocks, lambda: igzip_lib.IgzipDecompressor(igzip_lib.DECOMP_GZIP), what)
    except damaged as error:
        raise TrustError(f"{what}: damaged gzip data: {error}") from error


#: a frame (RFC 8878) of 64 equal bytes: content size in one byte, one segment, one block that repeats a byte
_LAST = b"\xa5" * 64
_LAST_FRAME = _MAGIC["zst"] + b"\x20\x40" + b"\x03\x02\x00" + b"\xa5"


@dataclass(frozen=True, slots=True)
class _Reader:
    """Blocks as a file that can be read."""

    blocks: Iterator[bytes]

    def read(self, _size: int) -> bytes:
        return next(self.blocks, b"")


def _with_last_frame(blocks: Iterator[bytes]) -> Iterator[bytes]:
    # not on its own: libzstd forgets half a frame header when a whole frame is the next that it gets
    held = b""
    for block in blocks:
        if held:
            yield held
        held = block
    yield held and held + _LAST_FRAME  # nothing at all is cut off too


def _zstd(blocks: Iterator[bytes], what: str) -> Iterator[bytes]:
    # The library bounds what it gives only when it reads by itself, and then a frame that is cut off looks like one
    # that has ended. The frame behind them all tells: it comes out last and whole, or something was missing.
    import zstandard

    decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
    source = cast("BinaryIO", _Reader(_with_last_frame(blocks)))
    held = b""
    try:
        with decompressor.stream_reader(source, read_across_frames=True) as reader:
            while piece := reader.read(CHUNK - len(_LAST)):
                held += piece
                if len(held) > len(_LAST):
                    yield held[: -len(_LAST)]
                    held = held[-len(_LAST) :]
    except zstandard.ZstdError as error:
        raise TrustError(f"{what}: damaged zstd data: {error}") from error
    if held != _LAST:
        raise TrustError(f"{what}: cut off within its compressed data")
