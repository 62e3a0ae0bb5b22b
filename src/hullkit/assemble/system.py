"""What assembly produces and every output format takes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from hullkit.tree.entry import Entry, Source

Compression = Literal["none", "zstd"]


@dataclass(frozen=True, slots=True)
class Segment:
    """A run of entries that becomes one cpio archive of the initramfs.

    The kernel unpacks segments one after another; no hard link crosses from one to the next, since the kernel
    forgets links at each trailer (init/initramfs.c). ``compression`` is "none" for what is compressed already.
    """

    name: str
    entries: tuple[Entry, ...]
    compression: Compression = "none"


@dataclass(frozen=True, slots=True)
class System:
    """A bootable system: ``segments`` in order make the initramfs; ``kernel`` is None for a tree without one."""

    name: str
    arch: str
    layout: Literal["flat", "packed"]
    kernel: Source | None
    cmdline: str
    ucode: Source | None
    segments: tuple[Segment, ...]

    def entries(self) -> Iterator[Entry]:
        """All entries of the tree, segment by segment."""
        for segment in self.segments:
            yield from segment.entries
