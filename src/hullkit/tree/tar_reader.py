"""Reading tar archives: headers to entries whose contents stay where they are.

Understands ustar, GNU (long names and links, base-256 numbers) and pax (local and global records, extended
attributes). Formats: POSIX.1-2017 pax, "ustar Interchange Format" and "pax Interchange Format"; GNU tar manual, "Basic
Tar Format". An archive may be hostile: whatever it holds, reading ends in entries that stay inside their tree or in
one TrustError, with memory bounded by ``TarLimits``.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from struct import Struct
from typing import NoReturn

from hullkit.errors import TrustError
from hullkit.tree import pax
from hullkit.tree.entry import NO_OWNER, Entry, EntryType, FileSlice, Owner

_BLOCK = 512
_FIELDS = Struct("100s8s8s8s12s12s8sc100s8s32s32s8s8s155s12x")
_ZEROS = bytes(_BLOCK)
_TYPES = {
    b"0": EntryType.FILE,
    b"\0": EntryType.FILE,
    b"7": EntryType.FILE,
    b"1": EntryType.HARDLINK,
    b"2": EntryType.SYMLINK,
    b"3": EntryType.CHAR,
    b"4": EntryType.BLOCK,
    b"5": EntryType.DIR,
    b"6": EntryType.FIFO,
}
_MAX_ID = 0xFFFFFFFE  # -1 means "leave it" to chown(2)
_MAX_MAJOR, _MAX_MINOR = 0xFFF, 0xFFFFF  # include/linux/kdev_t.h

#: what an extended attribute takes beside its text
_XATTR_COST = 200


@dataclass(frozen=True, slots=True)
class TarLimits:
    """What an archive may ask for, in counts and bytes."""

    entries: int = 1_000_000
    path: int = 4096  # PATH_MAX
    depth: int = 512
    #: one extended header (pax records, GNU long name)
    extended: int = 1 << 20
    #: all names, links and extended attributes together
    metadata: int = 256 << 20
    #: records of global extended headers, which every member has to be held against
    global_records: int = 64


LIMITS = TarLimits()


def read_tar(
    path: Path,
    *,
    owner: Owner = NO_OWNER,
    limits: TarLimits = LIMITS,
    name: str | None = None,
    verbatim: bool = False,
    part: tuple[int, int] | None = None,
) -> list[Entry]:
    """The members of the uncompressed archive ``path``, in order; contents are slices of that file.

    Leading "/" and "./" of names are dropped; ``mtime`` is rounded down to seconds; user and group names are ignored.
    A hard link's target may be missing (it may lie in a lower layer). ``name`` is what errors call the archive;
    ``part`` is the offset and size of an archive inside the file.
    ``verbatim``: as LinuxKit copies members: names as they are written; what only pax
    records can hold (fractions of seconds, user names, ...) in ``Entry.pax``; global headers as entries of their own.
    TrustError for anything damaged, unsafe (".." in a name), too large, or unknown (GNU sparse files, dump formats).
    """
    with open(path, "rb", buffering=0) as stream:
        reader = (_Verbatim if verbatim else _Reader)(path, stream.fileno(), owner, limits, name or str(path), part)
        return list(reader.entries())


def _checksum_holds(header: bytes) -> bool:
    """The stored sum of all bytes, with blanks for the sum itself. Some old writers summed signed bytes."""
    # The low half of Adler-32 is 1 + the sum modulo 65521, which 256 bytes cannot reach; ten times as fast as sum().
    total = (zlib.adler32(header[:256]) & 0xFFFF) + (zlib.adler32(header[256:]) & 0xFFFF) - 2
    total += 8 * 32 - sum(header[148:156])
    try:
        stored = pax.number(header[148:156])
    except pax.Malformed:
        return False
    return stored == total or stored == total - 256 * sum(byte > 127 for byte in header[:148] + header[156:])


class _Reader:
    def __init__(
        self, path: Path, descriptor: int, owner: Owner, limits: TarLimits, name: str, part: tuple[int, int] | None
    ) -> None:
        self._path = path
        self._descriptor = descriptor
        start, size = part or (0, os.fstat(descriptor).st_size)
        self._end = start + size
        self._owner = owner
        self._limits = limits
        self._name = name
        self._position = start
        self._member = ""
        self._metadata = 0
        self._global: dict[bytes, bytes] = {}
        # what extended headers say about the member that follows
        self._local: dict[bytes, bytes] | None = None
        self._long: dict[bytes, bytes] = {}

    def _refuse(self, why: str) -> NoReturn:
        member = f": {self._member!r}" if self._member else ""
        raise TrustError(f"{self._name}{member}: {why}")

    def entries(self) -> Iterator[Entry]:
        count = 0
        while (header := self._header()) is not None:
            try:
                entry = self._interpret(header)
            except pax.Malformed as error:
                self._refuse(str(error))
            if entry is None:
                continue
            count += 1
            if count > self._limits.entries:
                self._refuse(f"more than {self._limits.entries} members")
            yield entry

    def _header(self) -> bytes | None:
        """The next header block, checked; None at the end of the archive."""
        header = self._block()
        if header is None or header == _ZEROS:
            if header is not None and self._block() not in (None, _ZEROS):
                self._refuse(f"damaged at byte {self._position - 2 * _BLOCK}")
            if self._local is not None or self._long:
                self._refuse("ends after an extended header")
            return None
        if not _checksum_holds(header):
            self._refuse(f"not a tar header at byte {self._position - _BLOCK} (its checksum is wrong)")
        return header

    def _block(self) -> bytes | None:
        block = os.pread(self._descriptor, min(_BLOCK, self._end - self._position), self._position)
        if not block:
            return None
        if len(block) < _BLOCK:
            self._refuse("truncated")
        self._position += _BLOCK
        return block

    def _interpret(self, header: bytes) -> Entry | None:
        """The entry of a header, or None for one that only describes others."""
        kind = header[156:157]
        if kind in _TYPES:
            entry = self._entry(_FIELDS.unpack(header), _TYPES[kind])
            self._local, self._long, self._member = None, {}, ""
            return entry
        size = pax.number(header[124:136])
        if kind in b"xX":
            if self._local is not None:
                self._refuse("two extended headers for one member")
            self._local = pax.parse(self._extended(size))
        elif kind == b"g":
            return self._global_header(header, pax.parse(self._extended(size)))
        elif kind in b"LK":
            self._long[kind] = self._extended(size).rstrip(b"\0")
        elif kind == b"V":
            self._skip(size)
        elif kind == b"S":
            self._refuse("GNU sparse files are not supported; write the archive without --sparse")
        else:
            self._refuse(f"unknown type of member {kind!r}")
        return None

    def _global_header(self, header: bytes, records: dict[bytes, bytes]) -> Entry | None:
        self._global = self._global | records
        self._account(sum(len(key) + len(value) for key, value in self._global.items()))
        if len(self._global) > self._limits.global_records:
            self._refuse(f"more than {self._limits.global_records} global records")
        return None

    def _extended(self, size: int) -> bytes:
        if not 0 <= size <= self._limits.extended:
            self._refuse(f"an extended header of {size} bytes (at most {self._limits.extended} are accepted)")
        body = os.pread(self._descriptor, size, self._position)
        self._skip(size)
        return body

    def _skip(self, size: int) -> None:
        if size < 0 or self._position + size > self._end:
            self._refuse("truncated, or a size that cannot be")
        self._position = min(self._position + size + -size % _BLOCK, self._end)

    def _account(self, size: int) -> None:
        self._metadata += size
        if self._metadata > self._limits.metadata:
            self._refuse(f"more than {self._limits.metadata} bytes of names and attributes")

    def _entry(self, fields: tuple[bytes, ...], kind: EntryType) -> Entry:
        name, mode, uid, gid, size, mtime, _, flag, link, magic, _, _, major, minor, prefix = fields
        records = self._records()
        raw = self._raw_path(name, magic, prefix, records)
        path = self._clean(raw)
        self._member = path
        if flag == b"\0" and raw.endswith(b"/"):  # before POSIX, a directory was a file with a slash
            kind = EntryType.DIR
        if not path and kind is not EntryType.DIR:
            self._refuse("a member without a name")
        content, target, rdev = None, "", (0, 0)
        if kind is EntryType.FILE:
            length = pax.decimal(records[b"size"]) if b"size" in records else pax.number(size)
            content = FileSlice(self._path, self._position, length)
            self._skip(length)
        elif kind is EntryType.SYMLINK or kind is EntryType.HARDLINK:
            target = self._target(kind, records.get(b"linkpath") or self._long.get(b"K") or link.split(b"\0", 1)[0])
        elif kind is EntryType.CHAR or kind is EntryType.BLOCK:
            rdev = (
                self._range(pax.number(major), _MAX_MAJOR, "device"),
                self._range(pax.number(minor), _MAX_MINOR, "device"),
            )
        return Entry(
            path,
            kind,
            pax.number(mode) & 0o7777,
            self._range(pax.decimal(records[b"uid"]) if b"uid" in records else pax.number(uid), _MAX_ID, "owner"),
            self._range(pax.decimal(records[b"gid"]) if b"gid" in records else pax.number(gid), _MAX_ID, "group"),
            pax.seconds(records[b"mtime"]) if b"mtime" in records else pax.number(mtime),
            content,
            target,
            rdev,
            self._xattrs(records),
            self._owner,
        )

    def _records(self) -> pax.Records:
        if self._local is None:
            records: pax.Records = self._global
        else:
            # an empty value takes a global record away
            records = {key: value for key, value in (self._global | self._local).items() if value or b"xattr" in key}
        if records and any(key.startswith(b"GNU.sparse.") for key in records):
            self._refuse("GNU sparse files are not supported; write the archive without --sparse")
        return records

    def _raw_path(self, name: bytes, magic: bytes, prefix: bytes, records: pax.Records) -> bytes:
        raw = records.get(b"path") or self._long.get(b"L")
        if raw is None:
            raw = name.split(b"\0", 1)[0]
            # GNU's old format has times where ustar has the prefix
            if prefix[0] and magic.startswith(b"ustar\0"):
                raw = prefix.split(b"\0", 1)[0] + b"/" + raw
        return raw

    def _clean(self, raw: bytes) -> str:
        """A path as an entry has it."""
        self._account(len(raw))
        text = raw.decode("utf-8", "surrogateescape").rstrip("/")
        if len(raw) > self._limits.path:
            self._refuse(f"the name {text[:60]!r}... is longer than {self._limits.path} bytes")
        if b"\0" in raw:
            self._refuse(f"the name {text!r} is not safe")
        if text[:1] in ("", "/", ".") or "//" in text or "/." in text:
            parts = [part for part in text.split("/") if part and part != "."]
            if ".." in parts:
                self._refuse(f"the name {text!r} is not safe")
            text = "/".join(parts)
        if text.count("/") >= self._limits.depth:
            self._refuse(f"a path of more than {self._limits.depth} directories")
        return text

    def _target(self, kind: EntryType, raw: bytes) -> str:
        if kind is EntryType.HARDLINK:
            target = self._clean(raw)
        else:
            self._account(len(raw))
            target = raw.decode("utf-8", "surrogateescape")
        if not target or len(raw) > self._limits.path or b"\0" in raw:
            self._refuse("a link whose target is empty, too long or not a path")
        return target

    def _range(self, value: int, limit: int, what: str) -> int:
        if not 0 <= value <= limit:
            self._refuse(f"the {what} number {value} is out of range")
        return value

    def _xattrs(self, records: pax.Records) -> tuple[tuple[str, bytes], ...]:
        if not records:
            return ()
        found = pax.xattrs(records)
        self._account(sum(len(name) + len(value) + _XATTR_COST for name, value in found))
        return found


#: records whose values are in other fields of an entry
_HELD = frozenset((b"path", b"linkpath", b"size", b"uid", b"gid", b"hdrcharset"))


class _Verbatim(_Reader):
    """Keeps what a copy of the archive needs; global records do not touch the members that follow."""

    def _global_header(self, header: bytes, records: dict[bytes, bytes]) -> Entry | None:
        self._account(sum(len(key) + len(value) + _XATTR_COST for key, value in records.items()))
        path = self._clean(header[:100].split(b"\0", 1)[0]) or "pax_global_header"
        return Entry(path, EntryType.GLOBAL, owner=self._owner, pax=_as_pax(records))

    def _entry(self, fields: tuple[bytes, ...], kind: EntryType) -> Entry:
        name, magic, uname, gname, prefix = fields[0], fields[9], fields[10], fields[11], fields[14]
        records = dict(self._records())
        raw = self._raw_path(name, magic, prefix, records)
        entry = super()._entry(fields, kind)
        for key, value in ((b"uname", uname), (b"gname", gname)):
            if text := value.split(b"\0", 1)[0]:
                records.setdefault(key, text)
        if b"." not in records.get(b"mtime", b""):
            records.pop(b"mtime", None)
        kept = {key: value for key, value in records.items() if key not in _HELD and not key.startswith(pax.SCHILY)}
        self._account(sum(len(key) + len(value) + _XATTR_COST for key, value in kept.items()))
        return replace(entry, path=raw.decode("utf-8", "surrogateescape") or ".", pax=_as_pax(kept))

    def _xattrs(self, records: pax.Records) -> tuple[tuple[str, bytes], ...]:
        return super()._xattrs({key: value for key, value in records.items() if key.startswith(pax.SCHILY)})


def _as_pax(records: pax.Records) -> tuple[tuple[str, bytes], ...]:
    return tuple(sorted((key.decode("utf-8", "surrogateescape"), value) for key, value in records.items()))
