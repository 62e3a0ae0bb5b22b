"""From a configuration to a system and its files."""

from __future__ import annotations

from hullkit.assemble.system import System
from hullkit.build.locking import require_locked
from hullkit.build.resolve import resolve_images
from hullkit.config.model import SystemConfig
from hullkit.config.validate import unfit_for_hullkit, unsupported
from hullkit.context import Context
from hullkit.errors import ConfigError
from hullkit.lock.lock import Lock


def build_system(
    context: Context,
    config: SystemConfig,
    name: str,
    *,
    layout: str | None = None,
    lock: Lock | None = None,
    pull: bool = False,
) -> System:
    """Resolve every image and assemble. ``layout`` overrides the configuration's; ``lock`` pins packages and images;
    ``pull`` asks the registries even for images that the cache has."""
    for problem in (*unsupported(config), *unfit_for_hullkit(config)):
        raise problem
    if lock is not None:
        require_locked(config, lock)
    images = resolve_images(context, config, lock, pull=pull)
    chosen = layout or config.layout or "packed"
    if chosen == "flat":
        raise ConfigError("layout flat is not supported yet", where=config.position("layout"))
    from hullkit.assemble.packed import assemble_packed

    return assemble_packed(context, config, images, name)
