"""What the store has of an image reference, without asking anybody."""

from __future__ import annotations

from collections.abc import Sequence

from hullkit.errors import NotFound
from hullkit.oci.document import Descriptor, descriptor_of, list_of, read_document
from hullkit.oci.image import Image
from hullkit.oci.index import KINDS, Child, Platform, children, kind_of
from hullkit.oci.reference import Reference
from hullkit.oci.store import Store

_MAX_LAYERS = 1024


def find_local(store: Store, reference: Reference, arch: str) -> Image | None:
    """The image of the store that a reference stands for, if all of it is there.

    A reference with a digest is found under any name: the digest says what it is.
    """
    image = store.find(str(reference), arch)
    if image is None and reference.digest:
        same = (each for each in store.names() if each.arch == arch and reference.digest in (each.root, each.digest))
        image = next((store.image(each.digest) for each in same), None)
    return image if image is not None and is_whole(image) else None


def find_root(store: Store, reference: Reference, arch: str) -> str | None:
    """The digest of what a name of the store stands for in its registry, as far as is known here."""
    same = [each for each in store.names() if each.name == str(reference)]
    return next((each.root for each in same if each.arch == arch), same[0].root if same else None)


def find_whole(store: Store, reference: Reference, platforms: Sequence[Platform]) -> Descriptor | None:
    """What a reference stands for (an index as a rule), if the store has it and all that it refers to for the
    platforms (none: for all), attestations included."""
    names = store.names()
    roots = {each.root for each in names if each.name == str(reference)}
    roots |= {each.root for each in names if each.root == reference.digest}
    for digest in sorted(root for root in roots if store.has(root)):
        size = store.blob(digest).stat().st_size
        document = read_document(store.blob(digest), digest)
        media_type, _ = kind_of(document, "", digest)
        root = Descriptor(media_type, digest, size)
        if _has_all(store, root, platforms):
            return root
    return None


def _has_all(store: Store, root: Descriptor, platforms: Sequence[Platform]) -> bool:
    if not store.has(root.digest):
        return False
    document = read_document(store.blob(root.digest), root.digest)
    if KINDS.get(root.media_type) != "index":
        parts = [document.get("config"), *list_of(document, "layers", root.digest, _MAX_LAYERS)]
        return all(store.has(descriptor_of(part, root.digest).digest) for part in parts)
    found = children(document, root.digest)
    known = [each.platform for each in found if each.platform is not None]
    if not all(any(one.covers(platform) for platform in known) for one in platforms):
        return False
    return all(_has_all(store, each.descriptor, platforms) for each in found if _wanted(each, platforms))


def _wanted(child: Child, platforms: Sequence[Platform]) -> bool:
    platform = child.platform
    return not platforms or (platform is not None and any(each.covers(platform) for each in platforms))


def is_whole(image: Image) -> bool:
    """All blobs of the image are in the store with their sizes."""
    try:
        return all(
            image.store.blob(layer.descriptor.digest).stat().st_size == layer.descriptor.size for layer in image.layers
        )
    except NotFound:
        return False
