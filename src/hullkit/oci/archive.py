"""Images into the store from archives: the tar of an OCI image layout (image-layout.md), or what ``docker save`` wrote.

Nothing of an archive is unpacked: blobs are read where they lie in it, and enter the store by their digests.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from hullkit.cache import host_errors
from hullkit.context import Context
from hullkit.errors import ConfigError, NotFound, TrustError
from hullkit.oci.decompress import LAYER_LIMITS, decompress_layer, is_compressed
from hullkit.oci.digest import digest_of, split_digest
from hullkit.oci.document import (
    MAX_DOCUMENT,
    Descriptor,
    descriptor_of,
    encode,
    list_of,
    object_of,
    parse_document,
)
from hullkit.oci.gather import Gathering, base_images
from hullkit.oci.index import DOCKER_MANIFEST, KINDS, MAX_CHILDREN
from hullkit.oci.reference import Reference
from hullkit.oci.store import REF_NAME, Named, Store
from hullkit.tree.entry import Entry, EntryType, FileSlice
from hullkit.tree.tar_reader import read_tar

#: how containerd names the images of a layout
_CONTAINERD_NAME = "io.containerd.image.name"
_DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
_DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"


def import_archive(context: Context, source: Path | BinaryIO, name: str | None = None) -> list[Named]:
    """Add the images of an archive (a file, or a stream such as a pipe) to the store; returns their names.

    ``name`` is for an archive with one image, and needed where it does not name its image itself.
    Raises TrustError for what does not hold together, ConfigError (not an image archive; no name), HostError.
    """
    store = Store(context.cache)
    with context.cache.temp_dir() as work:
        path = _plain(source, work)
        what = str(source) if isinstance(source, Path) else "standard input"
        members = {entry.path: entry for entry in read_tar(path, name=what)}
        archive = _Archive(store, members, what)
        if "index.json" in members and "oci-layout" in members:
            found = _import_layout(store, archive, name)
        elif "manifest.json" in members:
            found = _import_docker(store, archive, name)
        else:
            raise ConfigError(f"{what} is neither an OCI image layout nor an archive of docker save")
        return _tag_all(store, found, what)


def _tag_all(store: Store, found: list[Named], what: str) -> list[Named]:
    """Give the images their names once all of them are there."""
    unique = {(each.name, each.arch): each for each in found}
    if not unique:
        raise ConfigError(f"{what} holds no image for Linux")
    if len(unique) != len(set(found)):
        raise ConfigError(f"{what} holds several images that would have the same name", hint="import them one by one")
    for each in unique.values():
        store.tag(each.name, each.arch, each.digest, each.root)
    return list(unique.values())


def _plain(source: Path | BinaryIO, work: Path) -> Path:
    """The archive as an uncompressed file: itself, or a copy in ``work``."""
    path = source if isinstance(source, Path) else work / "archive"
    if not isinstance(source, Path):
        with open(path, "wb") as out:
            shutil.copyfileobj(source, out, 1 << 20)
    with host_errors(f"read {path}"):
        if not is_compressed(path):
            return path
        plain = work / "archive.tar"
        with open(plain, "wb") as out:
            decompress_layer(path, out, f"{path.name}", LAYER_LIMITS)
        return plain


@dataclass(frozen=True)
class _Archive:
    """A ``gather.Source``: the members of an archive."""

    store: Store
    members: Mapping[str, Entry]
    what: str

    def slice(self, path: str) -> FileSlice:
        """The content of a member; a link is followed once, inside the archive (docker save stores equal layers so)."""
        entry = self.members.get(path)
        if entry is not None and entry.type is EntryType.SYMLINK:
            entry = self.members.get(_joined(path, entry.target))
        elif entry is not None and entry.type is EntryType.HARDLINK:
            entry = self.members.get(entry.target)
        if entry is None or not isinstance(entry.content, FileSlice):
            raise NotFound(f"{self.what} has no {path}")
        return entry.content

    def read(self, path: str) -> bytes:
        content = self.slice(path)
        if content.size > MAX_DOCUMENT:
            raise TrustError(f"{self.what}: {path} is larger than {MAX_DOCUMENT} bytes")
        return b"".join(content.chunks())

    def manifest(self, descriptor: Descriptor) -> None:
        if descriptor.size > MAX_DOCUMENT:
            raise TrustError(f"{self.what}: {descriptor.digest} is larger than {MAX_DOCUMENT} bytes")
        self.blobs([descriptor])

    def blobs(self, descriptors: Sequence[Descriptor]) -> None:
        for each in descriptors:
            if not self.store.has(each.digest):
                self._add(each)

    def _add(self, descriptor: Descriptor) -> None:
        content = self.slice("blobs/" + "/".join(split_digest(descriptor.digest)))
        self.store.add_blob(
            content.chunks(),
            media_type=descriptor.media_type,
            expect_digest=descriptor.digest,
            expect_size=descriptor.size,
        )


def _joined(path: str, target: str) -> str:
    """A relative link's target as a path of the archive; one that leads out of it names nothing."""
    parts = path.split("/")[:-1] if not target.startswith("/") else []
    for part in target.split("/"):
        if part == "..":
            if not parts:
                return ""
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


def _import_layout(store: Store, archive: _Archive, name: str | None) -> list[Named]:
    what = f"{archive.what}: index.json"
    index = parse_document(archive.read("index.json"), what)
    entries = [descriptor_of(each, what) for each in list_of(index, "manifests", what, MAX_CHILDREN)]
    found: list[Named] = []
    for entry in entries:
        if entry.media_type not in KINDS:
            continue
        called = _name_of(entry, name, what)
        archive.manifest(entry)
        images = Gathering(store, archive, f"{archive.what}: {called}").several(entry, None)
        found += [Named(called, arch, digest, entry.digest) for arch, digest in base_images(images).items()]
    return found


def _name_of(entry: Descriptor, name: str | None, what: str) -> str:
    """The canonical name for an entry: the given one, else its annotation if that is more than a tag."""
    if name is not None:
        return str(Reference.parse(name))
    told = entry.annotations.get(_CONTAINERD_NAME) or entry.annotations.get(REF_NAME, "")
    if "/" not in told and ":" not in told:
        raise ConfigError(
            f"{what}: the image is called {told[:80]!r} there, which is not a full name", hint="give --name"
        )
    return str(Reference.parse(told))


def _import_docker(store: Store, archive: _Archive, name: str | None) -> list[Named]:
    """``manifest.json`` lists images by configuration file, names and layer files (uncompressed tars)."""
    what = f"{archive.what}: manifest.json"
    wrapped = parse_document(b'{"images":' + archive.read("manifest.json") + b"}", what)
    listed = list_of(wrapped, "images", what, MAX_CHILDREN)
    if name is not None and len(listed) != 1:
        raise ConfigError(f"{what}: it holds {len(listed)} images, and --name names one")
    found: list[Named] = []
    for number, each in enumerate(listed):
        if not isinstance(each, dict) or not isinstance(each.get("Config"), str):
            raise TrustError(f"{what}: entry {number} is not an image")
        tags = [name] if name else list_of(each, "RepoTags", what, MAX_CHILDREN)
        layers = list_of(each, "Layers", what, MAX_CHILDREN)
        if not tags or not all(isinstance(word, str) for word in (*tags, *layers)):
            raise ConfigError(f"{what}: entry {number} has no name", hint="give --name")
        names = [str(Reference.parse(tag)) for tag in tags]
        manifest = _docker_image(store, archive, each["Config"], layers)
        images = Gathering(store, archive, f"{archive.what}: {names[0]}").several(manifest, None)
        found += [Named(tag, arch, digest, digest) for tag in names for arch, digest in base_images(images).items()]
    return found


def _docker_image(store: Store, archive: _Archive, config: str, layers: Sequence[str]) -> Descriptor:
    """Make the manifest that such archives lack; the configuration tells the digest of each layer."""
    data = archive.read(config)
    document = parse_document(data, f"{archive.what}: {config}")
    rootfs = object_of(document, "rootfs", config)
    diff_ids = list_of(rootfs, "diff_ids", config, MAX_CHILDREN)
    if len(diff_ids) != len(layers):
        raise TrustError(f"{archive.what}: {len(layers)} layers, but its configuration speaks of {len(diff_ids)}")
    described = [
        store.add_blob(archive.slice(path).chunks(), media_type=_DOCKER_LAYER, expect_digest=str(diff_id)).as_json()
        for path, diff_id in zip(layers, diff_ids, strict=True)
    ]
    stored = store.add_blob(data, media_type=_DOCKER_CONFIG, expect_digest=digest_of(data))
    manifest = {
        "schemaVersion": 2,
        "mediaType": DOCKER_MANIFEST,
        "config": stored.as_json(),
        "layers": described,
    }
    return store.add_blob(encode(manifest), media_type=DOCKER_MANIFEST)
