"""The virtual tree: what a root file system will hold, as entries by path.

Layers are applied as the OCI image specification says (layer.md, "Applying Changesets" and "Whiteouts"). A file with
several hard links is one thing: removing or replacing one of its names leaves the others whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from hullkit.errors import ConfigError, TrustError
from hullkit.tree.entry import Entry, EntryType

WHITEOUT = ".wh."
OPAQUE = ".wh..wh..opq"
_SPECIAL = ".wh..wh."  # AUFS's own files; nothing of the image

_MAX_LINKS = 40  # as the kernel's (fs/namei.c, MAXSYMLINKS)
_MAX_PATH = 4096  # PATH_MAX


def path_bytes(path: str) -> bytes:
    """A path as the bytes that the file system will hold."""
    return path.encode("utf-8", "surrogateescape")


def is_whiteout(path: str) -> bool:
    """Whether a member of a layer only says something about lower layers, or to AUFS."""
    return path.rpartition("/")[2].startswith(WHITEOUT) or path.startswith(_SPECIAL)


def whiteout_target(path: str) -> tuple[str, bool] | None:
    """What the whiteout at ``path`` hides: (path, False), or (directory, True) for an opaque one; None for AUFS's own
    files. TrustError for a name that hides nothing (``.wh.``, ``.wh...``)."""
    directory, _, name = path.rpartition("/")
    if name == OPAQUE:
        return directory, True
    if name.startswith(_SPECIAL) or path.startswith(_SPECIAL):
        return None
    hidden = name[len(WHITEOUT) :]
    if hidden in ("", ".", ".."):
        raise TrustError(f"{path!r}: a whiteout of nothing")
    return (f"{directory}/{hidden}" if directory else hidden), False


class Tree:
    """Entries by path. Every non-root path has its parent directories."""

    def __init__(self) -> None:
        # A hard link is kept as the entry of its file; _links joins the paths that are one file.
        self._nodes: dict[str, Entry] = {}
        self._names: dict[str, dict[str, None]] = {}
        self._links: dict[str, set[str]] = {}

    def __len__(self) -> int:
        return len(self._nodes)

    def __contains__(self, path: str) -> bool:
        return path in self._nodes

    def get(self, path: str) -> Entry | None:
        """The entry at exactly this path; a hard link as the file it names, with its content."""
        return self._nodes.get(path)

    def add(self, entry: Entry) -> None:
        """Put an entry at its path. A directory over a directory replaces its attributes and keeps what is in it; all
        else replaces what is there. Missing parents are made (0755, root).

        ConfigError when a parent is not a directory, or a hard link's target does not exist or is a directory.
        """
        parent = entry.path.rpartition("/")[0]
        above = self._nodes.get(parent)
        if parent and (above is None or above.type is not EntryType.DIR):
            self._make_parents(entry)
        self._put(entry)

    def _make_parents(self, entry: Entry) -> None:
        parts = entry.path.split("/")[:-1]
        for end in range(1, len(parts) + 1):
            path = "/".join(parts[:end])
            found = self._nodes.get(path)
            if found is None:
                self._put(Entry(path, EntryType.DIR, 0o755, owner=entry.owner))
            elif found.type is not EntryType.DIR:
                raise ConfigError(f"{entry.path!r} lies below {path!r}, which is a {found.type.value}")

    def _put(self, entry: Entry) -> None:
        path = entry.path
        existing = self._nodes.get(path)
        if entry.type is EntryType.HARDLINK:
            self._put_link(entry)
            return
        if not path and entry.type is not EntryType.DIR:
            raise ConfigError(f"the root of a tree must be a directory and is a {entry.type.value}")
        if existing is not None and not (existing.type is EntryType.DIR and entry.type is EntryType.DIR):
            self.remove(path)
        self._set(path, entry)

    def _put_link(self, entry: Entry) -> None:
        target = self._nodes.get(entry.target)
        if target is None or target.type is EntryType.DIR:
            why = "does not exist" if target is None else "is a directory"
            raise ConfigError(f"{entry.path!r} is a hard link to {entry.target!r}, which {why}")
        if entry.path == entry.target:
            return
        group = self._links.setdefault(entry.target, {entry.target})
        self.remove(entry.path)
        self._set(entry.path, replace(target, path=entry.path))
        group.add(entry.path)
        self._links[entry.path] = group

    def _set(self, path: str, entry: Entry) -> None:
        self._nodes[path] = entry
        if path:
            parent, _, name = path.rpartition("/")
            self._names.setdefault(parent, {})[name] = None

    def remove(self, path: str) -> None:
        """Remove a path and all below it; nothing happens when it does not exist."""
        if path not in self._nodes:
            return
        parent, _, name = path.rpartition("/")
        if path:
            del self._names[parent][name]
        doomed = [path]
        while doomed:
            here = doomed.pop()
            self._nodes.pop(here, None)
            group = self._links.pop(here, None)
            if group is not None:
                group.discard(here)
            doomed.extend(f"{here}/{child}" if here else child for child in self._names.pop(here, ()))

    def clear(self, path: str) -> None:
        """Remove all below a directory, not itself."""
        for name in list(self._names.get(path, ())):
            self.remove(f"{path}/{name}" if path else name)

    def entries(self) -> Iterator[Entry]:
        """All entries, sorted by the bytes of their paths (so parents come before children). The first name of a file
        carries it, the others are hard links to that one. The root is there if it was added."""
        leaders: dict[int, str] = {}
        for path in sorted(self._nodes, key=path_bytes):
            entry = self._nodes[path]
            group = self._links.get(path)
            if group is not None and entry.type is EntryType.FILE:
                leader = leaders.setdefault(id(group), path)
                if leader != path:
                    entry = replace(entry, type=EntryType.HARDLINK, content=None, target=leader, xattrs=())
            yield entry

    def apply_layer(self, entries: Iterable[Entry]) -> None:
        """Apply a layer over what is there: first its whiteouts, which hide what lower layers hold wherever they stand
        in the layer, then its other members as ``unpack`` does. TrustError for what no unpacking could do."""
        members = []
        for entry in entries:
            if not is_whiteout(entry.path):
                members.append(entry)
            elif (target := whiteout_target(entry.path)) is not None:
                path, opaque = target
                (self.clear if opaque else self.remove)(path)
        self.unpack(members)

    def unpack(self, members: Iterable[Entry]) -> None:
        """Add the members of an archive as if it were unpacked here.

        A member below a symlink of the same archive goes where the link points, inside the tree; a symlink or file that
        was there before gives way to a directory, as in an overlay file system. TrustError for a member below a file
        of the archive, endless symlinks, or a hard link to nothing.
        """
        fresh: set[str] = set()
        for entry in members:
            self._apply(entry, fresh)

    def _apply(self, entry: Entry, fresh: set[str]) -> None:
        """``fresh`` holds the paths of this layer that are no directories."""
        parent = entry.path.rpartition("/")[0]
        above = self._nodes.get(parent)
        if parent and (above is None or above.type is not EntryType.DIR):
            entry = replace(entry, path=self._unpacked_path(entry.path, fresh))
            self._give_way(entry.path, fresh)
        if entry.type is EntryType.HARDLINK and entry.target not in self._nodes:
            entry = replace(entry, target=self._unpacked_path(entry.target, None))
        try:
            self.add(entry)
        except ConfigError as error:
            raise TrustError(error.message) from error
        if entry.type is EntryType.DIR:
            fresh.discard(entry.path)
        else:
            fresh.add(entry.path)

    def _unpacked_path(self, path: str, follow: set[str] | None) -> str:
        """``path`` with the symlinks above its last part followed inside the tree: those in ``follow``, or all."""
        pending = path.split("/")[::-1]
        done: list[str] = []
        links = 0
        while len(pending) > 1:
            part = pending.pop()
            if part in ("", "."):
                continue
            if part == "..":
                del done[-1:]
                continue
            done.append(part)
            here = "/".join(done)
            found = self._nodes.get(here)
            if found is None or found.type is not EntryType.SYMLINK or (follow is not None and here not in follow):
                continue
            links += 1
            if links > _MAX_LINKS or len(found.target) + len(here) > _MAX_PATH:
                raise TrustError(f"{path!r}: too many or too long symbolic links in its path")
            done = [] if found.target.startswith("/") else done[:-1]
            pending.extend(found.target.split("/")[::-1])
        result = "/".join([*done, *pending[::-1]])
        if len(result) > _MAX_PATH:
            raise TrustError(f"{path!r}: too many or too long symbolic links in its path")
        return result

    def _give_way(self, path: str, fresh: set[str]) -> None:
        """Remove files and symlinks of lower layers that stand where directories above ``path`` must be."""
        parts = path.split("/")[:-1]
        for end in range(1, len(parts) + 1):
            here = "/".join(parts[:end])
            found = self._nodes.get(here)
            if found is not None and found.type is not EntryType.DIR:
                if here in fresh:
                    raise TrustError(f"{path!r} lies below {here!r}, which is a {found.type.value} of the same layer")
                self.remove(here)
