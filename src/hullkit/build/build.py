"""From a configuration to a system and its files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from hullkit.assemble.flatoptions import FlatOptions
from hullkit.assemble.system import System
from hullkit.build.locking import require_locked
from hullkit.build.resolve import resolve_images
from hullkit.config import syntax
from hullkit.config.model import SystemConfig
from hullkit.config.validate import unfit_for_hullkit, unsupported
from hullkit.context import Context
from hullkit.errors import ConfigError
from hullkit.lock.lock import Lock

#: keys that only hullkit's init obeys
_SUPERVISION = ("restart", "requires", "after", "ready", "stop", "timeout", "logs")


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """``layout`` overrides the configuration's; ``lock`` pins packages and images; ``pull`` asks the registries even
    for images that the cache has; ``release``: compress for size, not for speed; ``flat`` is for the flat layout."""

    layout: str | None = None
    lock: Lock | None = None
    pull: bool = False
    release: bool = False
    flat: FlatOptions = field(default_factory=FlatOptions)


def build_system(context: Context, config: SystemConfig, name: str, options: BuildOptions) -> System:
    """Resolve every image and assemble. Without a wish the layout is packed for hullkit's init, and flat for others."""
    for problem in unsupported(config):
        raise problem
    if options.lock is not None:
        require_locked(config, options.lock)
    images = resolve_images(context, config, options.lock, pull=options.pull)
    hullkit = images.hullkit_init(config) is not None
    for problem in unfit_for_hullkit(config) if hullkit else _unfit_for_others(config):
        raise problem
    chosen = options.layout or config.layout or ("packed" if hullkit else "flat")
    if chosen == "packed":
        _check_packed(config, options.flat)
        from hullkit.assemble.packed import assemble_packed

        return assemble_packed(context, config, images, name, release=options.release)
    from hullkit.assemble.flat import assemble_flat

    return assemble_flat(context, config, images, name, options.flat, release=options.release)


def _check_packed(config: SystemConfig, options: FlatOptions) -> None:
    if config.volumes:
        raise ConfigError(
            "volumes: the packed layout has none yet", hint="use layout: flat", where=config.position("volumes")
        )
    for given, option in ((options.decompress_kernel, "--decompress-kernel"), (options.input_tar, "--input-tar")):
        if given:
            raise ConfigError(f"{option} is for the flat layout", hint="give --layout flat, or leave it out")


def _unfit_for_others(config: SystemConfig) -> Iterator[ConfigError]:
    """What another init than hullkit's would silently ignore."""
    for section, index, entry in config.containers():
        for key in _SUPERVISION:
            if getattr(entry, key, None) is not None:
                yield ConfigError(
                    f"{section}[{index}].{key}: only hullkit's init obeys it, and init: has another",
                    hint='remove it, or put "@component:hullkit-init" into init:',
                    where=config.position(section, index, key),
                )
    yield from _forgotten_volumes(config)
    if config.checks:
        yield ConfigError(
            "checks: only hullkit's init can run them, and init: has another", where=config.position("checks")
        )


def _forgotten_volumes(config: SystemConfig) -> Iterator[ConfigError]:
    """LinuxKit's build finds the volumes of the last file only (moby/config.go: AppendConfig)."""
    last = next(reversed(tuple(config.origin.directories)), "")
    written = {volume.name or "": config.position("volumes", number) for number, volume in enumerate(config.volumes)}
    for section, index, entry in config.containers():
        binds = [syntax.bind(text).source for text in (*(entry.binds or ()), *(entry.binds_add or ()))]
        mounts = [mount.source or "" for mount in entry.mounts or () if mount.type == "bind"]
        for source in (*binds, *mounts):
            where = written.get(source)
            if where is not None and where.file != last:
                yield ConfigError(
                    f"{section}[{index}]: the volume {source} is not in the last file {last}, and LinuxKit forgets it",
                    hint="move volumes: to the last file",
                    where=config.position(section, index),
                )
