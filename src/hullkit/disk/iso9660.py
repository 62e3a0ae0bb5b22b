"""ISO 9660 images (ECMA-119): plain ones, and those that boot by EFI, from a CD through El Torito and from a disk
through a GUID partition table in the unused first sectors.

The files lie in the root directory, one after another. Dates are left out or 1970-01-01.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from hullkit.disk.gpt import TAIL, Partition, partition_table
from hullkit.errors import ConfigError
from hullkit.tree.entry import Source

SECTOR = 2048
#: files begin at multiples of this many bytes: the unit of erofs and dm-verity
ALIGNMENT = 4096
_PRIMARY, _BOOT, _END, _CATALOG, _PATHS, _PATHS_BIG, _ROOT = range(16, 23)
_FIRST_FILE = 24
_MAX_FILE = 1 << 32
_EFI_PLATFORM = 0xEF
#: El Torito counts the sectors of a boot image in 16 bits; UEFI takes 0 as "to the end of the medium"
_MAX_LOAD = 0xFFFF


@dataclass(frozen=True, slots=True)
class IsoFile:
    """``name`` in capitals, 8.3; with ``kind`` it is a partition of the GPT too, called ``label``."""

    name: str
    content: Source
    kind: uuid.UUID | None = None
    label: str = ""


@dataclass(frozen=True)
class IsoImage:
    """An image of ``files``. A Source: ``chunks()`` are its bytes. ConfigError for a file of 4 GiB and more.

    With ``identity`` (what the GUIDs of disk and partitions are made of) it boots: its first file is the EFI system
    partition.
    """

    files: Sequence[IsoFile]
    volume: str
    identity: bytes | None = None

    @staticmethod
    def first_offset() -> int:
        """Where the first file begins, in bytes."""
        return _FIRST_FILE * SECTOR

    @staticmethod
    def after(offset: int, size: int) -> int:
        """Where the file behind one of ``size`` bytes at ``offset`` begins."""
        return offset + -(-size // ALIGNMENT) * ALIGNMENT

    @cached_property
    def offsets(self) -> list[int]:
        """Where each file begins, in bytes."""
        found, offset = [], self.first_offset()
        for file in self.files:
            if file.content.size >= _MAX_FILE:
                raise ConfigError(f"{file.name} would have {file.content.size} bytes; ISO 9660 ends at 4 GiB")
            found.append(offset)
            offset = self.after(offset, file.content.size)
        return found

    @property
    def size(self) -> int:
        end = self.after(self.offsets[-1], self.files[-1].content.size)
        return -(-(end + (0 if self.identity is None else TAIL)) // SECTOR) * SECTOR

    def chunks(self) -> Iterator[bytes]:
        head, tail = self._partition_table()
        yield head.ljust(_PRIMARY * SECTOR, b"\0") + self._descriptors()
        for file in self.files:
            yield from file.content.chunks()
            if padding := -file.content.size % ALIGNMENT:
                yield bytes(padding)
        end = self.after(self.offsets[-1], self.files[-1].content.size)
        yield bytes(self.size - end - len(tail)) + tail

    def _partition_table(self) -> tuple[bytes, bytes]:
        if self.identity is None:
            return b"", b""
        partitions = [
            Partition(file.kind, file.label, offset, self.after(0, file.content.size))
            for file, offset in zip(self.files, self.offsets, strict=True)
            if file.kind is not None
        ]
        return partition_table(self.size, partitions, self.identity)

    def _descriptors(self) -> bytes:
        end = b"\xffCD001\x01"
        bootable = (self._boot_record(), end, self._catalog())
        sectors = (
            self._primary(),
            *(bootable if self.identity is not None else (end, b"", b"")),
            struct.pack("<BBIHBx", 1, 0, _ROOT, 1, 0),
            struct.pack(">BBIHBx", 1, 0, _ROOT, 1, 0),
            self._root_directory(),
        )
        if len(sectors[-1]) > SECTOR:
            raise ValueError("more files than one sector of a directory holds")
        return b"".join(each.ljust(SECTOR, b"\0") for each in sectors).ljust((_FIRST_FILE - _PRIMARY) * SECTOR, b"\0")

    def _primary(self) -> bytes:
        """8.4 of ECMA-119."""
        body = b"\x01CD001\x01\0" + bytes(b" " * 32) + self.volume.encode("ascii").ljust(32) + bytes(8)
        body += _both32(self.size // SECTOR) + bytes(32) + _both16(1) + _both16(1) + _both16(SECTOR) + _both32(10)
        body += struct.pack("<II", _PATHS, 0) + struct.pack(">II", _PATHS_BIG, 0)
        body += _record(b"\0", _ROOT, SECTOR, directory=True)
        return body + b" " * (4 * 128 + 3 * 37) + (b"0" * 16 + b"\0") * 4 + b"\x01"

    def _root_directory(self) -> bytes:
        records = [_record(name, _ROOT, SECTOR, directory=True) for name in (b"\0", b"\1")]
        places = zip(self.files, self.offsets, strict=True)
        for file, offset in sorted(places, key=lambda place: place[0].name):
            name = file.name.encode("ascii") + b";1"
            records.append(_record(name, offset // SECTOR, file.content.size, directory=False))
        return b"".join(records)

    def _boot_record(self) -> bytes:
        """El Torito 1.0, figure 7."""
        return b"\0CD001\x01" + b"EL TORITO SPECIFICATION".ljust(64, b"\0") + struct.pack("<I", _CATALOG)

    def _catalog(self) -> bytes:
        """Validation entry and default entry (El Torito 1.0, figures 2 and 3), for EFI."""
        words = struct.pack("<BBH24sHBB", 1, _EFI_PLATFORM, 0, b"", 0, 0x55, 0xAA)
        checksum = -sum(struct.unpack("<16H", words)) & 0xFFFF
        validation = struct.pack("<BBH24sHBB", 1, _EFI_PLATFORM, 0, b"", checksum, 0x55, 0xAA)
        count = -(-self.files[0].content.size // 512)
        load = count if count <= _MAX_LOAD else 0
        return validation + struct.pack("<BBHBxHI20x", 0x88, 0, 0, 0, load, self.offsets[0] // SECTOR)


def _both16(number: int) -> bytes:
    return struct.pack("<H", number) + struct.pack(">H", number)


def _both32(number: int) -> bytes:
    return struct.pack("<I", number) + struct.pack(">I", number)


def _record(name: bytes, extent: int, size: int, *, directory: bool) -> bytes:
    """A directory record (9.1 of ECMA-119)."""
    length = 33 + len(name) + (len(name) + 1) % 2
    body = bytes([length, 0]) + _both32(extent) + _both32(size) + bytes([70, 1, 1, 0, 0, 0, 0])
    body += bytes([2 if directory else 0, 0, 0]) + _both16(1) + bytes([len(name)]) + name
    return body.ljust(length, b"\0")
