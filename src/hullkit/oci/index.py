"""Manifests and indexes as registries give them: what a document is, and which of an index's images is wanted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from hullkit.errors import ConfigError, NotFound, TrustError
from hullkit.oci.document import Descriptor, descriptor_of, list_of, object_of
from hullkit.oci.image import MANIFEST
from hullkit.oci.store import INDEX

DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
_SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1"
KINDS: Mapping[str, Literal["image", "index"]] = {
    MANIFEST: "image",
    DOCKER_MANIFEST: "image",
    INDEX: "index",
    DOCKER_LIST: "index",
}
MAX_CHILDREN = 1024
#: the variant that an architecture without a variant means (containerd's platforms, "Normalization")
_BASE_VARIANTS = {"amd64": ("", "v1"), "arm64": ("", "v8")}
#: how BuildKit says that an entry of an index is about another one (attestation storage)
_REFERENCE_TYPE = "vnd.docker.reference.type"
_REFERENCE_DIGEST = "vnd.docker.reference.digest"


@dataclass(frozen=True, slots=True)
class Platform:
    """``str()`` is as people write it: linux/arm64/v8."""

    os: str
    arch: str
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.arch, self.variant) if part)

    @classmethod
    def parse(cls, text: str) -> Platform:
        """Raises ConfigError for what is not OS/ARCH[/VARIANT]."""
        parts = text.split("/")
        if not 2 <= len(parts) <= 3 or not all(parts):
            raise ConfigError(f"{text!r} is not a platform", hint="write OS/ARCH, such as linux/arm64")
        return cls(*parts)

    def covers(self, other: Platform) -> bool:
        """An image for ``other`` runs where this one is asked for."""
        if (self.os, self.arch) != (other.os, other.arch):
            return False
        wanted = _BASE_VARIANTS.get(self.arch, ("",))
        return other.variant in wanted if self.variant in wanted else other.variant == self.variant


@dataclass(frozen=True, slots=True)
class Child:
    """One entry of an index; ``about`` is the digest of the entry that an attestation is about."""

    descriptor: Descriptor
    platform: Platform | None
    about: str = ""

    @property
    def is_index(self) -> bool:
        return KINDS.get(self.descriptor.media_type) == "index"


def kind_of(document: Mapping[str, Any], content_type: str, what: str) -> tuple[str, Literal["image", "index"]]:
    """(media type, kind) of a document; ``content_type`` is what its server called it, if it said anything.

    Raises TrustError for schema 1, for what is neither image nor index, and for what could be taken for both
    (CVE-2021-41190).
    """
    said = content_type.partition(";")[0].strip().lower()
    inner = document.get("mediaType")
    if document.get("schemaVersion") == 1 or said.startswith(_SCHEMA_1):
        raise TrustError(
            f"{what} is an image of Docker's old kind (schema 1), which is not supported",
            hint="pull and push it once with a current tool",
        )
    if document.get("schemaVersion") != 2 or not isinstance(inner, str | None):
        raise TrustError(f"{what} is not a manifest (schemaVersion 2)")
    if inner is not None and said in KINDS and inner != said:
        raise TrustError(f"{what} calls itself {inner[:100]}, and its server {said}")
    media_type = inner if inner is not None else said
    if media_type not in KINDS:
        if inner is not None:
            raise TrustError(f"{what} is of type {inner[:100]!r}, not an image")
        media_type = INDEX if "manifests" in document else MANIFEST
    kind = KINDS[media_type]
    if ("manifests" in document) != (kind == "index") or ("layers" in document and kind == "index"):
        raise TrustError(f"{what} is of type {media_type} and has not its form")
    return media_type, kind


def children(document: Mapping[str, Any], what: str) -> list[Child]:
    """The entries of an index, in its order."""
    found = []
    for each in list_of(document, "manifests", what, MAX_CHILDREN):
        descriptor = descriptor_of(each, what)
        about = ""
        if descriptor.annotations.get(_REFERENCE_TYPE) == "attestation-manifest":
            about = descriptor.annotations.get(_REFERENCE_DIGEST, "")
        found.append(Child(descriptor, _platform(each, what), about))
    return found


def _platform(entry: Mapping[str, Any], what: str) -> Platform | None:
    value = object_of(entry, "platform", what)
    parts = [value.get(key) or "" for key in ("os", "architecture", "variant")]
    if not all(isinstance(part, str) for part in parts):
        raise TrustError(f"{what}: a platform is not made of strings")
    return Platform(*parts) if any(parts) else None


def no_platform(what: str, wanted: Platform, seen: Iterable[Platform]) -> NotFound:
    """The error for an index that has nothing for a platform."""
    known = ", ".join(sorted({str(each) for each in seen if each.os != "unknown"})[:12])
    return NotFound(f"{what} has no image for {wanted}", hint=f"it has {known}" if known else None)
