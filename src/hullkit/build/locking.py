"""``hullkit lock``: resolve everything a system is made of, and pin it."""

from __future__ import annotations

from pathlib import Path

from hullkit.build.resolve import COMPONENT, references
from hullkit.component.catalogue import Recipe
from hullkit.component.component import component_closure
from hullkit.component.packages import resolve
from hullkit.config.model import SystemConfig, base_directory
from hullkit.context import Context
from hullkit.errors import HullError
from hullkit.lock.lock import Lock, Pins


def recipes(config: SystemConfig) -> dict[str, Recipe]:
    """Every component of the system, bases included, by name."""
    found: dict[str, Recipe] = {}
    named = list(references(config))
    if config.kernel.image:
        named.append((config.kernel.image, ("kernel", "image")))
    for reference, path in named:
        if not reference.startswith(COMPONENT):
            continue
        try:
            for recipe in component_closure(reference, base_dir=Path(base_directory(config, *path))):
                found[recipe.spec.name] = recipe
        except HullError as error:
            error.where = error.where or config.position(*path)
            raise
    return found


def codecs() -> dict[str, str]:
    """Versions of the libraries whose output goes into a system."""
    import zstandard

    return {"zstandard": zstandard.__version__}


def resolve_pins(context: Context, config: SystemConfig) -> Pins:
    """Pins for everything, from the archive as it is now."""
    from hullkit.component.tools import DebianTools

    found = recipes(config)
    with context.bus.step("resolve packages"):
        return Pins(
            components={name: resolve(context, recipe, None).used for name, recipe in found.items()},
            recipes={name: recipe.folder.digest for name, recipe in found.items()},
            tools=DebianTools(context).tool_packages(),
            codecs=codecs(),
        )


def require_locked(config: SystemConfig, lock: Lock) -> None:
    """Raise DriftError when the recipes or codecs of this build are not those that were locked."""
    if lock.strict:
        lock.require({name: recipe.folder.digest for name, recipe in recipes(config).items()}, codecs())
