"""Collecting the segments of a flat system."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from hullkit.assemble.images import SystemImage
from hullkit.assemble.kernelfiles import KERNEL_CODE, KernelFiles
from hullkit.assemble.rootfs import ROOTFS_CODE, RootFS
from hullkit.assemble.system import Segment
from hullkit.config.syntax import expand_reference
from hullkit.steps import step_id
from hullkit.tree.entry import Entry
from hullkit.tree.segment import Compression

#: quick, since a changed image is compressed while somebody waits
_LEVELS: Mapping[Compression, int] = {"none": 0, "zstd": 3, "gzip": 3}
_RELEASE_LEVELS: Mapping[Compression, int] = {"none": 0, "zstd": 19, "gzip": 9}


def records(location: str, source: str) -> dict[str, str]:
    """The pax records that say where in the YAML a member of the system comes from, and from which image."""
    return {"LINUXKIT.location": location, "LINUXKIT.source": source}


class Segments:
    """Segments in order, all compressed in one way."""

    def __init__(self, compression: Compression, *, release: bool = False) -> None:
        self._compression = compression
        self._level = (_RELEASE_LEVELS if release else _LEVELS)[compression]
        self.made: list[Segment] = []
        #: every image whose files are in a segment, and the directory where they lie
        self.images: list[tuple[SystemImage, str]] = []

    def add(self, name: str, entries: Sequence[Entry], records: Mapping[str, str] | None = None) -> None:
        """A segment of few or generated entries; none when there are none."""
        if entries:
            self._append(name, tuple(entries), records or {})

    def rootfs(self, location: str, rootfs: RootFS) -> None:
        """The files of an image."""
        identity = step_id("rootfs", rootfs.identity(), ROOTFS_CODE)
        self.images.append((rootfs.image, rootfs.prefix))
        source = expand_reference(rootfs.image.reference)
        self._append(f"{location} {rootfs.image.reference}", rootfs, records(location, source), identity)

    def kernel(self, kernel: KernelFiles) -> None:
        identity = step_id("kernel files", kernel.identity(), KERNEL_CODE)
        self.images.append((kernel.image, ""))
        source = expand_reference(kernel.image.reference)
        self._append("kernel", kernel, records("kernel", source), identity)

    def _append(self, name: str, entries: Iterable[Entry], records: Mapping[str, str], identity: str = "") -> None:
        self.made.append(Segment(name, entries, self._compression, self._level, identity, records))
