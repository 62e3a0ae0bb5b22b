"""An image's files as LinuxKit copies them: the members of its layers' archives, one by one.

LinuxKit takes the top layer first and passes over every name that it has seen, so that nothing has to be put together
before it is written (go-containerregistry, pkg/v1/mutate, "Extract"). What comes out differs from what OCI's layer.md
asks for (``hullkit.oci.layers.flatten`` does that): opaque whiteouts hide nothing, a whiteout hides names of its own
layer that follow it, and of two members of one name in a layer the first stays.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from posixpath import normpath
from typing import Any

from hullkit.context import Context
from hullkit.oci.blobs import Blobs
from hullkit.oci.image import Layer
from hullkit.oci.layers import layer_tar
from hullkit.steps import cached_path, step_id
from hullkit.tree.entry import Entry, EntryType, FileSlice, Owner
from hullkit.tree.tar import read_tar
from hullkit.tree.tree import WHITEOUT

#: what decides the members of a layer; part of the id of whatever is made of them
CODE = ("hullkit.tree.tar_reader", "hullkit.tree.pax", "hullkit.oci.members")


def image_members(context: Context, store: Blobs, layers: Sequence[Layer], image_name: str) -> list[Entry]:
    """The members of an image's layers (lowest first) in LinuxKit's order, with clean names; ``image_name`` owns them.

    Names are unique. A hard link may come before its file; one whose file a higher layer hides has its ``content``.
    Errors as for ``layer_entries``.
    """
    seen: dict[str, bool] = {}
    found: list[Entry] = []
    files: dict[str, Entry] = {}
    linked = False
    for layer in reversed(layers):
        for entry in layer_members(context, store, layer, image_name):
            path = entry.path
            if path[0] in "./" or path[-1] == "/" or "/." in path or "//" in path:
                path = normpath(path).lstrip("/") or "."
                entry = replace(entry, path=path)
            if entry.content is not None:
                files.setdefault(path, entry)
            linked = linked or entry.type is EntryType.HARDLINK
            name, hides = _subject(path, entry.type)
            if name in seen or _is_hidden(seen, name):
                continue
            seen[name] = hides or entry.type is not EntryType.DIR
            if not hides:
                found.append(entry)
    return [_with_content(entry, seen, files) for entry in found] if linked else found


def _subject(path: str, kind: EntryType) -> tuple[str, bool]:
    """The name that a member speaks of, and whether it is a whiteout."""
    directory, _, name = path.rpartition("/")
    if not name.startswith(WHITEOUT):
        return path, False
    hidden = path if kind is EntryType.DIR else normpath(f"{directory or '.'}/{name[len(WHITEOUT) :]}")
    return hidden, True


def _is_hidden(seen: dict[str, bool], path: str) -> bool:
    """Whether a directory above is hidden, or is none."""
    end = path.rfind("/")
    while end > 0:
        if seen.get(path[:end]):
            return True
        end = path.rfind("/", 0, end)
    return False


def _with_content(entry: Entry, seen: dict[str, bool], files: dict[str, Entry]) -> Entry:
    if entry.type is not EntryType.HARDLINK or entry.target not in files:
        return entry
    return replace(entry, content=files[entry.target].content)


def layer_members(context: Context, store: Blobs, layer: Layer, image_name: str) -> Iterator[Entry]:
    """The members of a layer as they are written (``read_tar`` with ``verbatim``), whiteouts included."""
    tar = FileSlice(layer_tar(context, store, layer), 0, 0)
    owner = Owner(image=image_name, layer=layer.diff_id)
    return _members(context, tar, [layer.diff_id], owner, f"{image_name}: layer {layer.descriptor.digest}")


def inner_members(context: Context, file: Entry) -> Iterator[Entry]:
    """The members of an uncompressed archive that is itself a file of a layer, as they are written."""
    assert isinstance(file.content, FileSlice)
    identity = [file.owner.layer, file.content.offset, file.content.size]
    return _members(context, file.content, identity, file.owner, f"{file.owner.image}: {file.path}")


def _members(context: Context, tar: FileSlice, identity: list[Any], owner: Owner, name: str) -> Iterator[Entry]:
    """An archive's members; ``tar`` of size 0 is the whole file. The index is kept by ``identity``."""
    part = (tar.offset, tar.size) if tar.size else None

    def make(path: Path) -> None:
        entries = read_tar(tar.path, name=name, verbatim=True, part=part)
        with open(path, "w", encoding="ascii") as stream:
            stream.write(json.dumps([_row(entry) for entry in entries], separators=(",", ":")))

    index = cached_path(context, "layer-members", step_id("layer-members", identity, CODE), make, suffix=".json")
    return _entries(json.loads(index.read_bytes()), tar.path, owner)


def _row(entry: Entry) -> list[Any]:
    place = [entry.content.offset, entry.content.size] if isinstance(entry.content, FileSlice) else None
    row = [entry.path, entry.type.value, entry.mode, entry.uid, entry.gid, entry.mtime, place]
    rare = [entry.target, entry.rdev, _pairs(entry.xattrs), _pairs(entry.pax)]
    return row + rare if any((entry.target, *entry.rdev, entry.xattrs, entry.pax)) else row


def _pairs(pairs: tuple[tuple[str, bytes], ...]) -> list[list[str]]:
    return [[name, value.decode("latin-1")] for name, value in pairs]


def _entries(rows: list[list[Any]], tar: Path, owner: Owner) -> Iterator[Entry]:
    kinds = {kind.value: kind for kind in EntryType}
    for path, kind, mode, uid, gid, mtime, place, *rare in rows:
        content = FileSlice(tar, *place) if place is not None else None
        if not rare:
            yield Entry(path, kinds[kind], mode, uid, gid, mtime, content, owner=owner)
            continue
        target, rdev, xattrs, pax = rare
        known = (_bytes(xattrs), owner, _bytes(pax))
        yield Entry(path, kinds[kind], mode, uid, gid, mtime, content, target, (rdev[0], rdev[1]), *known)


def _bytes(pairs: list[list[str]]) -> tuple[tuple[str, bytes], ...]:
    return tuple((name, value.encode("latin-1")) for name, value in pairs)
