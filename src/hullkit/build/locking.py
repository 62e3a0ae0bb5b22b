"""``hullkit lock``: resolve everything a system is made of, and pin it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from hullkit.build.resolve import COMPONENT, references
from hullkit.component.catalogue import Recipe
from hullkit.component.component import component_closure
from hullkit.component.gosource import go_version, recipe_digest, uses_go
from hullkit.component.packages import resolve
from hullkit.component.sourcebuild import resolve_build
from hullkit.config.model import SystemConfig, base_directory
from hullkit.context import Context
from hullkit.errors import HullError
from hullkit.lock.lock import Lock, Pins


def recipes(config: SystemConfig) -> dict[str, Recipe]:
    """Every component of the system, bases included, by name."""
    found: dict[str, Recipe] = {}
    for reference, path in references(config):
        if not reference.startswith(COMPONENT):
            continue
        try:
            for recipe in component_closure(reference, base_dir=Path(base_directory(config, *path))):
                found[recipe.spec.name] = recipe
        except HullError as error:
            error.where = error.where or config.position(*path)
            raise
    return found


def recipe_digests(found: Mapping[str, Recipe]) -> dict[str, str]:
    """Component → digest of its recipe, with the Go sources and modules (go.sum) that it names."""
    return {name: recipe_digest(recipe) for name, recipe in found.items()}


def codecs(found: Mapping[str, Recipe] | None = None) -> dict[str, str]:
    """Versions of what makes the bytes of a system: compressors, and the Go toolchain where recipes have programs."""
    import zlib

    import zstandard

    versions = {"zlib": zlib.ZLIB_RUNTIME_VERSION, "zstandard": zstandard.__version__}
    if any(uses_go(recipe) for recipe in (found or {}).values()):
        versions["go"] = go_version()
    return versions


def image_digests(context: Context, config: SystemConfig) -> dict[str, str]:
    """Canonical reference → digest of what the registry gives for it now; those with a digest pin themselves.

    Offline: what the cache has.
    """
    from hullkit.oci.local import find_root
    from hullkit.oci.pull import registry_digest
    from hullkit.oci.reference import Reference
    from hullkit.oci.registry import Client
    from hullkit.oci.store import Store

    found: dict[str, str] = {}
    with Client(context) as client:
        for text, path in references(config, indexes=True):
            if text.startswith(COMPONENT):
                continue
            try:
                reference = Reference.parse(text)
                if reference.digest or str(reference) in found:
                    continue
                known = find_root(Store(context.cache), reference, context.arch) if context.offline else None
                found[str(reference)] = known or registry_digest(client, reference)
            except HullError as error:
                error.where = error.where or config.position(*path)
                raise
    return found


def resolve_pins(context: Context, config: SystemConfig) -> Pins:
    """Pins for everything, from the archive and the registries as they are now."""
    from hullkit.component.tools import DebianTools

    found = recipes(config)
    images = image_digests(context, config)
    with context.bus.step("resolve packages"):
        return Pins(
            components={name: resolve(context, recipe, None).used for name, recipe in found.items()},
            builds={name: resolve_build(context, recipe, None) for name, recipe in found.items() if recipe.spec.build},
            recipes=recipe_digests(found),
            tools=DebianTools(context).tool_packages(),
            codecs=codecs(found),
            images=images,
        )


def require_locked(config: SystemConfig, lock: Lock) -> None:
    """Raise DriftError when the recipes or codecs of this build are not those that were locked."""
    if lock.strict:
        found = recipes(config)
        lock.require(recipe_digests(found), codecs(found))
