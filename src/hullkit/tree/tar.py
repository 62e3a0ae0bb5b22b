"""tar (POSIX.1-2001 pax interchange format): entries to bytes, and back (``read_tar``, see ``tar_reader``)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from struct import Struct
from typing import BinaryIO

from hullkit.errors import ConfigError
from hullkit.tree.copier import Copier
from hullkit.tree.entry import Entry, EntryType
from hullkit.tree.tar_reader import LIMITS, TarLimits, read_tar
from hullkit.tree.tree import path_bytes

__all__ = ["LIMITS", "TarLimits", "read_tar", "write_tar", "write_tar_groups"]

BLOCK = 512
_HEADER = Struct("100s8s8s8s12s12s8sc100s8s32s32s8s8s155s12x")
_TYPE = {
    EntryType.FILE: b"0",
    EntryType.HARDLINK: b"1",
    EntryType.SYMLINK: b"2",
    EntryType.CHAR: b"3",
    EntryType.BLOCK: b"4",
    EntryType.DIR: b"5",
    EntryType.FIFO: b"6",
    EntryType.GLOBAL: b"g",
}
_MAX_SEVEN = 0o7777777
_MAX_ELEVEN = 0o77777777777

#: extra pax records, such as where an entry came from
Records = Mapping[str, str]


def write_tar(entries: Iterable[Entry], stream: BinaryIO, *, records: Records | None = None) -> None:
    """Write a tar archive with its two end blocks; the same entries give the same bytes.

    Pax records are written only for what a ustar header cannot hold, for extended attributes (``SCHILY.xattr.NAME``),
    for ``Entry.pax``, and for what ``records`` gives. No user or group names are written.
    """
    write_tar_groups([(entries, records or {})], stream)


def write_tar_groups(
    groups: Iterable[tuple[Iterable[Entry], Records]], stream: BinaryIO, *, verbatim: bool = False
) -> None:
    """Write one archive of several groups of entries, each with records for all its entries.

    ``verbatim``: names as they are; otherwise those of directories end with a slash.
    """
    with Copier(stream) as copier:
        for entries, records in groups:
            for entry in entries:
                stream.write(tar_header(entry, records, verbatim=verbatim))
                if entry.content is not None and entry.type is EntryType.FILE:
                    copier.copy(entry.content)
                    stream.write(bytes(-entry.content.size % BLOCK))
    stream.write(bytes(2 * BLOCK))


def tar_header(entry: Entry, records: Records, *, verbatim: bool = False) -> bytes:
    """The header blocks of an entry: a pax extended header if it needs one, then ustar."""
    path = path_bytes(entry.path) or b"."
    pax = {path_bytes(key): value for key, value in entry.pax}
    for key, text in records.items():
        pax[path_bytes(key)] = path_bytes(text)
    if entry.type is EntryType.GLOBAL:
        return _extended(path[:100], pax, b"g")
    if entry.type is EntryType.DIR and not verbatim:
        path += b"/"
    link = path_bytes(entry.target)
    prefix, name = _split(path, pax)
    if not _plain(link, 100):
        _spill(pax, b"linkpath", link)
    for attribute, value in entry.xattrs:
        pax[b"SCHILY.xattr." + path_bytes(attribute)] = value
    head = b""
    header = _ustar(
        name,
        entry.mode,
        _number(entry.uid, _MAX_SEVEN, b"uid", pax),
        _number(entry.gid, _MAX_SEVEN, b"gid", pax),
        _number(entry.size if entry.type is EntryType.FILE else 0, _MAX_ELEVEN, b"size", pax),
        _number(entry.mtime, _MAX_ELEVEN, b"mtime", pax) if b"mtime" not in pax else max(entry.mtime, 0) & _MAX_ELEVEN,
        _TYPE[entry.type],
        link[:100],
        _device(entry),
        prefix,
    )
    if pax:
        head = _extended(b"PaxHeaders/" + path.rstrip(b"/").rpartition(b"/")[2][:80], pax, b"x")
    return head + header


def _plain(text: bytes, limit: int) -> bool:
    """May stand in a ustar field: short and ASCII; bytes that are not UTF-8 have no other place and stay raw."""
    return len(text) <= limit and (text.isascii() or not _is_utf8(text))


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _spill(pax: dict[bytes, bytes], key: bytes, value: bytes) -> None:
    if not _is_utf8(value):
        pax[b"hdrcharset"] = b"BINARY"
    pax[key] = value


def _split(path: bytes, pax: dict[bytes, bytes]) -> tuple[bytes, bytes]:
    """The ustar prefix and name of a path; a path that does not fit goes to the pax records."""
    if _plain(path, 100):
        return b"", path
    if path.isascii() and len(path) <= 256:
        slash = path.rfind(b"/", 0, min(156, len(path) - 1))
        if slash > 0 and len(path) - slash - 1 <= 100:
            return path[:slash], path[slash + 1 :]
    _spill(pax, b"path", path)
    return b"", path[:100]


def _number(value: int, limit: int, key: bytes, pax: dict[bytes, bytes]) -> int:
    if 0 <= value <= limit:
        return value
    pax[key] = b"%d" % value
    return 0


def _device(entry: Entry) -> tuple[int, int]:
    if max(entry.rdev) > _MAX_SEVEN or min(entry.rdev) < 0:
        raise ConfigError(f"{entry.path!r}: the device number {entry.rdev[0]}:{entry.rdev[1]} does not fit in a tar")
    return entry.rdev


def _ustar(
    name: bytes,
    mode: int,
    uid: int,
    gid: int,
    size: int,
    mtime: int,
    kind: bytes,
    link: bytes,
    rdev: tuple[int, int],
    prefix: bytes,
) -> bytes:
    block = _HEADER.pack(
        name,
        b"%07o\0" % mode,
        b"%07o\0" % uid,
        b"%07o\0" % gid,
        b"%011o\0" % size,
        b"%011o\0" % mtime,
        b" " * 8,
        kind,
        link,
        b"ustar\x0000",
        b"",
        b"",
        b"%07o\0" % rdev[0],
        b"%07o\0" % rdev[1],
        prefix,
    )
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def _extended(name: bytes, pax: Mapping[bytes, bytes], kind: bytes) -> bytes:
    # Readers that know hdrcharset want it before the records it speaks of.
    keys = sorted(pax, key=lambda key: (key != b"hdrcharset", key))
    body = b"".join(_record(key, pax[key]) for key in keys)
    header = _ustar(name, 0o644, 0, 0, len(body), 0, kind, b"", (0, 0), b"")
    return header + body + bytes(-len(body) % BLOCK)


def _record(key: bytes, value: bytes) -> bytes:
    """``LENGTH KEY=VALUE\\n``, where LENGTH counts itself."""
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    length = rest + len(str(length))
    return b"%d %s=%s\n" % (length, key, value)
