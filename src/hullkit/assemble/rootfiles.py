"""The ``files:`` section of a flat system, member by member as LinuxKit writes it (moby/build: filesystem)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from posixpath import dirname, normpath

from hullkit.assemble.files import content_of, file_mode, parent_mode
from hullkit.assemble.rootfs import TIME
from hullkit.assemble.spec import id_number
from hullkit.config.model import FileEntry, SystemConfig, base_directory
from hullkit.errors import ConfigError, NotFound
from hullkit.tree.entry import Entry, EntryType, Owner

_OWNER = Owner(image="files")


def file_entries(config: SystemConfig, ids: Mapping[str, int]) -> Iterator[Entry]:
    """Every entry with the directories above it that no earlier one made; names as they are written.

    ConfigError for a path that is none or leaves the system, NotFound for a source that does not exist.
    """
    made: set[str] = set()
    for number, file in enumerate(config.files):
        records = (("LINUXKIT.location", f"files[{number}]".encode()), ("LINUXKIT.source", b"linuxkit.files"))
        try:
            for entry in _entries(file, config, ids, Path(base_directory(config, "files", number)), made):
                yield replace(entry, mtime=TIME, owner=_OWNER, pax=records)
        except (ConfigError, NotFound) as error:
            error.where = error.where or config.position("files", number)
            raise


def _entries(
    file: FileEntry, config: SystemConfig, ids: Mapping[str, int], base: Path, made: set[str]
) -> Iterator[Entry]:
    path = (file.path or "").removeprefix("/")
    if normpath(path or ".") in (".", "/") or normpath(path).split("/")[0] == "..":
        raise ConfigError(f"files: {file.path!r} is not the path of a file in the system")
    mode = file_mode(file)
    uid, gid = id_number(file.uid, ids), id_number(file.gid, ids)
    content = None
    if not file.directory and not file.symlink:
        content = content_of(file, base, config)
        if content is None:
            return
    above = normpath(dirname(path) or ".").lstrip("/")
    for end in (*(at for at, letter in enumerate(above) if letter == "/"), len(above)):
        directory = above[:end]
        if directory not in made and directory != ".":
            made.add(directory)
            yield Entry(directory, EntryType.DIR, parent_mode(mode), uid, gid)
    made.add(path)
    if file.directory:
        yield Entry(path, EntryType.DIR, mode, uid, gid)
    elif file.symlink:
        yield Entry(path, EntryType.SYMLINK, mode, uid, gid, target=file.symlink)
    else:
        yield Entry(path, EntryType.FILE, mode, uid, gid, content=content)
