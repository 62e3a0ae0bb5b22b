"""Pushing: an image of the store, or an index of its images for several architectures, to a registry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from hullkit.errors import ConfigError, NotFound
from hullkit.oci.digest import digest_of
from hullkit.oci.document import Descriptor, descriptor_of, encode, list_of, parse_document, read_document
from hullkit.oci.index import KINDS, MAX_CHILDREN, Child, children, kind_of
from hullkit.oci.mirrors import endpoint
from hullkit.oci.reference import Reference
from hullkit.oci.registry import Client, Progress
from hullkit.oci.store import INDEX, Named, Store
from hullkit.oci.upload import BlobUpload, push_manifest

_MAX_LAYERS = 1024


def push(
    client: Client, reference: Reference, remote: Reference, *, arch_tags: bool = False, override: bool = False
) -> str | None:
    """Push what the store has under a name; returns the digest that the remote name has then.

    One architecture gives a manifest, several give an index (the one they were pulled by, where all of it is here).
    A remote name that stands for something else is left alone (None) unless ``override``; images of a remote index for
    platforms that are not here stay in it even then. ``arch_tags``: also TAG-ARCH for each image.
    Raises NotFound, ConfigError (a remote name that is not a tag), NetworkError, TrustError.
    """
    if remote.tag is None or remote.digest is not None:
        raise ConfigError(f"{remote}: an image is pushed to a tag", hint="give --remote-name NAME:TAG")
    store = Store(client.context.cache)
    named = [each for each in store.names() if each.name == str(reference)]
    if not named:
        raise NotFound(f"the cache has no image {reference}", hint="hullkit cache ls lists them")
    return _Push(client, store, reference, remote).run(named, remote.tag, arch_tags, override)


@dataclass(frozen=True, slots=True)
class _Root:
    """What the tag will stand for; ``manifests`` must be in the registry before it."""

    descriptor: Descriptor
    data: bytes
    manifests: Sequence[Descriptor]


class _Push:
    def __init__(self, client: Client, store: Store, reference: Reference, remote: Reference) -> None:
        self._client = client
        self._store = store
        here, there = (endpoint(client.context.registries, each) for each in (reference, remote))
        self._mount_from = here.repository if here.host == there.host and here != there else ""
        self._repository = client.repository(remote, push=True, mount_from=self._mount_from)

    def run(self, named: Sequence[Named], tag: str, arch_tags: bool, override: bool) -> str | None:
        root = self._root(named)
        there = self._repository.digest(tag)
        if there not in (None, root.descriptor.digest):
            if not override:
                return None
            root = self._joined(named, root, tag)
        self._send(root.manifests, tag)
        push_manifest(self._repository, tag, root.data, root.descriptor)
        for each in named if arch_tags else ():
            self._manifest(each.digest, f"{tag}-{each.arch}")
        return root.descriptor.digest

    def _root(self, named: Sequence[Named]) -> _Root:
        roots = {each.root for each in named}
        if len(roots) == 1 and (whole := self._whole_index(roots.pop())):
            return whole
        manifests = [self._described(each.digest) for each in named]
        if len(manifests) == 1:
            return _Root(manifests[0], self._store.blob(manifests[0].digest).read_bytes(), manifests)
        return _index(self._entries(named), manifests)

    def _entries(self, named: Sequence[Named]) -> list[dict[str, Any]]:
        """Images as entries of an index."""
        return [
            {**self._described(each.digest).as_json(), "platform": {"architecture": each.arch, "os": "linux"}}
            for each in sorted(named, key=lambda each: each.arch)
        ]

    def _whole_index(self, digest: str) -> _Root | None:
        """The index by which images were pulled, if every image of it is in the store."""
        if not self._store.has(digest) or KINDS[self._described(digest).media_type] != "index":
            return None
        below = children(read_document(self._store.blob(digest), f"index {digest}"), f"index {digest}")
        if not all(self._is_here(each) for each in below):
            return None
        data = self._store.blob(digest).read_bytes()
        return _Root(self._described(digest), data, [each.descriptor for each in below])

    def _is_here(self, child: Child) -> bool:
        if child.is_index or not self._store.has(child.descriptor.digest):
            return False
        return all(self._store.has(part.digest) for part in self._parts(child.descriptor))

    def _joined(self, named: Sequence[Named], root: _Root, tag: str) -> _Root:
        """Our images with those of the remote index for platforms that we do not have."""
        remote = self._repository.manifest(tag)
        if KINDS[remote.descriptor.media_type] != "index":
            return root
        ours = self._entries(named)
        if KINDS[root.descriptor.media_type] == "index":
            ours = _entries_of(root.data, "index")
        kept = _others(ours, _entries_of(remote.data, f"{self._repository.name}:{tag}"))
        return _index([*ours, *kept], root.manifests) if kept else root

    # -- sending

    def _send(self, manifests: Sequence[Descriptor], tag: str) -> None:
        wanted = {part.digest: part for manifest in manifests for part in self._parts(manifest)}
        step = f"push {self._repository.name}:{tag}"
        progress = Progress(self._client, step, sum(part.size for part in wanted.values()))
        uploads = [
            BlobUpload(self._repository, self._store.blob(part.digest), part, progress)
            for part in sorted(wanted.values(), key=lambda part: -part.size)
        ]
        with self._client.context.bus.step(step):
            progress.run_all([partial(upload.push, self._mount_from) for upload in uploads])
            for manifest in manifests:
                self._manifest(manifest.digest, manifest.digest)

    def _manifest(self, digest: str, reference: str) -> None:
        push_manifest(self._repository, reference, self._store.blob(digest).read_bytes(), self._described(digest))

    def _described(self, digest: str) -> Descriptor:
        path, what = self._store.blob(digest), f"manifest {digest}"
        return Descriptor(kind_of(read_document(path, what), "", what)[0], digest, path.stat().st_size)

    def _parts(self, manifest: Descriptor) -> list[Descriptor]:
        what = f"manifest {manifest.digest}"
        document = read_document(self._store.blob(manifest.digest), what)
        found = [document.get("config"), *list_of(document, "layers", what, _MAX_LAYERS)]
        return [descriptor_of(each, what) for each in found]


def _entries_of(data: bytes, what: str) -> list[dict[str, Any]]:
    document = parse_document(data, what)
    children(document, what)  # refuses what is no index
    return list_of(document, "manifests", what, MAX_CHILDREN)


def _others(ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Entries for platforms that ours lacks, and the attestations about them."""
    mine = children({"manifests": ours}, "index")
    taken = {each.platform for each in mine if not each.about} | {each.descriptor.digest for each in mine}
    pairs = list(zip(theirs, children({"manifests": theirs}, "index"), strict=True))
    kept = {
        child.descriptor.digest
        for _, child in pairs
        if not child.about and child.platform not in taken and child.descriptor.digest not in taken
    }
    return [entry for entry, child in pairs if (child.about or child.descriptor.digest) in kept]


def _index(entries: list[dict[str, Any]], manifests: Sequence[Descriptor]) -> _Root:
    data = encode({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries})
    return _Root(Descriptor(INDEX, digest_of(data), len(data)), data, manifests)
