"""The ``volumes:`` section of a flat system (LinuxKit: moby/build, "Add volumes"; its cache's OCI tar)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from hullkit.assemble.images import Images, SystemIndex
from hullkit.assemble.rootfs import RootFS, directories, directory, joined, overlay_mounts
from hullkit.assemble.segments import Segments, records
from hullkit.config.model import SystemConfig, Volume
from hullkit.config.syntax import expand_reference
from hullkit.oci.digest import split_digest
from hullkit.oci.document import Descriptor, descriptor_of, list_of, read_document
from hullkit.oci.index import KINDS, children
from hullkit.tree.entry import Bytes, Entry, EntryType, FileSlice, Owner

_INDEX = "application/vnd.oci.image.index.v1+json"
_LAYOUT = b'{\n\t\t"imageLayoutVersion": "1.0.0"\n\t}'
_MAX_LAYERS = 1024
_UPPER = "tmp"


def volume_directory(volume: Volume) -> str:
    return joined("containers/volumes", volume.name or "")


def add_volume(segments: Segments, config: SystemConfig, images: Images, number: int) -> None:
    """``containers/volumes/NAME``: ``lower`` with the files of its image, ``tmp`` and ``merged``."""
    volume = config.volumes[number]
    location, base = f"volume[{number}]", volume_directory(volume)
    if not volume.image:
        segments.add(location, list(directories(f"{base}/lower")), records(location, "empty"))
    elif volume.format == "oci":
        entries = list(_layout(images.indexes[number], f"{base}/lower"))
        segments.add(location, entries, records(location, expand_reference(volume.image)))
    else:
        segments.rootfs(location, volume_rootfs(images, volume))
    made = [directory(f"{base}/{name}") for name in (_UPPER, "merged")]
    segments.add(f"{location} mount points", made, records(location, "linuxkit.volumes"))


def volume_mounts(volume: Volume) -> list[dict[str, Any]]:
    """What makes ``merged``: the volume's files, and over them a tmpfs that takes what is written. (LinuxKit's init
    does it by itself.)"""
    base = volume_directory(volume)
    return overlay_mounts(f"/{base}/lower", f"/{base}/{_UPPER}", f"/{base}/merged")


def volume_rootfs(images: Images, volume: Volume) -> RootFS:
    """The files of a volume that has an image."""
    return RootFS(images[volume.image or ""], f"{volume_directory(volume)}/lower", resolver_link=True)


def _layout(index: SystemIndex, base: str) -> Iterator[Entry]:
    """The index as an OCI image layout, its blobs in the order in which one refers to the next."""
    owner = Owner(image=index.reference)
    yield from directories(base)
    yield Entry(f"{base}/oci-layout", EntryType.FILE, 0o644, content=Bytes(_LAYOUT), owner=owner)
    yield Entry(f"{base}/blobs", EntryType.DIR, 0o755)
    yield Entry(f"{base}/blobs/sha256", EntryType.DIR, 0o755)
    seen: set[str] = set()
    for descriptor in _blobs(index, index.root):
        if descriptor.digest in seen:
            continue
        seen.add(descriptor.digest)
        path = index.store.blob(descriptor.digest)
        content = FileSlice(path, 0, path.stat().st_size)
        name = "/".join(split_digest(descriptor.digest))
        yield Entry(f"{base}/blobs/{name}", EntryType.FILE, 0o644, content=content, owner=owner)
    named = {
        "mediaType": index.root.media_type,
        "size": index.root.size,
        "digest": index.root.digest,
        "annotations": {"org.opencontainers.image.ref.name": expand_reference(index.reference)},
    }
    document = {"schemaVersion": 2, "mediaType": _INDEX, "manifests": [named]}
    text = json.dumps(document, indent=3, ensure_ascii=False).encode()
    yield Entry(f"{base}/index.json", EntryType.FILE, 0o644, content=Bytes(text), owner=owner)


def _blobs(index: SystemIndex, root: Descriptor) -> Iterator[Descriptor]:
    """Everything that a manifest or an index refers to, then itself; of an index the wanted platforms."""
    what = f"{index.reference}: {root.digest}"
    document = read_document(index.store.blob(root.digest), what)
    if KINDS.get(root.media_type) == "index":
        for child in children(document, what):
            wanted = child.platform is not None and any(each.covers(child.platform) for each in index.platforms)
            if child.is_index or not index.platforms or wanted:
                yield from _blobs(index, child.descriptor)
    else:
        for part in (document.get("config"), *list_of(document, "layers", what, _MAX_LAYERS)):
            yield descriptor_of(part, what)
    yield root
