"""From a root document to the blobs of an image in the store, whatever they come from (a registry, an archive)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from hullkit.errors import NotFound, TrustError
from hullkit.oci.document import Descriptor, descriptor_of, list_of, read_document
from hullkit.oci.image import Image
from hullkit.oci.index import KINDS, Child, Platform, children, kind_of, no_platform
from hullkit.oci.store import Store

#: how many indexes may stand in each other, and how many documents one image may take to find
MAX_DEPTH = 4
MAX_DOCUMENTS = 256
_MAX_LAYERS = 1024
_WORD = re.compile(r"[a-z0-9_]{1,32}", re.ASCII)


class Source(Protocol):
    """Where blobs come from. What it brings is in the store afterwards, with digest and size checked."""

    def manifest(self, descriptor: Descriptor) -> None:
        """Raises NotFound, NetworkError, TrustError."""
        ...

    def blobs(self, descriptors: Sequence[Descriptor]) -> None:
        """Raises NotFound, NetworkError, TrustError."""
        ...


class Gathering:
    """One image (or all images of an index) on the way into the store; ``what`` names it in errors."""

    def __init__(self, store: Store, source: Source, what: str) -> None:
        self._store = store
        self._source = source
        self._what = what
        self._left = MAX_DOCUMENTS

    def one(self, root: Descriptor, platform: Platform) -> Image:
        """The image for a platform, all its blobs, and the attestations about it. ``root`` is in the store.

        A root that is an image, not an index, is taken whatever its platform. Raises NotFound when an index has none
        for the platform, TrustError for what does not hold together, and what the source raises.
        """
        if KINDS[root.media_type] == "image":
            return self._image(root)
        seen: list[Platform] = []
        found = self._search(root, platform, 1, seen)
        if found is None:
            raise no_platform(self._what, platform, seen)
        chosen, siblings = found
        image = self._image(chosen)
        for each in siblings:
            if each.about == chosen.digest:
                self._attestation(each.descriptor)
        return image

    def several(self, root: Descriptor, platforms: Sequence[Platform] | None) -> list[tuple[Platform, Image]]:
        """The images for the given platforms, or all of them, with their attestations, in the order of the index."""
        if KINDS[root.media_type] == "image":
            image = self._image(root)
            return [(platform_of(image), image)]
        found: dict[str, tuple[Platform, Image]] = {}
        everything = list(self._walk(root, 1))
        for child in everything:
            platform = child.platform
            if not child.about and platform and platform.os != "unknown" and _wanted(platform, platforms):
                found[child.descriptor.digest] = (platform, self._image(child.descriptor))
        for each in platforms or ():
            if not any(each.covers(platform) for platform, _ in found.values()):
                raise no_platform(self._what, each, (child.platform for child in everything if child.platform))
        for child in everything:
            if child.about in found:
                self._attestation(child.descriptor)
        return list(found.values())

    # -- finding

    def _search(
        self, index: Descriptor, wanted: Platform, depth: int, seen: list[Platform]
    ) -> tuple[Descriptor, list[Child]] | None:
        """The first image for a platform and the entries beside it; those that say their platform come first."""
        siblings = self._children(index, depth)
        entries = [each for each in siblings if not each.about]
        seen += [each.platform for each in entries if each.platform is not None]
        for each in sorted(entries, key=lambda each: each.platform is None):
            if each.platform is not None and not wanted.covers(each.platform):
                continue
            if each.is_index:
                if found := self._nested(each, wanted, depth, seen):
                    return found
            elif each.platform is not None or self._platform_of(each.descriptor) == wanted:
                return each.descriptor, siblings
        return None

    def _nested(
        self, child: Child, wanted: Platform, depth: int, seen: list[Platform]
    ) -> tuple[Descriptor, list[Child]] | None:
        self._fetch(child.descriptor)
        return self._search(child.descriptor, wanted, depth + 1, seen)

    def _walk(self, index: Descriptor, depth: int) -> Iterator[Child]:
        for each in self._children(index, depth):
            if each.is_index:
                self._fetch(each.descriptor)
                yield from self._walk(each.descriptor, depth + 1)
            else:
                yield each

    def _children(self, index: Descriptor, depth: int) -> list[Child]:
        if depth > MAX_DEPTH:
            raise TrustError(f"{self._what}: indexes stand in each other more than {MAX_DEPTH} deep")
        return children(self._document(index), f"{self._what}: index {index.digest}")

    def _platform_of(self, manifest: Descriptor) -> Platform | None:
        """The platform that the configuration of an image tells, where its index does not."""
        self._fetch(manifest)
        document = self._document(manifest)
        config = descriptor_of(document.get("config"), self._what)
        self._source.blobs([config])
        told = self._read(config)
        return Platform(str(told.get("os", "")), str(told.get("architecture", "")))

    # -- bringing

    def _fetch(self, descriptor: Descriptor) -> None:
        self._left -= 1
        if self._left < 0:
            raise TrustError(f"{self._what}: takes more than {MAX_DOCUMENTS} manifests")
        self._source.manifest(descriptor)

    def _document(self, descriptor: Descriptor) -> Mapping[str, Any]:
        """A manifest or index of the store that is what its descriptor says."""
        what = f"{self._what}: manifest {descriptor.digest}"
        document = self._read(descriptor)
        media_type, _ = kind_of(document, descriptor.media_type, what)
        if descriptor.media_type in KINDS and media_type != descriptor.media_type:
            raise TrustError(f"{what} is of type {media_type}, and was called {descriptor.media_type}")
        return document

    def _read(self, descriptor: Descriptor) -> dict[str, Any]:
        return read_document(self._store.blob(descriptor.digest), f"{self._what}: {descriptor.digest}")

    def _image(self, manifest: Descriptor) -> Image:
        """Bring an image: its configuration first, so that what is no image is refused before its layers come."""
        if not self._store.has(manifest.digest):
            self._fetch(manifest)
        self._document(manifest)
        image = Image(self._store, manifest)
        self._source.blobs([descriptor_of(image.manifest.get("config"), self._what)])
        self._source.blobs([layer.descriptor for layer in image.layers])
        return image

    def _attestation(self, manifest: Descriptor) -> None:
        """Bring an attestation; copies of images often lack them, which is no reason to fail."""
        try:
            self._fetch(manifest)
        except NotFound:
            return
        what = f"{self._what}: attestation {manifest.digest}"
        document = self._document(manifest)
        parts = [document.get("config"), *list_of(document, "layers", what, _MAX_LAYERS)]
        self._source.blobs([descriptor_of(part, what) for part in parts])


def platform_of(image: Image) -> Platform:
    """What the configuration of an image says that it runs on. Raises TrustError."""
    found = Platform(str(image.config.get("os", "")), image.architecture)
    if not all(_WORD.fullmatch(word) for word in (found.os, found.arch)):
        raise TrustError(f"image {image.digest}: {str(found)[:80]!r} is not a platform")
    return found


def base_images(images: Sequence[tuple[Platform, Image]]) -> dict[str, str]:
    """Architecture → digest of its Linux image, the first one of each, as names of the store stand for them."""
    found: dict[str, str] = {}
    for platform, image in images:
        if Platform("linux", platform.arch).covers(platform):
            found.setdefault(platform.arch, image.digest)
    return found


def _wanted(platform: Platform, platforms: Sequence[Platform] | None) -> bool:
    return platforms is None or any(each.covers(platform) for each in platforms)
