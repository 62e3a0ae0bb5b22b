"""Entries: the files of an image as values. Nothing is unpacked; contents are read when a writer needs them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Protocol

CHUNK = 1 << 20


class EntryType(Enum):
    FILE = "file"
    DIR = "dir"
    SYMLINK = "symlink"
    HARDLINK = "hardlink"
    CHAR = "char"
    BLOCK = "block"
    FIFO = "fifo"
    #: no file: a global header of a tar archive, whose records are the entry's ``pax``; only tar writers know it
    GLOBAL = "global"


class Source(Protocol):
    """Where the bytes of a file are; reading it twice gives the same bytes."""

    @property
    def size(self) -> int: ...
    def chunks(self) -> Iterator[bytes]:
        """The content in pieces of at most CHUNK bytes."""
        ...


@dataclass(frozen=True, slots=True)
class Bytes:
    """Content held in memory: for small generated files only."""

    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)

    def chunks(self) -> Iterator[bytes]:
        for start in range(0, len(self.data), CHUNK):
            yield self.data[start : start + CHUNK]


@dataclass(frozen=True, slots=True)
class FileSlice:
    """``size`` bytes of a host file from ``offset``: an uncompressed tar in the cache, or a user's file."""

    path: Path
    offset: int
    size: int

    def chunks(self) -> Iterator[bytes]:
        left = self.size
        with open(self.path, "rb", buffering=0) as stream:
            stream.seek(self.offset)
            while left:
                data = stream.read(min(CHUNK, left))
                if not data:
                    raise OSError(f"{self.path}: shorter than expected (it changed during the build?)")
                left -= len(data)
                yield data


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose file this is, for ``footprint`` and bills of materials: component or image, package, layer."""

    image: str = ""
    package: str = ""
    layer: str = ""


NO_OWNER = Owner()


@dataclass(frozen=True, slots=True)
class Entry:
    """One member of a tree.

    ``path`` is relative, normalised, "/"-separated, without "." or ".."; the root is "". Bytes that are not UTF-8
    are kept by surrogateescape. ``mode`` holds the twelve permission bits. ``target`` is a symlink's text as it is,
    or the path (like ``path``) of the file that a HARDLINK names; that file comes earlier. ``mtime`` is in whole
    seconds. ``xattrs`` is sorted by name. ``pax`` are further pax records, which only a tar archive can hold.

    Entries of the flat layout are LinuxKit's tar members one by one: there ``path`` is a name as it is written, the
    same name may come twice, and a HARDLINK may come before its file or have none.
    """

    path: str
    type: EntryType
    mode: int = 0o755
    uid: int = 0
    gid: int = 0
    mtime: int = 0
    content: Source | None = None
    target: str = ""
    rdev: tuple[int, int] = (0, 0)
    xattrs: tuple[tuple[str, bytes], ...] = ()
    owner: Owner = NO_OWNER
    pax: tuple[tuple[str, bytes], ...] = ()

    @property
    def size(self) -> int:
        return self.content.size if self.content is not None else 0


def fingerprint(entries: Iterable[Entry]) -> str:
    """A digest of everything that a writer may write of these entries, in this order: metadata and contents."""
    digest = hashlib.sha256()
    for entry in entries:
        fields = [entry.path, entry.type.value, entry.mode, entry.uid, entry.gid, entry.mtime, entry.target]
        attributes = [[name, value.hex()] for name, value in (*entry.xattrs, *entry.pax)]
        digest.update(json.dumps([*fields, entry.rdev, entry.size, attributes]).encode())
        if entry.content is not None:
            for chunk in entry.content.chunks():
                digest.update(chunk)
    return digest.hexdigest()
