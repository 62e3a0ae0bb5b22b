"""cpio in the "newc" form, as the kernel unpacks it (Documentation/driver-api/early-userspace/buffer-format.rst)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from posixpath import normpath
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


def write_cpio(entries: Iterable[Entry], stream: BinaryIO, *, device: tuple[int, int] = (0, 0)) -> None:
    """Write one complete archive: members in the order given, the trailer, zeros to a multiple of 4 bytes.

    Inode numbers count from 1: the kernel forgets them at each trailer. A reader that does not is told archives apart
    which are put behind one another by ``device``, the device number of all members.
    A file's bytes come with its own name; its hard links carry none, and may come before it. A hard link with
    ``content`` whose file is not among the entries is a file. Times before 1970 and after 2106 are clamped.
    ConfigError for a file of 4 GiB or more, and for another hard link whose file is not among the entries.
    """
    members = [entry for entry in entries if entry.type is not EntryType.GLOBAL]
    links = _links(members)
    names: dict[int, int] = {}
    for number in links.values():
        names[number] = names.get(number, 1) + 1
    with Copier(stream) as copier:
        for own, entry in enumerate(members):
            number, content, count = own, entry.content, names.get(own, 1)
            if entry.type is EntryType.HARDLINK:
                if own in links:
                    number, content = links[own], None
                    count, entry = names[number], replace(members[number], path=entry.path)
                else:
                    entry = replace(entry, type=EntryType.FILE)
            if entry.type is not EntryType.FILE:
                number, count = own, 1  # a second symlink or device is as good as a link, and the kernel makes it so
            _write(stream, copier, entry, content, number + 1, count, device)
    stream.write(_header("TRAILER!!!", 0, 0, 0, 0, 1, 0, 0, (0, 0), (0, 0)))


def _links(members: list[Entry]) -> dict[int, int]:
    """The number of a hard link -> the number of its file."""
    wanted = {entry.target for entry in members if entry.type is EntryType.HARDLINK}
    if not wanted:
        return {}
    files = {}
    for number, entry in enumerate(members):
        if entry.type is not EntryType.HARDLINK and (path := normpath(entry.path)) in wanted:
            files[path] = number
    links = {}
    for own, entry in enumerate(members):
        if entry.type is EntryType.HARDLINK:
            number = files.get(entry.target, own)
            if number != own:
                links[own] = number
            elif entry.content is None:
                raise ConfigError(f"{entry.path!r} is a hard link to {entry.target!r}, which is not in the archive")
    return links


def _write(
    stream: BinaryIO,
    copier: Copier,
    entry: Entry,
    content: Source | None,
    inode: int,
    links: int,
    device: tuple[int, int],
) -> None:
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
    numbers = (inode, mode, entry.uid, entry.gid, count, mtime, size)
    stream.write(_header(entry.path or ".", *numbers, device, entry.rdev))
    if content is not None:
        copier.copy(content)
    else:
        stream.write(target)
    stream.write(bytes(-size % 4))


def _header(
    path: str,
    inode: int,
    mode: int,
    uid: int,
    gid: int,
    links: int,
    mtime: int,
    size: int,
    device: tuple[int, int],
    rdev: tuple[int, int],
) -> bytes:
    name = path_bytes(path) + b"\0"
    if len(name) > _MAX_NAME:
        raise ConfigError(f"{path[:60]!r}...: a name of {len(name)} bytes is too long for an initramfs")
    fields = (inode, mode, uid, gid, links, mtime, size, *device, *rdev, len(name), 0)
    header = b"070701" + b"%08X" * len(fields) % fields + name
    return header + bytes(-len(header) % 4)
