"""References of a configuration → images in the store."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hullkit.assemble.images import Images, SystemImage
from hullkit.config.model import SystemConfig, base_directory
from hullkit.context import Context
from hullkit.errors import HullError, NotFound, Position
from hullkit.lock.lock import Lock
from hullkit.oci.image import Image
from hullkit.oci.store import Store

DEFAULT_PROFILE = "qemu"
COMPONENT = "@component:"


def references(config: SystemConfig) -> Iterator[tuple[str, tuple[str | int, ...]]]:
    """Every image reference but the kernel's, with the path of the value that names it."""
    for number, reference in enumerate(config.init):
        yield reference, ("init", number)
    for kind, number, entry in config.containers():
        yield entry.image, (kind, number, "image")


def resolve_images(context: Context, config: SystemConfig, lock: Lock | None) -> Images:
    """Find or build every image; several at a time, an error names the place that asked for the image."""
    store = Store(context.cache)
    first: dict[str, tuple[str | int, ...]] = {}
    for reference, path in references(config):
        first.setdefault(reference, path)

    def resolve(reference: str, path: tuple[str | int, ...], profile: str | None) -> SystemImage:
        where = config.position(*path)
        base = Path(base_directory(config, *path))
        image = _resolve_one(context, store, reference, base, profile, lock, where)
        return SystemImage(context, store, reference, image, tuple(image.layers), where)

    with ThreadPoolExecutor(max_workers=context.jobs) as pool:
        kernel = None
        if config.kernel.image:
            profile = config.kernel.profile or DEFAULT_PROFILE
            kernel = pool.submit(resolve, config.kernel.image, ("kernel", "image"), profile)
        waiting = {reference: pool.submit(resolve, reference, path, None) for reference, path in first.items()}
        found = {reference: future.result() for reference, future in waiting.items()}
        return Images(found, kernel.result() if kernel else None)


def _resolve_one(
    context: Context,
    store: Store,
    reference: str,
    base: Path,
    profile: str | None,
    lock: Lock | None,
    where: Position | None,
) -> Image:
    try:
        if reference.startswith(COMPONENT):
            from hullkit.component.component import component_image

            return component_image(context, reference, base_dir=base, profile=profile, lock=lock)
        image = store.find(reference, context.arch)
        if image is None:
            raise NotFound(
                f"the image {reference} is not in the cache, and hullkit cannot pull from registries yet",
                hint="use a component: @component:NAME",
            )
        return image
    except HullError as error:
        error.where = error.where or where
        raise
