"""Decompression in pieces, bounded: an archive of a few kilobytes must not fill the disk or the memory."""

from __future__ import annotations

import lzma
from collections.abc import Iterable, Iterator
from typing import Any

from hullkit.errors import TrustError

CHUNK = 1 << 20
#: memory for the xz dictionary; xz -9 needs 65 MiB
_XZ_MEMORY = 256 << 20
_ZSTD_WINDOW = 128 << 20
_ZSTD_INPUT = 4 << 10
#: real archives reach 50:1; kernels' and zeros' worst cases stay below
RATIO_MAX = 400
#: below this output the ratio does not matter
_RATIO_FREE = 64 << 20


def decompress(blocks: Iterable[bytes], kind: str, *, max_size: int, what: str) -> Iterator[bytes]:
    """The decompressed stream of ``kind`` ("xz", "zst", "gz", "" for stored), in pieces of about CHUNK bytes.

    Raises TrustError when the data is damaged, grows beyond ``max_size`` or by an absurd ratio.
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
            raise TrustError(f"{what}: unpacks to more than {max_size} bytes")
        if produced > _RATIO_FREE and produced > RATIO_MAX * consumed:
            raise TrustError(f"{what}: unpacks to more than {RATIO_MAX} times its size")
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


def _xz(blocks: Iterator[bytes], what: str) -> Iterator[bytes]:
    decoder: lzma.LZMADecompressor | None = None
    try:
        for block in blocks:
            data = block
            while data or (decoder is not None and not decoder.needs_input and not decoder.eof):
                if decoder is None:
                    decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)
                yield decoder.decompress(data, CHUNK)
                data = b""
                if decoder.eof:
                    # Several streams may follow one another, with padding of zero bytes between them.
                    data, decoder = decoder.unused_data.lstrip(b"\0"), None
    except lzma.LZMAError as error:
        raise TrustError(f"{what}: damaged xz data: {error}") from error
    if decoder is not None:
        raise TrustError(f"{what}: xz data is cut off")


def _zstd(blocks: Iterator[bytes], what: str) -> Iterator[bytes]:
    import zstandard

    # The library gives all that an input holds at once, so the input is cut small: a block of 4 bytes may hold 128 KiB.
    decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
    decoder: Any = None
    out = bytearray()
    try:
        for block in blocks:
            for start in range(0, len(block), _ZSTD_INPUT):
                data = block[start : start + _ZSTD_INPUT]
                while data:
                    decoder = decoder or decompressor.decompressobj()
                    out += decoder.decompress(data)
                    data = b""
                    if decoder.eof:
                        data, decoder = decoder.unused_data, None
                if len(out) >= CHUNK:
                    yield bytes(out)
                    out.clear()
    except zstandard.ZstdError as error:
        raise TrustError(f"{what}: damaged zstd data: {error}") from error
    if decoder is not None:
        raise TrustError(f"{what}: zstd data is cut off")
    yield bytes(out)


def _gzip(blocks: Iterator[bytes], what: str) -> Iterator[bytes]:
    import zlib

    decoder = None
    try:
        for block in blocks:
            data = block
            while data:
                decoder = decoder or zlib.decompressobj(wbits=31)
                yield decoder.decompress(data, CHUNK)
                data = decoder.unconsumed_tail
                if decoder.eof:
                    data, decoder = decoder.unused_data.lstrip(b"\0"), None
    except zlib.error as error:
        raise TrustError(f"{what}: damaged gzip data: {error}") from error
    if decoder is not None:
        raise TrustError(f"{what}: gzip data is cut off")
