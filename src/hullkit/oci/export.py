"""Images out of the store, as archives; always the same bytes for the same images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import BinaryIO

from hullkit.context import Context
from hullkit.oci.blobs import LAYOUT
from hullkit.oci.digest import split_digest
from hullkit.oci.document import encode
from hullkit.oci.image import Image
from hullkit.oci.layers import flatten, layer_tar
from hullkit.oci.store import INDEX, REF_NAME
from hullkit.tree.entry import Bytes, Entry, EntryType, FileSlice
from hullkit.tree.tar import write_tar


def export_layout(images: Sequence[tuple[str, Image]], stream: BinaryIO) -> None:
    """The tar of an OCI image layout (image-layout.md) with images by name; a name may come with several platforms."""
    files: dict[str, Bytes | FileSlice] = {"oci-layout": Bytes(encode(LAYOUT))}
    named = []
    for name, image in images:
        store = image.store
        config = str(image.manifest["config"]["digest"])
        for digest in (image.digest, config, *(each.descriptor.digest for each in image.layers)):
            path = store.blob(digest)
            files["blobs/" + "/".join(split_digest(digest))] = FileSlice(path, 0, path.stat().st_size)
        entry = {
            **image.descriptor.as_json(),
            "mediaType": image.manifest.get("mediaType", image.descriptor.media_type),
        }
        platform = {"architecture": image.architecture, "os": image.config.get("os", "linux")}
        named.append({**entry, "platform": platform, "annotations": {REF_NAME: name}})
    files["index.json"] = Bytes(encode({"schemaVersion": 2, "mediaType": INDEX, "manifests": named}))
    _write(files, stream)


def export_docker(context: Context, images: Sequence[tuple[str, Image]], stream: BinaryIO) -> None:
    """What ``docker load`` reads (Docker image specification 1.2, "Combined Image JSON + Filesystem Changeset")."""
    files: dict[str, Bytes | FileSlice] = {}
    listed = []
    for name, image in images:
        config = f"{split_digest(str(image.manifest['config']['digest']))[1]}.json"
        path = image.store.blob(str(image.manifest["config"]["digest"]))
        files[config] = FileSlice(path, 0, path.stat().st_size)
        layers = []
        for layer in image.layers:
            tar = layer_tar(context, image.store, layer)
            layers.append(f"{split_digest(layer.diff_id)[1]}/layer.tar")
            files[layers[-1]] = FileSlice(tar, 0, tar.stat().st_size)
        listed.append({"Config": config, "RepoTags": [name], "Layers": layers})
    files["manifest.json"] = Bytes(encode(listed))
    _write(files, stream)


def export_filesystem(context: Context, image: Image, name: str, stream: BinaryIO) -> None:
    """The root file system of an image as a tar."""
    write_tar(flatten(context, image.store, image, name).entries(), stream)


def _write(files: Mapping[str, Bytes | FileSlice], stream: BinaryIO) -> None:
    directories = {path[:end] for path in files for end in range(len(path)) if path[end] == "/"}
    entries = [Entry(path, EntryType.DIR, 0o755) for path in directories]
    entries += [Entry(path, EntryType.FILE, 0o644, content=content) for path, content in files.items()]
    write_tar(sorted(entries, key=lambda entry: entry.path), stream)
