"""Layers out of their compression: bounded, and verified against the diffID while they are written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from hullkit.errors import HostError, TrustError
from hullkit.tree.entry import CHUNK

_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
#: zstd frames that need a larger window are refused; 128 MiB is what ``zstd --long=27`` makes
_MAX_WINDOW = 1 << 27
_LOOK = 64 << 20
_READ = 64 << 10


@dataclass(frozen=True, slots=True)
class LayerLimits:
    """``size``: bytes of an uncompressed layer. ``ratio``: times its compressed size; looked at from 64 MiB on (real
    layers reach about 10). ``free``: bytes that must stay free on the disk."""

    size: int = 64 << 30
    ratio: int = 200
    free: int = 128 << 20


LAYER_LIMITS = LayerLimits()


def is_compressed(path: Path) -> bool:
    """By its first bytes, as containerd and Docker do it: media types are not always right."""
    with open(path, "rb") as stream:
        return stream.read(4).startswith((_GZIP, _ZSTD))


def decompress_layer(blob: Path, out: BinaryIO, what: str, limits: LayerLimits = LAYER_LIMITS) -> str:
    """Write the content of a compressed layer to a file; returns its sha256 digest. ``what`` names it in errors.

    TrustError when the data are damaged or unfold beyond the limits, HostError when the disk would be filled.
    """
    import hashlib

    hasher = hashlib.sha256()
    size, looked = 0, _LOOK
    most = min(limits.size, max(_LOOK, limits.ratio * blob.stat().st_size))
    for chunk in _decompressed(blob, what):
        size += len(chunk)
        if size > most:
            raise TrustError(
                f"{what}: unfolds from {blob.stat().st_size} to more than {most} bytes and is refused",
                hint="it looks like a decompression bomb",
            )
        if size >= looked:
            looked += _LOOK
            space = os.fstatvfs(out.fileno())
            if space.f_bavail * space.f_frsize < limits.free:
                raise HostError(f"{what}: unpacking it would fill the disk", hint="free some space and run it again")
        hasher.update(chunk)
        out.write(chunk)
    return f"sha256:{hasher.hexdigest()}"


def _decompressed(blob: Path, what: str) -> Iterator[bytes]:
    with open(blob, "rb") as stream:
        gzip = stream.read(4).startswith(_GZIP)
        stream.seek(0)
        yield from _gzip(stream, what) if gzip else _zstd(stream, what)


def _gzip(stream: BinaryIO, what: str) -> Iterator[bytes]:
    """All members of a gzip file (RFC 1952); zeros behind them are padding."""
    from isal import igzip_lib

    # the stubs of isal call the exception class an exception
    damaged = cast("type[Exception]", igzip_lib.IsalError)
    decoder, data = igzip_lib.IgzipDecompressor(igzip_lib.DECOMP_GZIP), b""
    while True:
        if decoder.eof:
            data = decoder.unused_data.lstrip(b"\0")
            while not data and (more := stream.read(_READ)):
                data = more.lstrip(b"\0")
            if not data:
                return
            decoder = igzip_lib.IgzipDecompressor(igzip_lib.DECOMP_GZIP)
        elif decoder.needs_input:
            data = stream.read(_READ)
            if not data:
                raise TrustError(f"{what}: truncated gzip data")
        try:
            chunk = decoder.decompress(data, CHUNK)
        except damaged as error:
            raise TrustError(f"{what}: damaged gzip data: {error}") from error
        data = b""
        if chunk:
            yield chunk


def _zstd(stream: BinaryIO, what: str) -> Iterator[bytes]:
    import zstandard

    decompressor = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW)
    with decompressor.stream_reader(stream, read_across_frames=True, closefd=False) as reader:
        while True:
            try:
                chunk = reader.read(CHUNK)
            except zstandard.ZstdError as error:
                raise TrustError(f"{what}: damaged zstd data: {error}") from error
            if not chunk:
                return
            yield chunk
