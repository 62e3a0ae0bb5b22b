"""Images of the store as immutable views; manifest and configuration are read when first asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from hullkit.errors import TrustError
from hullkit.oci.blobs import Blobs
from hullkit.oci.digest import check_digest
from hullkit.oci.document import Descriptor, descriptor_of, list_of, object_of, read_document, strings_of

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
_MANIFESTS = (MANIFEST, "application/vnd.docker.distribution.manifest.v2+json")
_LAYERS = (
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
    "application/vnd.docker.image.rootfs.diff.tar",
)
_COMPRESSIONS = ("", "+gzip", "+zstd", ".gzip", ".zstd")
_MAX_LAYERS = 1024
_MAX_WORDS = 100_000


@dataclass(frozen=True, slots=True)
class Layer:
    """``diff_id`` is the digest of the uncompressed tar, ``descriptor`` names the blob as it is stored."""

    descriptor: Descriptor
    diff_id: str


@dataclass(frozen=True)
class Image:
    """One image for one platform. What does not hold together raises TrustError when it is read."""

    store: Blobs
    descriptor: Descriptor

    @property
    def digest(self) -> str:
        """The digest of the manifest."""
        return self.descriptor.digest

    @cached_property
    def manifest(self) -> Mapping[str, Any]:
        what = f"manifest {self.digest}"
        manifest = read_document(self._blob(self.descriptor), what)
        media_type = manifest.get("mediaType", MANIFEST)
        if manifest.get("schemaVersion") != 2 or media_type not in _MANIFESTS:
            raise TrustError(f"{what}: not an image manifest (schemaVersion 2)")
        return manifest

    @cached_property
    def config(self) -> Mapping[str, Any]:
        """The configuration as in the blob: ``architecture``, ``os``, ``config`` (Entrypoint, Env, …), ``rootfs``."""
        what = f"manifest {self.digest}"
        return read_document(self._blob(descriptor_of(self.manifest.get("config"), what)), f"configuration of {what}")

    @cached_property
    def labels(self) -> Mapping[str, str]:
        what = f"configuration of {self.digest}"
        return strings_of(object_of(self.config, "config", what), "Labels", what)

    @cached_property
    def process(self) -> Mapping[str, Any]:
        """What the configuration says about the process, checked: Entrypoint, Cmd and Env are lists of text, WorkingDir
        and StopSignal texts, all of them empty when absent."""
        what = f"configuration of {self.digest}"
        said = object_of(self.config, "config", what)
        found: dict[str, Any] = {}
        for key in ("Entrypoint", "Cmd", "Env"):
            found[key] = list_of(said, key, what, _MAX_WORDS)
            if not all(isinstance(word, str) for word in found[key]):
                raise TrustError(f"{what}: {key} holds something that is not text")
        for key in ("WorkingDir", "StopSignal"):
            found[key] = said.get(key) or ""
            if not isinstance(found[key], str):
                raise TrustError(f"{what}: {key} is not text")
        return found

    @cached_property
    def annotations(self) -> Mapping[str, str]:
        """The annotations of the manifest."""
        return strings_of(self.manifest, "annotations", f"manifest {self.digest}")

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """Lowest first."""
        what = f"image {self.digest}"
        found = [descriptor_of(each, what) for each in list_of(self.manifest, "layers", what, _MAX_LAYERS)]
        for each in found:
            if not any(each.media_type == base + suffix for base in _LAYERS for suffix in _COMPRESSIONS):
                raise TrustError(f"{what}: a layer of type {each.media_type!r} is not a file system layer")
        rootfs = object_of(self.config, "rootfs", what)
        diff_ids = [check_digest(each) for each in list_of(rootfs, "diff_ids", what, _MAX_LAYERS)]
        if len(diff_ids) != len(found):
            raise TrustError(f"{what}: {len(found)} layers, but its configuration speaks of {len(diff_ids)}")
        return tuple(Layer(*pair) for pair in zip(found, diff_ids, strict=True))

    @property
    def architecture(self) -> str:
        return str(self.config.get("architecture", ""))

    def _blob(self, descriptor: Descriptor) -> Path:
        return self.store.blob(descriptor.digest)
