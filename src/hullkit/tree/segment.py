"""Segments of an initramfs: cpio archives, compressed, each a multiple of 4 bytes so that they can be concatenated."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, Literal, cast

from hullkit.tree.cpio import write_cpio
from hullkit.tree.entry import Entry

Compression = Literal["none", "zstd", "gzip"]

#: none: zstd divides its input among threads in a way that shows in the output, and their buffers take memory
_ZSTD_THREADS = 0


def write_segment(
    entries: Iterable[Entry],
    out_path: Path,
    compression: Compression,
    level: int,
    *,
    device: tuple[int, int] = (0, 0),
) -> None:
    """Write one segment to ``out_path``. ``level`` is the codec's own (zstd 1..22, gzip 1..9; unused for "none"),
    ``device`` as for ``write_cpio``.

    The bytes depend on the entries, the level and the codec's version, not on the machine. For errors see write_cpio.
    """
    with open(out_path, "wb") as stream:
        if compression == "none":
            write_cpio(entries, stream, device=device)
        elif compression == "zstd":
            _write_zstd(entries, stream, level, device)
        else:
            _write_gzip(entries, stream, level, device)
        stream.write(bytes(-stream.tell() % 4))


def _write_zstd(entries: Iterable[Entry], stream: BinaryIO, level: int, device: tuple[int, int]) -> None:
    import zstandard

    compressor = zstandard.ZstdCompressor(level=level, threads=_ZSTD_THREADS)
    with compressor.stream_writer(stream, closefd=False) as writer:
        write_cpio(entries, cast(BinaryIO, writer), device=device)


class _Gzip:
    """A stream that compresses; zlib writes the gzip header (window bits 16 and more) without name and time."""

    def __init__(self, stream: BinaryIO, level: int) -> None:
        self._stream = stream
        self._compressor = zlib.compressobj(level, zlib.DEFLATED, 31)

    def write(self, data: bytes) -> int:
        self._stream.write(self._compressor.compress(data))
        return len(data)

    def finish(self) -> None:
        self._stream.write(self._compressor.flush())


def _write_gzip(entries: Iterable[Entry], stream: BinaryIO, level: int, device: tuple[int, int]) -> None:
    writer = _Gzip(stream, level)
    write_cpio(entries, cast(BinaryIO, writer), device=device)
    writer.finish()
