"""Pulling: from a reference to an image in the store."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from hullkit.context import Context
from hullkit.errors import HostError, NetworkError, NotFound
from hullkit.oci.document import Descriptor
from hullkit.oci.gather import Gathering, base_images, platform_of
from hullkit.oci.image import Image
from hullkit.oci.index import Platform
from hullkit.oci.layers import layer_tar
from hullkit.oci.reference import Reference
from hullkit.oci.registry import Client, Progress, Repository
from hullkit.oci.store import Store

#: bytes that must stay free on the disk
_FREE = 64 << 20


class RegistrySource:
    """A ``gather.Source``: one repository."""

    def __init__(self, repository: Repository, store: Store, name: str) -> None:
        self._repository = repository
        self._store = store
        self._name = name
        self._context = repository.client.context

    def root(self, reference: Reference) -> Descriptor:
        """Ask for the reference and put what it stands for into the store."""
        found = self._repository.manifest(reference.digest or reference.tag or "latest")
        self._add(found.descriptor, found.data)
        return found.descriptor

    def manifest(self, descriptor: Descriptor) -> None:
        if not self._store.has(descriptor.digest):
            found = self._repository.manifest(descriptor.digest, expect=descriptor)
            self._add(found.descriptor, found.data)

    def _add(self, descriptor: Descriptor, data: bytes) -> None:
        self._store.add_blob(data, media_type=descriptor.media_type, expect_digest=descriptor.digest)

    def blobs(self, descriptors: Sequence[Descriptor]) -> None:
        wanted = {each.digest: each for each in descriptors if not self._present(each)}
        if not wanted:
            return
        missing = sorted(wanted.values(), key=lambda each: -each.size)
        total = sum(each.size for each in missing)
        self._check_space(total)
        step = f"pull {self._name}"
        progress = Progress(self._repository.client, step, total)

        with self._context.bus.step(step):
            jobs = [partial(self._repository.fetch_blob, self._store, each, progress) for each in missing]
            progress.run_all(jobs)

    def _present(self, descriptor: Descriptor) -> bool:
        try:
            return self._store.blob(descriptor.digest).stat().st_size == descriptor.size
        except NotFound:
            return False

    def _check_space(self, size: int) -> None:
        free = shutil.disk_usage(self._context.cache.path("oci", "x").parent.parent).free
        if size > free - _FREE:
            raise HostError(
                f"{self._name} says that it has {size / 1e6:.0f} MB, and the disk of the cache has {free / 1e6:.0f} MB",
                hint="free some space, or choose another cache with --cache",
            )


def pull(client: Client, reference: Reference, arch: str) -> Image:
    """Ask the registry for an image and bring what the store lacks of it, with its attestations; named afterwards.

    Its layers are unfolded too: what they hold is checked before the image has a name, and builds begin at once.
    Raises NetworkError (also when offline), NotFound, TrustError, HostError.
    """
    context, store = client.context, Store(client.context.cache)
    _guard(context, reference)
    source = RegistrySource(client.repository(reference), store, str(reference))
    root = source.root(reference)
    wanted = Platform("linux", arch)
    image = Gathering(store, source, str(reference)).one(root, wanted)
    _warn_of_another(context, reference, image, wanted)
    with ThreadPoolExecutor(max_workers=context.jobs) as pool:
        list(pool.map(lambda layer: layer_tar(context, store, layer), image.layers))
    store.tag(str(reference), arch, image.digest, root.digest)
    return image


def pull_platforms(client: Client, reference: Reference, platforms: Sequence[Platform] | None) -> Descriptor:
    """Bring the images for several platforms (None: all that there are) with their attestations, each named.

    Returns what the reference stands for, an index as a rule. Errors as for ``pull``.
    """
    context, store = client.context, Store(client.context.cache)
    _guard(context, reference)
    source = RegistrySource(client.repository(reference), store, str(reference))
    root = source.root(reference)
    images = Gathering(store, source, str(reference)).several(root, platforms)
    for arch, digest in base_images(images).items():
        store.tag(str(reference), arch, digest, root.digest)
    return root


def registry_digest(client: Client, reference: Reference) -> str:
    """What a reference stands for now: the digest of its index or manifest. Raises as ``pull``."""
    _guard(client.context, reference)
    found = client.repository(reference).digest(reference.digest or reference.tag or "latest")
    if found is None:
        raise NotFound(f"{reference} is not in the registry")
    return found


def _guard(context: Context, reference: Reference) -> None:
    if context.offline:
        raise NetworkError(
            f"the image {reference} is not in the cache, and --offline forbids to pull it",
            hint=f"run it once online, or: hullkit cache pull {reference}",
        )


def _warn_of_another(context: Context, reference: Reference, image: Image, wanted: Platform) -> None:
    found = platform_of(image)
    if found != wanted:
        context.bus.warning(f"{reference} has only an image for {found}, which is used for {wanted}")
