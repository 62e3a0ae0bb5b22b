"""The image store: an OCI image layout (image-layout.md) in the cache, shared by concurrent builds.

``index.json`` names images (``org.opencontainers.image.ref.name`` and a platform), one single-platform manifest each;
it is rewritten under a lock and replaced by rename. A process killed at any moment leaves a valid store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hullkit.errors import TrustError
from hullkit.oci.blobs import Blobs
from hullkit.oci.document import Descriptor, descriptor_of, encode, list_of, object_of, read_document, strings_of
from hullkit.oci.image import CONFIG, LAYER, MANIFEST, Image, Layer
from hullkit.tree.entry import Entry
from hullkit.tree.tar import write_tar

INDEX = "application/vnd.oci.image.index.v1+json"
REF_NAME = "org.opencontainers.image.ref.name"
#: of an entry in index.json: what its name stands for in the registry, when that is an index
_ROOT = "org.hullkit.root"
_MAX_INDEX = 64 << 20
_MAX_IMAGES = 100_000
_WHAT = "index.json of the cache"


@dataclass(frozen=True, slots=True)
class Named:
    """One name of the store. ``digest`` is the image's; ``root`` the manifest's or index's that has the name in the
    registry."""

    name: str
    arch: str
    digest: str
    root: str


class Store(Blobs):
    """Blobs and the images made of them; cheap to make, safe between processes and threads."""

    def add_layer(self, entries: Iterable[Entry]) -> Layer:
        """Write entries as a layer. It is stored uncompressed, so that its files can be read where they lie."""
        with self._cache.temp_dir() as work:
            made = work / "layer.tar"
            with open(made, "wb") as stream:
                write_tar(entries, stream)
            descriptor = self.add_blob(made, media_type=LAYER, move=True)
        return Layer(descriptor, descriptor.digest)

    def add_image(
        self, config: Mapping[str, Any], layers: Sequence[Layer], annotations: Mapping[str, str] | None = None
    ) -> Image:
        """Add an image of layers that the store has (OCI image-spec 1.1, config.md and manifest.md).

        ``config`` needs ``architecture`` and ``os``; its ``rootfs`` is made from the layers. Equal input gives an equal
        digest. The image has no name until ``tag``.
        """
        for layer in layers:
            self.blob(layer.descriptor.digest)
        rootfs = {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]}
        described = self.add_blob(encode({**config, "rootfs": rootfs}), media_type=CONFIG)
        manifest: dict[str, Any] = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": described.as_json(),
            "layers": [layer.descriptor.as_json() for layer in layers],
        }
        if annotations:
            manifest["annotations"] = dict(annotations)
        return Image(self, self.add_blob(encode(manifest), media_type=MANIFEST))

    def image(self, digest: str) -> Image:
        """The image with this manifest digest; NotFound when the store does not have it."""
        return Image(self, Descriptor(MANIFEST, digest, self.blob(digest).stat().st_size))

    def tag(self, name: str, arch: str, digest: str, root: str | None = None) -> None:
        """Name the image ``digest`` for an architecture; the name is taken from the image that had it.

        ``root``: the digest of the index by which a registry gave the image.
        """
        image = self.image(digest)
        annotations = {REF_NAME: name, **({_ROOT: root} if root and root != digest else {})}
        entry = {
            **image.descriptor.as_json(),
            "mediaType": image.manifest.get("mediaType", MANIFEST),
            "platform": {"architecture": arch, "os": "linux"},
            "annotations": annotations,
        }

        def change(known: dict[tuple[str, str], dict[str, Any]]) -> None:
            known[name, arch] = entry

        self._change(change)

    def untag(self, name: str, arch: str | None = None) -> None:
        """Take a name away, for one architecture or for all. The blobs stay."""

        def change(known: dict[tuple[str, str], dict[str, Any]]) -> None:
            for key in [key for key in known if key[0] == name and arch in (None, key[1])]:
                del known[key]

        self._change(change)

    def _change(self, change: Callable[[dict[tuple[str, str], dict[str, Any]]], None]) -> None:
        with self._cache.lock("oci index"):
            before = {_key(each): each for each in self._index()}
            known = dict(before)
            change(known)
            if known == before:
                return
            manifests = [known[key] for key in sorted(known)]
            index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}
            self._ensure_layout()
            self._write(self._cache.path("oci", "index.json"), encode(index))

    def find(self, name: str, arch: str) -> Image | None:
        """The image with this name for an architecture; None when there is none (any more)."""
        for entry in self._index():
            if _key(entry) == (name, arch):
                descriptor = descriptor_of(entry, _WHAT)
                return Image(self, descriptor) if self.has(descriptor.digest) else None
        return None

    def names(self) -> list[Named]:
        """Every name whose image is there, sorted."""
        found = []
        for entry in self._index():
            (name, arch), descriptor = _key(entry), descriptor_of(entry, _WHAT)
            if self.has(descriptor.digest):
                root = descriptor.annotations.get(_ROOT, descriptor.digest)
                found.append(Named(name, arch, descriptor.digest, root))
        return sorted(found, key=lambda each: (each.name, each.arch))

    def _index(self) -> list[dict[str, Any]]:
        path = self._cache.path("oci", "index.json")
        what = f"{path}"
        try:
            document = read_document(path, what, _MAX_INDEX)
        except FileNotFoundError:
            return []
        manifests = list_of(document, "manifests", what, _MAX_IMAGES)
        if not all(isinstance(each, dict) for each in manifests):
            raise TrustError(f"{what}: a manifest entry is not an object")
        return manifests


def _key(entry: Mapping[str, Any]) -> tuple[str, str]:
    name = strings_of(entry, "annotations", _WHAT).get(REF_NAME, "")
    return name, str(object_of(entry, "platform", _WHAT).get("architecture", ""))
