"""References of a configuration → images in the store."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hullkit.assemble.images import Images, SystemImage, SystemIndex
from hullkit.component.hardware import Hardware
from hullkit.config.model import SystemConfig, base_directory
from hullkit.context import Context
from hullkit.errors import ConfigError, HullError
from hullkit.lock.lock import Lock
from hullkit.oci.image import Image
from hullkit.oci.index import Platform
from hullkit.oci.local import find_local, find_whole
from hullkit.oci.reference import Reference
from hullkit.oci.store import Store

if TYPE_CHECKING:
    from hullkit.oci.registry import Client

COMPONENT = "@component:"
_KERNEL = ("kernel", "image")


def references(config: SystemConfig, *, indexes: bool = False) -> Iterator[tuple[str, tuple[str | int, ...]]]:
    """Every image reference, the kernel's first, with the path of the value that names it; ``indexes``: also those of
    volumes that hold an image for several platforms."""
    if config.kernel.image:
        yield config.kernel.image, ("kernel", "image")
    for number, reference in enumerate(config.init):
        yield reference, ("init", number)
    for number, volume in enumerate(config.volumes):
        if volume.image and (indexes or volume.format != "oci"):
            yield volume.image, ("volumes", number, "image")
    for kind, number, entry in config.containers():
        yield entry.image, (kind, number, "image")


def resolve_images(context: Context, config: SystemConfig, lock: Lock | None, *, pull: bool = False) -> Images:
    """Find, pull or build every image; several at a time, an error names the place that asked for the image.

    ``pull``: ask the registries even for images that the cache has.
    """
    resolver = _Resolver(context, config, lock, pull)
    indexes = [number for number, volume in enumerate(config.volumes) if volume.image and volume.format == "oci"]
    first: dict[tuple[str, Hardware | None], tuple[str | int, ...]] = {}
    for reference, path in references(config):
        first.setdefault((reference, resolver.hardware(path)), path)
    with resolver, ThreadPoolExecutor(max_workers=context.jobs) as pool:
        waiting = {key: pool.submit(resolver.resolve, *key, path) for key, path in first.items()}
        volumes = {number: pool.submit(resolver.index, number) for number in indexes}
        everything: list[Future[Any]] = [*waiting.values(), *volumes.values()]
        try:
            wait(everything, return_when=FIRST_EXCEPTION)
            for each in everything:
                if each.done():
                    each.result()  # one that has failed raises here, and the others are not waited for
            found = {key: future.result() for key, future in waiting.items()}
            whole = {number: future.result() for number, future in volumes.items()}
        except BaseException:
            resolver.stop()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    kernel = next((image for key, image in found.items() if first[key] == _KERNEL), None)
    return Images({key[0]: image for key, image in found.items() if first[key] != _KERNEL}, kernel, whole)


class _Resolver:
    """Shares one registry client, made when it is first needed, between all images."""

    def __init__(self, context: Context, config: SystemConfig, lock: Lock | None, pull: bool) -> None:
        self._context = context
        self._config = config
        self._lock = lock
        self._pull = pull
        self._store = Store(context.cache)
        self._closing = ExitStack()
        self._mutex = threading.Lock()
        self._client: Client | None = None

    def __enter__(self) -> _Resolver:
        return self

    def __exit__(self, *error: Any) -> None:
        self._closing.__exit__(*error)

    def stop(self) -> None:
        """End what is being pulled."""
        with self._mutex:
            if self._client is not None:
                self._client.stop()

    def hardware(self, path: tuple[str | int, ...]) -> Hardware | None:
        """What the image at a place is chosen for: only kernels are."""
        kernel = self._config.kernel
        return Hardware(kernel.profile, kernel.modules or ()) if path == _KERNEL else None

    def resolve(self, reference: str, hardware: Hardware | None, path: tuple[str | int, ...]) -> SystemImage:
        where = self._config.position(*path)
        try:
            if reference.startswith(COMPONENT):
                base = Path(base_directory(self._config, *path))
                image = self._component(reference, base, hardware or Hardware())
            else:
                if hardware not in (None, Hardware()):
                    raise ConfigError("kernel.profile and kernel.modules choose from the modules of a kernel component")
                image = self._plain(reference)
        except HullError as error:
            error.where = error.where or where
            raise
        return SystemImage(self._context, self._store, reference, image, tuple(image.layers), where)

    def index(self, number: int) -> SystemIndex:
        """What a volume with ``format: oci`` holds: an image for several platforms."""
        volume, path = self._config.volumes[number], ("volumes", number, "image")
        text = volume.image or ""
        try:
            platforms = tuple(Platform.parse(each) for each in volume.platforms or ())
            reference = self._pinned(Reference.parse(text))
            root = None if self._pull and not reference.digest else find_whole(self._store, reference, platforms)
            if root is None:
                from hullkit.oci.pull import pull_platforms

                root = pull_platforms(self._shared_client(), reference, platforms or None)
        except HullError as error:
            error.where = error.where or self._config.position(*path)
            raise
        return SystemIndex(self._store, text, root, platforms)

    def _pinned(self, reference: Reference) -> Reference:
        if reference.digest or self._lock is None:
            return reference
        digest = self._lock.image(str(reference))
        return replace(reference, digest=digest) if digest else reference

    def _component(self, reference: str, base: Path, hardware: Hardware) -> Image:
        from hullkit.component.component import component_image

        return component_image(self._context, reference, base_dir=base, hardware=hardware, lock=self._lock)

    def _plain(self, text: str) -> Image:
        """An image of the store, else of its registry. One with a digest never changes and is asked for once."""
        reference = self._pinned(Reference.parse(text))
        if reference.digest or not self._pull:
            image = find_local(self._store, reference, self._context.arch)
            if image is not None:
                return image
        from hullkit.oci.pull import pull

        return pull(self._shared_client(), reference, self._context.arch)

    def _shared_client(self) -> Client:
        from hullkit.oci.registry import Client

        with self._mutex:
            if self._client is None:
                self._client = self._closing.enter_context(Client(self._context))
            return self._client
