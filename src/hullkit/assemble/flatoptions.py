"""What beside the configuration decides a system of the flat layout."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class SbomOptions:
    """``path`` in the system; ``current_time``: say when it was made, so that no two are equal."""

    path: str = "sbom.spdx.json"
    current_time: bool = False


@dataclass(frozen=True, slots=True)
class FlatOptions:
    """``decompress_kernel``: boot/kernel is what is compressed in the image's kernel. ``input_tar``: an earlier tar to
    copy from. ``sbom``: add LinuxKit's bill of materials. The last two are for systems without hullkit's init."""

    decompress_kernel: bool = False
    input_tar: Path | None = None
    sbom: SbomOptions | None = None
