"""FAT16 file systems (Microsoft's "FAT: General Overview of On-Disk Format"), for EFI system partitions.

Names are 8.3 in capitals; every file is one run of clusters; all times are those of FAT's beginning, 1980-01-01.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from hullkit.errors import ConfigError
from hullkit.tree.entry import CHUNK, Source

_SECTOR = 512
_ROOT_ENTRIES = 512
#: fewer clusters are a FAT12 by definition, more are a FAT32; firmware and tools count them
_MIN_CLUSTERS, _MAX_CLUSTERS = 4085 + 15, 65524
_NAME = re.compile(r"[A-Z0-9_~-]{1,8}(\.[A-Z0-9_~-]{1,3})?")
_DATE = 1 << 5 | 1  # 1980-01-01
_DIRECTORY, _ARCHIVE, _LABEL = 0x10, 0x20, 0x08


@dataclass
class _File:
    content: Source
    cluster: int = 0

    @property
    def size(self) -> int:
        return self.content.size


@dataclass
class _Directory:
    parent: _Directory | None = None
    entries: dict[str, _Directory | _File] = field(default_factory=dict)
    cluster: int = 0

    @property
    def size(self) -> int:
        """With "." and ".."; the size of a directory is in no record of FAT."""
        return (2 + len(self.entries)) * 32


@dataclass(frozen=True)
class FatImage:
    """A file system of ``files`` (path with "/" between 8.3 names → content). A Source: ``chunks()`` are its bytes.

    ConfigError for more than fits in a FAT16 of 32 KiB clusters (2 GiB). ValueError for names that FAT cannot have.
    """

    files: Mapping[str, Source]
    label: str = "HULLKIT"
    serial: int = 0x48554C4C

    def _plan(self) -> _Plan:
        root = _Directory()
        for path in sorted(self.files):
            *parents, name = path.split("/")
            directory = root
            for each in parents:
                child = directory.entries.setdefault(_checked(each), _Directory(directory))
                if not isinstance(child, _Directory):
                    raise ValueError(f"{path} is below a file")
                directory = child
            directory.entries[_checked(name)] = _File(self.files[path])
        return _Plan(root)

    @property
    def size(self) -> int:
        return self._plan().sectors * _SECTOR

    def chunks(self) -> Iterator[bytes]:
        plan = self._plan()
        yield self._boot_sector(plan)
        table = plan.table()
        yield table
        yield table
        label = _record(self.label.encode().ljust(11), _LABEL, 0, 0)
        yield (label + plan.listing(plan.root)).ljust(_ROOT_ENTRIES * 32, b"\0")
        used = 0
        for content, size in plan.contents():
            yield from content
            if padding := -size % plan.cluster:
                yield bytes(padding)
            used += -(-size // plan.cluster)
        left = (plan.clusters - used) * plan.cluster
        for start in range(0, left, CHUNK):
            yield bytes(min(CHUNK, left - start))

    def _boot_sector(self, plan: _Plan) -> bytes:
        small = plan.sectors if plan.sectors < 1 << 16 else 0
        parameters = struct.pack(
            "<3s8sHBHBHHBHHHII",
            b"\xeb\x3c\x90",
            b"HULLKIT ",
            _SECTOR,
            plan.cluster // _SECTOR,
            1,
            2,
            _ROOT_ENTRIES,
            small,
            0xF8,
            plan.table_sectors,
            63,
            255,
            0,
            0 if small else plan.sectors,
        )
        extended = struct.pack("<BBBI11s8s", 0x80, 0, 0x29, self.serial, self.label.encode().ljust(11), b"FAT16   ")
        # what a BIOS runs: int 18h, "no boot device"
        return (parameters + extended + b"\xcd\x18\xeb\xfe").ljust(510, b"\0") + b"\x55\xaa"


class _Plan:
    """Where everything goes: directories and files in clusters from 2 on, in the order of their paths."""

    def __init__(self, root: _Directory) -> None:
        self.root = root
        sizes = list(_sizes(root))
        self.cluster = _SECTOR
        while self.cluster < 32768 and self._needed(sizes, self.cluster * 2) >= _MIN_CLUSTERS:
            self.cluster *= 2
        self.clusters = max(_MIN_CLUSTERS, self._needed(sizes, self.cluster))
        if self.clusters > _MAX_CLUSTERS:
            raise ConfigError("the EFI system partition would be larger than 2 GiB")
        self.table_sectors = -(-(self.clusters + 2) * 2 // _SECTOR)
        self.sectors = 1 + 2 * self.table_sectors + _ROOT_ENTRIES * 32 // _SECTOR
        self.sectors += self.clusters * self.cluster // _SECTOR
        self._runs: list[int] = []
        self._place(root)

    @staticmethod
    def _needed(sizes: list[int], cluster: int) -> int:
        return sum(-(-size // cluster) for size in sizes)

    def _place(self, directory: _Directory) -> None:
        for child in directory.entries.values():
            child.cluster = 2 + sum(self._runs) if child.size else 0
            self._runs.append(-(-child.size // self.cluster))
            if isinstance(child, _Directory):
                self._place(child)

    def table(self) -> bytes:
        values = [0xFFF8, 0xFFFF]
        for run in self._runs:
            values += range(len(values) + 1, len(values) + run)
            values += [0xFFFF] if run else []
        return struct.pack(f"<{len(values)}H", *values).ljust(self.table_sectors * _SECTOR, b"\0")

    def listing(self, directory: _Directory) -> bytes:
        records = []
        if directory.parent is not None:
            records.append(_record(b".".ljust(11), _DIRECTORY, directory.cluster, 0))
            records.append(_record(b"..".ljust(11), _DIRECTORY, directory.parent.cluster, 0))
        for name, child in directory.entries.items():
            stem, _, extension = name.partition(".")
            short = f"{stem:8}{extension:3}".encode()
            if isinstance(child, _Directory):
                records.append(_record(short, _DIRECTORY, child.cluster, 0))
            else:
                records.append(_record(short, _ARCHIVE, child.cluster, child.size))
        return b"".join(records)

    def contents(self, directory: _Directory | None = None) -> Iterator[tuple[Iterator[bytes], int]]:
        for child in (directory or self.root).entries.values():
            if isinstance(child, _Directory):
                yield iter((self.listing(child),)), child.size
                yield from self.contents(child)
            else:
                yield child.content.chunks(), child.size


def _sizes(directory: _Directory) -> Iterator[int]:
    for child in directory.entries.values():
        yield child.size
        if isinstance(child, _Directory):
            yield from _sizes(child)


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not an 8.3 name")
    return name


def _record(name: bytes, attributes: int, cluster: int, size: int) -> bytes:
    return struct.pack("<11sBBBHHHHHHHI", name, attributes, 0, 0, 0, _DATE, _DATE, 0, 0, _DATE, cluster, size)
