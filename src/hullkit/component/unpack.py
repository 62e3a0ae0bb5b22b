"""Writing entries to a disk, for programs that must lie there: tools trees. Images are never unpacked."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable
from pathlib import Path

from hullkit.errors import TrustError
from hullkit.tree.entry import Entry, EntryType

#: what no program reads
_SKIPPED = tuple(f"usr/share/{name}/" for name in ("doc", "man", "locale", "info", "lintian", "bug", "bash-completion"))


def unpack(entries: Iterable[Entry], root: Path) -> None:
    """Write files, directories and links below ``root`` (a new directory of ours).

    Owners, times, devices and set-id bits are left out, modes are 0755 or 0644, absolute links are made to point into
    the tree, links that lead out of it are dropped. Of two entries with one path the later wins; a directory wins over
    a link. Nothing is written through a link: links are made last.
    """
    found = {_checked(entry.path): entry for entry in entries if not (entry.path + "/").startswith(_SKIPPED)}
    directories = {path for path, entry in found.items() if entry.type is EntryType.DIR}
    for path in found:
        while path := posixpath.dirname(path):
            directories.add(path)
    for path in sorted(directories):
        (root / path).mkdir(mode=0o755, exist_ok=True)
    later = []
    for path, entry in sorted(found.items()):
        if path in directories:
            continue
        if entry.type is EntryType.FILE:
            _write(root / path, entry)
        elif entry.type in (EntryType.SYMLINK, EntryType.HARDLINK):
            later.append(entry)
    for entry in (link for link in later if link.type is EntryType.HARDLINK):
        source = found.get(entry.target)
        if source is not None and source.type is EntryType.FILE:
            _write(root / entry.path, source)
    for entry in (link for link in later if link.type is EntryType.SYMLINK):
        if target := _link_target(entry):
            os.symlink(target, root / entry.path)


def _checked(path: str) -> str:
    if path.startswith("/") or ".." in path.split("/"):
        raise TrustError(f"the package has a file {path!r} outside its root")
    return path


def _write(path: Path, entry: Entry) -> None:
    mode = 0o755 if entry.mode & 0o111 else 0o644
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    with open(descriptor, "wb", buffering=0) as stream:
        os.fchmod(descriptor, mode)
        for chunk in entry.content.chunks() if entry.content is not None else ():
            stream.write(chunk)


def _link_target(entry: Entry) -> str | None:
    """The link's text, relative; None when it leads out of the tree."""
    directory = posixpath.dirname(entry.path)
    if entry.target.startswith("/"):
        target = posixpath.normpath(entry.target).lstrip("/")
    else:
        target = posixpath.normpath(posixpath.join(directory, entry.target))
    if target == ".." or target.startswith("../"):
        return None
    return posixpath.relpath(target, directory or ".")
