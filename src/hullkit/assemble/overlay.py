"""A thin tree that will lie over others: what hullkit generates for a root, without repeating what is below.

In an overlay file system the topmost directory decides mode and owner, so a parent directory made here takes those of
the directory it covers; and a path is followed through the symlinks below, as the running system would follow it
(``bin/x`` is a file in ``usr/bin`` where ``bin`` is a link).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from hullkit.errors import ConfigError
from hullkit.tree.entry import Entry, EntryType
from hullkit.tree.tree import Tree

_MAX_LINKS = 40  # as the kernel's (fs/namei.c, MAXSYMLINKS)


class Overlay:
    """Entries over ``lower``; lookups see both."""

    def __init__(self, lower: Tree) -> None:
        self._lower = lower
        self._upper = Tree()

    def get(self, path: str) -> Entry | None:
        return self._upper.get(path) or self._lower.get(path)

    def resolve(self, path: str) -> str:
        """``path`` with every symlink followed, the last component too; what does not exist stays as it is."""
        pending = [part for part in reversed(path.split("/")) if part not in ("", ".")]
        done: list[str] = []
        links = 0
        while pending:
            part = pending.pop()
            if part == "..":
                del done[-1:]
                continue
            here = "/".join([*done, part])
            found = self.get(here)
            if found is None or found.type is not EntryType.SYMLINK:
                done.append(part)
                continue
            links += 1
            if links > _MAX_LINKS:
                raise ConfigError(f"/{path}: too many levels of symbolic links")
            if found.target.startswith("/"):
                done.clear()
            pending.extend(part for part in reversed(found.target.split("/")) if part not in ("", "."))
        return "/".join(done)

    def parent(self, path: str, mode: int = 0o755, uid: int = 0, gid: int = 0) -> str:
        """Make the directories above ``path``; returns ``path`` with its parent resolved, its last part as it is."""
        above, _, name = path.strip("/").rpartition("/")
        if name in ("", ".", ".."):
            raise ConfigError(f"{path!r} is not the path of a file")
        directory = self.resolve(above)
        self.directory(directory, mode, uid, gid)
        return f"{directory}/{name}" if directory else name

    def directory(self, path: str, mode: int = 0o755, uid: int = 0, gid: int = 0) -> None:
        """Make sure that a directory exists at the resolved ``path``; existing ones keep their attributes."""
        parts = path.split("/") if path else []
        for end in range(1, len(parts) + 1):
            here = "/".join(parts[:end])
            if self._upper.get(here) is not None:
                self._check_directory(self._upper.get(here))
                continue
            below = self._lower.get(here)
            if below is not None:
                self._check_directory(below)
                self._upper.add(replace(below, xattrs=()))
            else:
                self._upper.add(Entry(here, EntryType.DIR, mode, uid, gid))

    @staticmethod
    def _check_directory(entry: Entry | None) -> None:
        if entry is not None and entry.type is not EntryType.DIR:
            raise ConfigError(f"/{entry.path} must be a directory and is a {entry.type.value}")

    def add(self, entry: Entry) -> None:
        """Put an entry at its path as it is; parents must be resolved (see ``parent``)."""
        self.directory(entry.path.rpartition("/")[0])
        self._upper.add(entry)

    def ensure(self, path: str, make: Callable[[str], Entry]) -> None:
        """Add ``make(resolved path)`` unless something is there already."""
        resolved = self.resolve(path)
        if resolved and self.get(resolved) is None:
            self.add(make(resolved))

    def entries(self) -> Iterator[Entry]:
        yield from self._upper.entries()


def directory_entry(path: str, mode: int = 0o755) -> Entry:
    return Entry(path, EntryType.DIR, mode)
