"""What the store has of an image reference, without asking anybody."""

from __future__ import annotations

from hullkit.errors import NotFound
from hullkit.oci.image import Image
from hullkit.oci.reference import Reference
from hullkit.oci.store import Store


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


def is_whole(image: Image) -> bool:
    """All blobs of the image are in the store with their sizes."""
    try:
        return all(
            image.store.blob(layer.descriptor.digest).stat().st_size == layer.descriptor.size for layer in image.layers
        )
    except NotFound:
        return False
