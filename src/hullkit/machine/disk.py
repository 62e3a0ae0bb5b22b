"""Disks of a machine: new empty ones (raw, qcow2), and the CD with the metadata.

A disk's format is never guessed from its content: the guest writes that content, and a raw disk that claims to be a
qcow2 could name any file of the host as its backing file.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from pathlib import Path

from hullkit.cache import host_errors
from hullkit.context import Context
from hullkit.errors import ConfigError, NotFound
from hullkit.machine.options import Disk

QCOW2_MAGIC = b"QFI\xfb"
_CLUSTER_BITS = 16
_CLUSTER = 1 << _CLUSTER_BITS
MAX_METADATA = 16 << 20
_SECTOR = 2048


def prepare(context: Context, disks: Sequence[Disk]) -> None:
    """Make the disks that do not exist; refuse those that cannot be what they are said to be."""
    for disk in disks:
        if disk.path.exists():
            _check_existing(disk)
        elif disk.size is None:
            raise NotFound(f"--disk {disk.path}: there is no such file", hint=f"--disk {disk.path},size=1G makes one")
        else:
            context.bus.info(f"making the disk {disk.path}")
            create(disk.path, disk.size, disk.format)


def _check_existing(disk: Disk) -> None:
    if not disk.path.is_file() and not disk.path.is_block_device():
        raise ConfigError(f"--disk {disk.path}: neither a file nor a block device")
    if disk.format == "qcow2":
        with host_errors(f"--disk {disk.path}"), open(disk.path, "rb") as stream:
            if stream.read(len(QCOW2_MAGIC)) != QCOW2_MAGIC:
                raise ConfigError(f"--disk {disk.path}: not a qcow2 image", hint=f"--disk {disk.path},format=raw")


def create(path: Path, size: int, kind: str) -> None:
    """A new empty disk of ``size`` bytes that takes next to no space; never over an existing file."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    with host_errors(f"--disk {path}"):
        try:
            with open(temporary, "xb") as stream:
                if kind == "qcow2":
                    stream.write(qcow2_header(size))
                else:
                    stream.truncate(size)
            os.link(temporary, path)
        except FileNotFoundError as error:
            raise NotFound(f"--disk {path}: there is no directory {path.parent}") from error
        finally:
            temporary.unlink(missing_ok=True)


def qcow2_header(size: int) -> bytes:
    """A whole empty qcow2 image, version 3 (docs/interop/qcow2.txt of QEMU).

    Cluster 0 holds the header, 1 the refcount table, 2 its block (16-bit counts), and from 3 the L1 table; all offsets
    in the L1 table are 0: nothing is allocated.
    """
    mapped = _CLUSTER * (_CLUSTER // 8)
    l1_entries = -(-size // mapped)
    l1_clusters = max(1, -(-l1_entries * 8 // _CLUSTER))
    header = struct.pack(
        ">4sIQIIQIIQQIIQ",
        QCOW2_MAGIC,
        3,
        0,
        0,
        _CLUSTER_BITS,
        size,
        0,
        l1_entries,
        3 * _CLUSTER,
        _CLUSTER,
        1,
        0,
        0,
    )
    # incompatible, compatible and autoclear features; refcount_order 4 (16 bits); length of the header
    header += struct.pack(">QQQII", 0, 0, 0, 4, 104)
    counts = struct.pack(">H", 1) * (3 + l1_clusters)
    clusters = (header, struct.pack(">Q", 2 * _CLUSTER), counts, bytes(l1_clusters * _CLUSTER))
    return b"".join(cluster.ljust(_CLUSTER, b"\0") for cluster in clusters)


def metadata_image(data: bytes | None, directory: Path) -> Path | None:
    """The CD that LinuxKit's metadata package looks for: an ISO 9660 image with the one file ``config``."""
    if data is None:
        return None
    if len(data) > MAX_METADATA:
        raise ConfigError(f"--data: {len(data)} bytes are more than the {MAX_METADATA >> 20} MiB that are served")
    path = directory / "metadata.iso"
    path.write_bytes(iso9660("CONFIG.;1", data))
    return path


def iso9660(name: str, data: bytes) -> bytes:
    """A plain ISO 9660 level 1 image (ECMA-119) of one file in the root; the same input gives the same bytes."""
    root_at, data_at = 20, 21
    sectors = data_at + max(1, -(-len(data) // _SECTOR))
    root = _record(b"\0", root_at, _SECTOR, directory=True)
    listing = root + _record(b"\1", root_at, _SECTOR, directory=True)
    listing += _record(name.encode("ascii"), data_at, len(data), directory=False)
    parts = (
        bytes(16 * _SECTOR),
        _volume_descriptor(sectors, root),
        b"\xffCD001\x01".ljust(_SECTOR, b"\0"),
        struct.pack("<BBIHBx", 1, 0, root_at, 1, 0).ljust(_SECTOR, b"\0"),
        struct.pack(">BBIHBx", 1, 0, root_at, 1, 0).ljust(_SECTOR, b"\0"),
        listing.ljust(_SECTOR, b"\0"),
        data.ljust((sectors - data_at) * _SECTOR, b"\0"),
    )
    return b"".join(parts)


def _both16(number: int) -> bytes:
    return struct.pack("<H", number) + struct.pack(">H", number)


def _both32(number: int) -> bytes:
    return struct.pack("<I", number) + struct.pack(">I", number)


def _record(name: bytes, extent: int, size: int, *, directory: bool) -> bytes:
    """A directory record (ECMA-119, 9.1), dated 1970-01-01."""
    length = 33 + len(name) + (len(name) + 1) % 2
    body = bytes([length, 0]) + _both32(extent) + _both32(size) + bytes([70, 1, 1, 0, 0, 0, 0])
    body += bytes([2 if directory else 0, 0, 0]) + _both16(1) + bytes([len(name)]) + name
    return body.ljust(length, b"\0")


def _volume_descriptor(sectors: int, root: bytes) -> bytes:
    """The primary volume descriptor (ECMA-119, 8.4)."""
    text = b" "
    body = b"\x01CD001\x01\0" + text.ljust(32) + b"METADATA".ljust(32) + bytes(8) + _both32(sectors) + bytes(32)
    body += _both16(1) + _both16(1) + _both16(_SECTOR) + _both32(10)
    body += struct.pack("<II", 18, 0) + struct.pack(">II", 19, 0) + root
    body += text.ljust(4 * 128) + text.ljust(3 * 37) + (b"0" * 16 + b"\0") * 4 + b"\x01"
    return body.ljust(_SECTOR, b"\0")
