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
from hullkit.disk.iso9660 import IsoFile, IsoImage
from hullkit.errors import ConfigError, NotFound
from hullkit.machine.options import Disk
from hullkit.tree.entry import Bytes

QCOW2_MAGIC = b"QFI\xfb"
_CLUSTER_BITS = 16
_CLUSTER = 1 << _CLUSTER_BITS
MAX_METADATA = 16 << 20


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
    """The CD that LinuxKit's metadata package looks for: an ISO 9660 image with the one file ``config``.

    ``CONFIG.`` is what ECMA-119 makes of that name; Linux gives it without the dot.
    """
    if data is None:
        return None
    if len(data) > MAX_METADATA:
        raise ConfigError(f"--data: {len(data)} bytes are more than the {MAX_METADATA >> 20} MiB that are served")
    path = directory / "metadata.iso"
    with open(path, "wb") as stream:
        stream.writelines(IsoImage([IsoFile("CONFIG.", Bytes(data))], "METADATA").chunks())
    return path
