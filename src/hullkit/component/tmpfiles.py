"""Directories, files and links that packages declare in tmpfiles.d, as entries of an image.

Format: tmpfiles.d(5) of systemd. What it does at boot or later (cleaning, writing to what is there, adjusting it) has
no place in an image, and neither has what lies below /run and /tmp: those are empty when a system starts.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from hullkit.component.accounts import Accounts
from hullkit.component.conflines import Line, conf_lines, expanded, unescaped
from hullkit.debian.deb import merged_path
from hullkit.tree.entry import Bytes, Entry, EntryType

#: fields before the argument: type, path, mode, user, group, age
_FIELDS = 6
_DIRECTORIES = ("d", "D", "v", "q", "Q")
#: only clean up what has become old
_CLEANING = ("x", "X", "r", "R", "e")
_VOLATILE = ("run", "tmp")
_ALIASES = {"var/run": "run", "var/lock": "run/lock"}
_FACTORY = "/usr/share/factory"
#: those of the system's manager whose values do not depend on the machine
_SPECIFIERS = {"%": "%", "t": "/run", "S": "/var/lib", "C": "/var/cache", "L": "/var/log"}


@dataclass(frozen=True)
class Image:
    """What the lines find, by path: what the image has so far, and all files of its packages."""

    entries: Mapping[str, Entry]
    packages: Mapping[str, Entry]
    accounts: Accounts


def declared_entries(image: Image, tell: Callable[[str], None]) -> list[Entry]:
    """The entries that the packages' tmpfiles.d adds to an image; ``tell`` hears of lines that have no place in one.

    The first line for a path counts. Raises ConfigError for a line that is none, and for users that are not there.
    """
    made: dict[str, Entry] = {}
    seen: set[str] = set()
    for line in conf_lines(image.packages, "tmpfiles.d", _FIELDS):
        kind, modifiers = line.fields[0][0], line.fields[0][1:]
        if kind in _CLEANING:
            continue
        try:
            path = _path(line)
            argument = expanded(unescaped("" if line.rest == "-" else line.rest), _SPECIFIERS)
        except KeyError as error:
            tell(f"{line.where}: left out, %{error.args[0]} is not known when an image is built")
            continue
        if path.split("/")[0] in _VOLATILE:
            tell(
                f"{line.where}: left out, /{path} is empty at run time; the key tmpfs of a container makes directories"
            )
        elif kind not in (*_DIRECTORIES, "f", "F", "L", "C") or set(modifiers) - set("+!-="):
            tell(f"{line.where}: left out, lines of the type {line.fields[0]} are not for images")
        elif path not in seen:
            seen.add(path)
            there = made.get(path) or image.entries.get(path)
            for entry in _entries(line, kind, path, argument, there, image):
                made[entry.path] = replace(entry, owner=line.owner)
    return list(made.values())


def _path(line: Line) -> str:
    path = expanded(line.field(1), _SPECIFIERS)
    if not path.startswith("/") or ".." in path.split("/"):
        raise line.error(f"{path!r} is not an absolute path")
    path = posixpath.normpath(path).lstrip("/")
    for alias, real in _ALIASES.items():
        if path == alias or path.startswith(alias + "/"):
            path = real + path[len(alias) :]
    return merged_path(path)


def _entries(line: Line, kind: str, path: str, argument: str, there: Entry | None, image: Image) -> list[Entry]:
    again = "+" in line.fields[0] or kind == "F"
    if kind in _DIRECTORIES:
        if there is not None and there.type is not EntryType.DIR:
            return []
        return [_with_attributes(line, there or Entry(path, EntryType.DIR, 0o755), image, new=there is None)]
    if kind == "C":
        return _copies(line, path, argument or f"{_FACTORY}/{path}", there, image)
    if there is not None and not again:
        return []
    if kind == "L":
        return [Entry(path, EntryType.SYMLINK, 0o777, target=argument or f"{_FACTORY}/{path}")]
    content = Bytes(argument.encode("utf-8", "surrogateescape"))
    return [_with_attributes(line, Entry(path, EntryType.FILE, 0o644, content=content), image, new=True)]


def _copies(line: Line, path: str, source: str, there: Entry | None, image: Image) -> list[Entry]:
    """Copies of a file or directory of the packages; of what is not among them there is nothing to copy."""
    if there is not None and there.type is not EntryType.DIR:
        return []
    if any(name.startswith(path + "/") for name in image.entries):
        return []
    top = merged_path(posixpath.normpath(source).lstrip("/"))
    found = [each for name, each in image.packages.items() if name == top or name.startswith(top + "/")]
    copies = [replace(each, path=path + each.path[len(top) :]) for each in found]
    return [_with_attributes(line, each, image, new=True) if each.path == path else each for each in copies]


def _with_attributes(line: Line, entry: Entry, image: Image, *, new: bool) -> Entry:
    """With the mode, user and group of the line; ":" before one of them is for new files only."""
    if entry.type is EntryType.SYMLINK:
        return entry
    mode, uid, gid = (_attribute(line, number, new) for number in (2, 3, 4))
    if mode and not re.fullmatch(r"~?[0-7]{3,5}", mode):
        raise line.error(f"{mode!r} is not a mode")
    return replace(
        entry,
        mode=int(mode.lstrip("~"), 8) & 0o1777 if mode else entry.mode,
        uid=_id(line, uid, image.accounts.uid, "user") if uid else entry.uid,
        gid=_id(line, gid, image.accounts.gid, "group") if gid else entry.gid,
    )


def _attribute(line: Line, number: int, new: bool) -> str:
    text = line.field(number)
    return text if not text.startswith(":") else (text[1:] if new else "")


def _id(line: Line, text: str, find: Callable[[str], int | None], what: str) -> int:
    found = int(text) if text.isascii() and text.isdigit() else find(text)
    if found is None:
        error = line.error(f"there is no {what} {text}")
        error.hint = f"declare it under {what}s, or read sysusers.d too"
        raise error
    return found
