"""cpio in the "newc" form, as the kernel unpacks it (Documentation/driver-api/early-userspace/buffer-format.rst)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import BinaryIO

from hullkit.errors import ConfigError
from hullkit.tree.copier import Copier
from hullkit.tree.entry import Entry, EntryType, Source
from hullkit.tree.tree import path_bytes

_S_IFMT = {
    EntryType.FILE: 0o100000,
    EntryType.DIR: 0o040000,
    EntryType.SYMLINK: 0o120000,
    EntryType.CHAR: 0o020000,
    EntryType.BLOCK: 0o060000,
    EntryType.FIFO: 0o010000,
}
_MAX = 0xFFFFFFFF
#: the kernel refuses longer names (init/initramfs.c, N_ALIGN and PATH_MAX)
_MAX_NAME = 4096


def write_cpio(entries: Iterable[Entry], stream: BinaryIO) -> None:
    """Write one complete archive: members in the order given, the trailer, zeros to a multiple of 4 bytes.

    Inode numbers count from 1, so that archives which are put behind one another stay apart: the kernel forgets them at
    each trailer. A file's bytes come with its first name; its hard links carry none. Times before 1970 and after 2106
    are clamped. ConfigError for a file of 4 GiB or more, and for a hard link whose file is not among the entries.
    """
    members = list(entries)
    files = {entry.path: number for number, entry in enumerate(members) if entry.type is not EntryType.HARDLINK}
    links: dict[int, int] = {}
    for entry in members:
        if entry.type is EntryType.HARDLINK:
            number = _linked(entry, files)
            links[number] = links.get(number, 1) + 1
    with Copier(stream) as copier:
        for own, entry in enumerate(members):
            number, content, count = own, entry.content, links.get(own, 1)
            if entry.type is EntryType.HARDLINK:
                number = files[entry.target]
                count, entry = links[number], replace(members[number], path=entry.path)
            if entry.type is not EntryType.FILE:
                number, count = own, 1  # a second symlink or device is as good as a link, and the kernel makes it so
            _write(stream, copier, entry, content, number + 1, count)
    stream.write(_header("TRAILER!!!", 0, 0, 0, 0, 1, 0, 0, (0, 0)))


def _linked(entry: Entry, files: dict[str, int]) -> int:
    number = files.get(entry.target)
    if number is None:
        raise ConfigError(f"{entry.path!r} is a hard link to {entry.target!r}, which is not in the archive")
    return number


def _write(stream: BinaryIO, copier: Copier, entry: Entry, content: Source | None, inode: int, links: int) -> None:
    target = path_bytes(entry.target) if entry.type is EntryType.SYMLINK else b""
    size = content.size if content is not None else len(target)
    if size > _MAX:
        raise ConfigError(
            f"{entry.path!r} has {size} bytes; an initramfs cannot hold files of 4 GiB or more",
            hint="use a format with a disk or an erofs image",
        )
    mode = _S_IFMT[entry.type] | entry.mode
    count = 2 if entry.type is EntryType.DIR else links
    mtime = min(max(entry.mtime, 0), _MAX)
    stream.write(_header(entry.path or ".", inode, mode, entry.uid, entry.gid, count, mtime, size, entry.rdev))
    if content is not None:
        copier.copy(content)
    else:
        stream.write(target)
    stream.write(bytes(-size % 4))


def _header(
    path: str, inode: int, mode: int, uid: int, gid: int, links: int, mtime: int, size: int, rdev: tuple[int, int]
) -> bytes:
    name = path_bytes(path) + b"\0"
    if len(name) > _MAX_NAME:
        raise ConfigError(f"{path[:60]!r}...: a name of {len(name)} bytes is too long for an initramfs")
    fields = (inode, mode, uid, gid, links, mtime, size, 0, 0, *rdev, len(name), 0)
    header = b"070701" + b"%08X" * len(fields) % fields + name
    return header + bytes(-len(header) % 4)
