"""Layers out of their compression: bounded, and with the digest of what they unfold to."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from hullkit.errors import HostError
from hullkit.tree.decompress import MAX_RATIO, compression, decompress
from hullkit.tree.entry import FileSlice

_LOOK = 64 << 20


@dataclass(frozen=True, slots=True)
class LayerLimits:
    """``size``: bytes of an uncompressed layer. ``ratio``: times its compressed size. ``free``: bytes that must stay
    free on the disk."""

    size: int = 64 << 30
    ratio: int = MAX_RATIO
    free: int = 128 << 20


LAYER_LIMITS = LayerLimits()


def is_compressed(path: Path) -> bool:
    """By its first bytes, as containerd and Docker do it: media types are not always right."""
    return bool(_kind(path))


def _kind(path: Path) -> str:
    with open(path, "rb") as stream:
        return compression(stream.read(8))


def decompress_layer(blob: Path, out: BinaryIO, what: str, limits: LayerLimits = LAYER_LIMITS) -> str:
    """Write the content of a compressed layer to a file; returns its sha256 digest. ``what`` names it in errors.

    TrustError when the data are damaged or unfold beyond the limits, HostError when the disk would be filled.
    """
    import hashlib

    hasher = hashlib.sha256()
    size, looked = 0, _LOOK
    packed = FileSlice(blob, 0, blob.stat().st_size)
    for chunk in decompress(packed.chunks(), _kind(blob), max_size=limits.size, max_ratio=limits.ratio, what=what):
        size += len(chunk)
        if size >= looked:
            looked += _LOOK
            space = os.fstatvfs(out.fileno())
            if space.f_bavail * space.f_frsize < limits.free:
                raise HostError(f"{what}: unpacking it would fill the disk", hint="free some space and run it again")
        hasher.update(chunk)
        out.write(chunk)
    return f"sha256:{hasher.hexdigest()}"
