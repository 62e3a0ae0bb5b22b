"""From a configuration to a system and its files."""

from __future__ import annotations

from hullkit.assemble.system import System
from hullkit.build.resolve import resolve_images
from hullkit.config.model import SystemConfig, position_of
from hullkit.config.unsupported import refuse_unsupported
from hullkit.context import Context
from hullkit.errors import ConfigError
from hullkit.lock.lock import Lock


def build_system(
    context: Context, config: SystemConfig, name: str, *, layout: str | None = None, lock: Lock | None = None
) -> System:
    """Resolve every image and assemble. ``layout`` overrides the configuration's; ``lock`` pins packages."""
    refuse_unsupported(config)
    images = resolve_images(context, config, lock)
    chosen = layout or config.layout or "packed"
    if chosen == "flat":
        raise ConfigError("layout flat is not supported yet", where=position_of(config, "layout"))
    from hullkit.assemble.packed import assemble_packed

    return assemble_packed(context, config, images, name)
