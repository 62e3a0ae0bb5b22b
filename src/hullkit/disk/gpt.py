"""GUID partition tables (UEFI specification, chapter 5) for images that are written once and never edited."""

from __future__ import annotations

import hashlib
import struct
import uuid
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

SECTOR = 512
ESP = uuid.UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")
#: a store of hullkit's: erofs images under dm-verity
STORE = uuid.UUID("6f1d2c0a-3b57-4c8e-9f42-8e1b5d7a90c3")
_ENTRIES, _ENTRY_SIZE = 128, 128
_TABLE_SECTORS = _ENTRIES * _ENTRY_SIZE // SECTOR
#: bytes at the beginning (protective MBR, header, table) and at the end (table, header) of the disk
HEAD = (2 + _TABLE_SECTORS) * SECTOR
TAIL = (1 + _TABLE_SECTORS) * SECTOR


@dataclass(frozen=True, slots=True)
class Partition:
    """``offset`` and ``size`` in bytes, multiples of SECTOR."""

    kind: uuid.UUID
    name: str
    offset: int
    size: int


def partition_table(disk_size: int, partitions: Sequence[Partition], identity: bytes) -> tuple[bytes, bytes]:
    """The first HEAD and the last TAIL bytes of a disk of ``disk_size`` bytes.

    The GUIDs of disk and partitions are made of ``identity`` (what the disk holds), so that the same disk has the same.
    """
    sectors = disk_size // SECTOR
    table = b"".join(_entry(each, _guid(identity, number)) for number, each in enumerate(partitions, 1))
    table = table.ljust(_ENTRIES * _ENTRY_SIZE, b"\0")
    disk = _guid(identity, 0)
    first = _header(disk, table, sectors, here=1, other=sectors - 1, table_at=2)
    second = _header(disk, table, sectors, here=sectors - 1, other=1, table_at=sectors - 1 - _TABLE_SECTORS)
    return _protective_mbr(sectors) + first + table, table + second


def _guid(identity: bytes, number: int) -> uuid.UUID:
    digest = hashlib.sha256(b"gpt %d " % number + identity).digest()
    return uuid.UUID(bytes=digest[:16], version=4)


def _entry(partition: Partition, unique: uuid.UUID) -> bytes:
    first = partition.offset // SECTOR
    last = first + partition.size // SECTOR - 1
    name = partition.name.encode("utf-16-le")
    return struct.pack("<16s16sQQQ72s", partition.kind.bytes_le, unique.bytes_le, first, last, 0, name)


def _header(disk: uuid.UUID, table: bytes, sectors: int, *, here: int, other: int, table_at: int) -> bytes:
    usable = (2 + _TABLE_SECTORS, sectors - 2 - _TABLE_SECTORS)

    def packed(checksum: int) -> bytes:
        return struct.pack(
            "<8sIIIIQQQQ16sQIII",
            b"EFI PART",
            0x10000,
            92,
            checksum,
            0,
            here,
            other,
            *usable,
            disk.bytes_le,
            table_at,
            _ENTRIES,
            _ENTRY_SIZE,
            zlib.crc32(table),
        )

    return packed(zlib.crc32(packed(0))).ljust(SECTOR, b"\0")


def _protective_mbr(sectors: int) -> bytes:
    record = struct.pack("<B3sB3sII", 0, b"\0\x02\0", 0xEE, b"\xff\xff\xff", 1, min(sectors - 1, 0xFFFFFFFF))
    return bytes(446) + record + bytes(48) + b"\x55\xaa"
