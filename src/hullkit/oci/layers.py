"""Layers of images as entries; contents stay in the uncompressed tar of the layer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hullkit.context import Context
from hullkit.errors import TrustError
from hullkit.oci.blobs import Blobs
from hullkit.oci.decompress import LAYER_LIMITS, LayerLimits, decompress_layer, is_compressed
from hullkit.oci.digest import split_digest
from hullkit.oci.image import Image, Layer
from hullkit.steps import cached_path, step_id
from hullkit.tree.entry import Entry, EntryType, FileSlice, Owner
from hullkit.tree.tar import read_tar
from hullkit.tree.tree import Tree

_CODE = ("hullkit.tree.tar_reader", "hullkit.tree.pax", "hullkit.oci.layers")


def layer_tar(context: Context, store: Blobs, layer: Layer, limits: LayerLimits = LAYER_LIMITS) -> Path:
    """The uncompressed tar of a layer: the blob itself, or what it unfolds to, made once and kept by diffID.

    TrustError when that is not what the diffID says, or is a decompression bomb; then nothing is kept.
    """
    blob = store.blob(layer.descriptor.digest)
    what = f"layer {layer.descriptor.digest}"
    if blob.stat().st_size != layer.descriptor.size:
        raise TrustError(f"{what}: the file in the cache has not its size", hint=f"remove {blob} and run it again")
    if not is_compressed(blob):
        if layer.diff_id != layer.descriptor.digest:
            raise TrustError(f"{what}: it is not compressed, and its image calls its content {layer.diff_id}")
        return blob
    if store.has(layer.diff_id):
        return store.blob(layer.diff_id)

    def make(path: Path) -> None:
        with context.bus.step(f"unpack {layer.descriptor.digest[:19]}"), open(path, "wb") as out:
            found = decompress_layer(blob, out, what, limits)
            if found != layer.diff_id:
                raise TrustError(f"{what}: its content has the digest {found} instead of {layer.diff_id}")

    return cached_path(context, "layer-tar", split_digest(layer.diff_id)[1], make, suffix=".tar")


def layer_entries(context: Context, store: Blobs, layer: Layer, image_name: str) -> list[Entry]:
    """The members of a layer in the order of its tar, whiteouts included, owned by ``image_name`` and the layer.

    An index is kept by diffID, so the tar is parsed once. Errors as for layer_tar and read_tar.
    """
    tar = layer_tar(context, store, layer)
    owner = Owner(image=image_name, layer=layer.diff_id)

    def make(path: Path) -> None:
        entries = read_tar(tar, name=f"{image_name}: layer {layer.descriptor.digest}")
        with open(path, "w", encoding="ascii") as stream:
            stream.write(json.dumps([_row(entry) for entry in entries], separators=(",", ":")))

    index = cached_path(context, "layer-index", step_id("layer-index", [layer.diff_id], _CODE), make, suffix=".json")
    return list(_entries(json.loads(index.read_bytes()), tar, owner))


def _row(entry: Entry) -> list[Any]:
    place = [entry.content.offset, entry.content.size] if isinstance(entry.content, FileSlice) else None
    xattrs = [[name, value.decode("latin-1")] for name, value in entry.xattrs]
    kind = entry.type.value
    return [entry.path, kind, entry.mode, entry.uid, entry.gid, entry.mtime, place, entry.target, entry.rdev, xattrs]


def _entries(rows: list[list[Any]], tar: Path, owner: Owner) -> Iterator[Entry]:
    kinds = {kind.value: kind for kind in EntryType}
    for path, kind, mode, uid, gid, mtime, place, target, rdev, attributes in rows:
        content = FileSlice(tar, *place) if place is not None else None
        xattrs = tuple((name, value.encode("latin-1")) for name, value in attributes)
        yield Entry(path, kinds[kind], mode, uid, gid, mtime, content, target, (rdev[0], rdev[1]), xattrs, owner)


def flatten(context: Context, store: Blobs, image: Image, image_name: str = "") -> Tree:
    """All layers of an image over each other, as OCI's layer.md says. Errors as for layer_entries and
    Tree.apply_layer; ``image_name`` is the owner's name (default: the digest)."""
    tree = Tree()
    for layer in image.layers:
        tree.apply_layer(layer_entries(context, store, layer, image_name or image.digest))
    return tree
