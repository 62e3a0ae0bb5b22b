"""The ``files:`` section as entries (LinuxKit: src/cmd/linuxkit/moby/build, docs/yaml.md "files")."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from hullkit.assemble.overlay import Overlay
from hullkit.cache import host_errors
from hullkit.config.model import FileEntry, SystemConfig, base_directory
from hullkit.errors import ConfigError, NotFound
from hullkit.tree.entry import Bytes, Entry, EntryType, FileSlice, Owner, Source

_OWNER = Owner(image="files")


def add_files(overlay: Overlay, config: SystemConfig, ids: Mapping[str, int]) -> None:
    """Add every entry of ``files:`` in order; relative ``source`` paths are taken from the directory of their YAML."""
    for number, file in enumerate(config.files):
        try:
            _add(overlay, file, ids, Path(base_directory(config, "files", number)), config)
        except (ConfigError, NotFound) as error:
            error.where = error.where or config.position("files", number)
            raise


def _add(overlay: Overlay, file: FileEntry, ids: Mapping[str, int], base: Path, config: SystemConfig) -> None:
    if file.path is None:
        raise ConfigError("an entry of files: needs a path")
    uid, gid = number_of(file.uid, ids), number_of(file.gid, ids)
    mode = file_mode(file)
    content: Source | None = None
    if not file.directory and not file.symlink:
        content = content_of(file, base, config)
        if content is None:
            return
    path = overlay.parent(file.path, parent_mode(mode), uid, gid)
    if file.directory:
        overlay.add(Entry(path, EntryType.DIR, mode, uid, gid, owner=_OWNER))
    elif file.symlink:
        overlay.add(Entry(path, EntryType.SYMLINK, 0o777, uid, gid, target=file.symlink, owner=_OWNER))
    else:
        overlay.add(Entry(path, EntryType.FILE, mode, uid, gid, content=content, owner=_OWNER))


def content_of(file: FileEntry, base: Path, config: SystemConfig) -> Source | None:
    """The bytes of the file; None for an optional source that is not there."""
    if file.contents is not None:
        return Bytes(file.contents.encode())
    if file.metadata:
        from hullkit.config.dump import metadata_yaml

        return Bytes(metadata_yaml(config).encode())
    if not file.source:
        raise ConfigError(
            f"files: {file.path}: nothing to write", hint="give one of contents, source, symlink, directory"
        )
    source = base / Path(file.source).expanduser()
    if not source.exists():
        if file.optional:
            return None
        raise NotFound(f"files: {file.path}: the source {file.source} does not exist", hint="or say optional: true")
    if not source.is_file():
        raise ConfigError(f"files: {file.path}: the source {file.source} is not a regular file")
    with host_errors(f"read {file.source}"), open(source, "rb") as stream:
        return FileSlice(source, 0, stream.seek(0, 2))


def file_mode(file: FileEntry) -> int:
    if file.mode:
        return int(file.mode, 8)
    return 0o700 if file.directory else 0o600


def parent_mode(mode: int) -> int:
    """Parents that are made: as the file, and searchable by whom the file is readable."""
    return mode | (0o100 if mode & 0o700 else 0) | (0o010 if mode & 0o070 else 0) | (0o001 if mode & 0o007 else 0)


def number_of(value: int | str | None, ids: Mapping[str, int]) -> int:
    """A uid or gid: a number, or the name of a container, whose id hullkit gives out."""
    if value is None or value == "root":
        return 0
    if isinstance(value, int):
        return value
    if value.isascii() and value.isdigit():
        return int(value)
    if value in ids:
        return ids[value]
    raise ConfigError(f"unknown user {value!r}", hint="a number, or the name of a container of this system")
