"""Recipe → OCI image in the store, made once for the same recipe, packages, bases, profile and architecture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from msgspec import structs

import hullkit
from hullkit.component.catalogue import Recipe, load_recipe
from hullkit.component.gosource import go_ids
from hullkit.component.guest import guest_id
from hullkit.component.hardware import Hardware
from hullkit.component.packages import PackageLock, resolve
from hullkit.component.sourcebuild import build_id, resolve_build
from hullkit.context import Context
from hullkit.errors import ConfigError, HullError
from hullkit.oci.image import Image
from hullkit.oci.store import Store
from hullkit.steps import cached_path, step_id

_DEFAULT_HARDWARE = Hardware()
_CODE = tuple(
    f"hullkit.{name}"
    for name in (
        "component.accounts",
        "component.build",
        "component.closure",
        "component.component",
        "component.compose",
        "component.conflines",
        "component.elf",
        "component.globs",
        "component.kernel",
        "component.modinfo",
        "component.recipe",
        "component.tmpfiles",
        "debian.deb",
        "tree.tar",
        "tree.tar_reader",
    )
)


def component_image(
    context: Context,
    reference: str,
    *,
    base_dir: Path,
    hardware: Hardware = _DEFAULT_HARDWARE,
    lock: PackageLock | None = None,
) -> Image:
    """The image of a component for ``context.arch``, built when the store does not have it.

    ``reference`` is ``@component:NAME``, a name of the catalogue or a folder (from ``base_dir``); ``hardware`` selects
    a kernel's modules. With a ``lock``, packages come from it and no index is read.
    Raises ConfigError with the recipe's position, NotFound, and what fetching raises.
    """
    return _image(context, load_recipe(reference, base_dir), hardware, lock, ())


def component_closure(reference: str, *, base_dir: Path) -> tuple[Recipe, ...]:
    """The recipe and all its bases, each once, what is needed first. Errors as for component_image."""
    found: dict[str, Recipe] = {}

    def visit(recipe: Recipe, above: tuple[Recipe, ...]) -> None:
        for base in _bases(recipe, above):
            visit(base, (*above, recipe))
        known = found.setdefault(recipe.spec.name, recipe)
        if known.folder.path != recipe.folder.path:
            raise ConfigError(
                f"{known.folder.path} is called {recipe.spec.name} too",
                hint="give one of them another name",
                where=recipe.where(("name",)),
            )

    visit(load_recipe(reference, base_dir), ())
    return tuple(found.values())


def _bases(recipe: Recipe, above: tuple[Recipe, ...]) -> list[Recipe]:
    bases = []
    chain = (*above, recipe)
    for index, name in enumerate(recipe.spec.base):
        where = recipe.where(("base", index))
        try:
            base = load_recipe(name, recipe.folder.path)
        except HullError as error:
            error.where = error.where or where
            raise
        if any(base.folder.path == other.folder.path for other in chain):
            names = " → ".join(other.spec.name for other in (*chain, base))
            raise ConfigError(f"base: {names} is a circle", where=where)
        bases.append(base)
    return bases


def _image(
    context: Context, recipe: Recipe, hardware: Hardware, lock: PackageLock | None, above: tuple[Recipe, ...]
) -> Image:
    store = Store(context.cache)
    spec = recipe.spec
    below = [_image(context, base, _DEFAULT_HARDWARE, lock, (*above, recipe)) for base in _bases(recipe, above)]
    packages = structs.replace(resolve(context, recipe, lock), sources=resolve_build(context, recipe, lock))
    inputs: dict[str, Any] = {
        "recipe": recipe.folder.digest,
        "packages": [package.sha256 for package in packages.used],
        "bases": [image.digest for image in below],
        "hardware": [hardware.profile or spec.kernel.default, hardware.modules] if spec.kernel is not None else "",
        "arch": context.arch,
        "guest": guest_id(context.arch) if spec.guest else "",
        "go": go_ids(recipe, context.arch),
        "build": build_id(context, recipe, packages.sources),
        "version": hullkit.__version__ if spec.version.hullkit else "",
    }
    identity = step_id("component", inputs, _CODE)

    def make(out: Path) -> None:
        from hullkit.component.build import build_image

        with context.bus.step(f"build component {spec.name}"):
            built = build_image(context, store, recipe, packages, below, hardware)
        out.write_text(built.digest)

    memo = cached_path(context, "component", identity, make)
    digest = memo.read_text()
    if store.has(digest):
        return store.image(digest)
    memo.unlink(missing_ok=True)  # the store was emptied behind our back: build again
    return store.image(cached_path(context, "component", identity, make).read_text())
