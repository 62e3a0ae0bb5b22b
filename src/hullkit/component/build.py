"""Build the image of one component: packages and declarations → layers → labels → the store."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hullkit
from hullkit.component.catalogue import Recipe
from hullkit.component.closure import Closure, Pool
from hullkit.component.compose import Layer, add_declared, check_scripts
from hullkit.component.globs import matches_any
from hullkit.component.hardware import Hardware
from hullkit.component.packages import Resolution, guess_package
from hullkit.context import Context
from hullkit.debian.package import Package
from hullkit.errors import ConfigError
from hullkit.oci.image import Image
from hullkit.oci.image import Layer as StoredLayer
from hullkit.oci.layers import layer_entries
from hullkit.oci.store import Store
from hullkit.tree.entry import Entry, EntryType, FileSlice, Owner
from hullkit.tree.tree import Tree

CONFIG_LABEL = "org.mobyproject.config"
PACKAGES_LABEL = "org.hullkit.packages"
#: what programs were compiled with, and so the static libraries in them
TOOLCHAIN_LABEL = "org.hullkit.toolchain"
ROLE_LABEL = "org.hullkit.role"
KERNEL_LABEL = "org.hullkit.kernel.version"
PROFILE_LABEL = "org.hullkit.kernel.profile"
#: modules beside those of the profile
MODULES_LABEL = "org.hullkit.kernel.modules"
#: created, in the image's config: the same bytes whenever it is built
EPOCH = "1970-01-01T00:00:00Z"
#: where programs are looked for unless the recipe or the system sets an environment
PATH = "PATH=/usr/sbin:/usr/bin"


@dataclass(frozen=True, slots=True)
class _Parts:
    """What an image is made of; ``below`` are its bases and ``base`` their files, ``pool`` those of its packages."""

    context: Context
    recipe: Recipe
    packages: Resolution
    below: Sequence[Image]
    hardware: Hardware
    pool: Pool
    base: Mapping[str, Entry]


def build_image(
    context: Context, store: Store, recipe: Recipe, packages: Resolution, below: Sequence[Image], hardware: Hardware
) -> Image:
    """Fetch, select, lay out, and put layers and image into the store."""
    lower = list({layer.diff_id: layer for image in below for layer in image.layers}.values())
    with context.cache.temp_dir() as work:
        pool = fetch_pool(context, packages.used, work, recipe.spec.name)
        parts = _Parts(context, recipe, packages, below, hardware, pool, _base_files(context, store, lower))
        own = []
        for layer in _layers(parts):
            entries = layer.finished()
            if not entries and lower:
                continue  # a recipe that only says how its base is run
            stored = store.add_layer(entries)
            remember_owners(context, stored.diff_id, entries)
            own.append(stored)
        return store.add_image(_config(context, recipe, _labels(parts)), [*lower, *own])


def fetch_pool(context: Context, packages: Sequence[Package], work: Path, what: str) -> Pool:
    """The files of all packages of ``what``; their contents lie in ``work``."""
    from hullkit.debian.deb import deb_entries
    from hullkit.debian.fetch import fetch

    pool = Pool()
    debs = fetch(context, packages, what=what)
    for package in packages:  # several at once cost memory and bring no time: components are built side by side
        pool.add(deb_entries(context, debs[package.sha256], package, work))
    return pool


def _layers(parts: _Parts) -> list[Layer]:
    context, recipe, pool = parts.context, parts.recipe, parts.pool
    spec = recipe.spec
    try:
        if spec.kernel is not None:
            from hullkit.component.kernel import image_layer, modules_layer

            digest = ",".join(package.sha256 for package in parts.packages.used)
            return [
                image_layer(spec.name, spec.kernel, pool),
                modules_layer(context, spec.name, spec.kernel, pool, parts.hardware, digest),
            ]
        layer = Layer(spec.name, parts.base, pool)
        if spec.guest is not None:
            from hullkit.component.guest import guest_binary

            layer.put(_program(layer, "init", guest_binary(context, context.arch)))
        if spec.go is not None:
            _add_go_programs(context, layer, recipe)
        if spec.build is not None:
            _add_built_programs(context, layer, recipe, parts.packages)
        if spec.debian is not None:
            layer.take(_selected(parts))
        add_declared(layer, spec, recipe.folder.path, context.bus.info)
        check_scripts(layer)
        return [layer]
    except ConfigError as error:
        error.where = error.where or recipe.where(tuple(error.message.partition(":")[0].split(".")))
        raise


def _selected(parts: _Parts) -> Iterable[Entry]:
    """The files of packages that go into the layer; an error is placed at the pattern that led to it."""
    debian = parts.recipe.spec.debian
    assert debian is not None
    closure = Closure(
        parts.pool,
        parts.base,
        parts.context.arch,
        guess=lambda library: guess_package(library, parts.packages.others),
        base_packages=frozenset(name.partition("=")[0] for name in _package_names(parts.below)),
    )
    if debian.keep is None:
        closure.keep(None, debian.drop)
    for index, pattern in enumerate(debian.keep or ()):
        try:
            closure.keep([pattern], debian.drop)
        except ConfigError as error:
            error.where = parts.recipe.where(("debian", "keep", index))
            raise
    return closure.selected.values()


def _base_files(context: Context, store: Store, lower: Sequence[StoredLayer]) -> Mapping[str, Entry]:
    tree = Tree()
    for layer in lower:
        tree.apply_layer(layer_entries(context, store, layer, "base"))
    return {entry.path: entry for entry in tree.entries()}


def _program(layer: Layer, path: str, binary: Path, package: str = "") -> Entry:
    content = FileSlice(binary, 0, binary.stat().st_size)
    return Entry(path, EntryType.FILE, 0o755, content=content, owner=Owner(image=layer.name, package=package))


def _add_go_programs(context: Context, layer: Layer, recipe: Recipe) -> None:
    """A package that is there under several paths is one file with several names."""
    from hullkit.component.gosource import go_program

    assert recipe.spec.go is not None
    first: dict[str, str] = {}
    for path, package in sorted(recipe.spec.go.programs.items()):
        if package in first:
            link = Entry(path, EntryType.HARDLINK, 0o755, target=first[package], owner=Owner(image=layer.name))
            layer.put(link)
        else:
            first[package] = path
            layer.put(_program(layer, path, go_program(context, recipe, package)))


def _add_built_programs(context: Context, layer: Layer, recipe: Recipe, packages: Resolution) -> None:
    """They belong to the source package, if there is one."""
    from hullkit.component.sourcebuild import built_programs

    source = "".join({f"{file.name}_{file.version}" for file in packages.source_files})
    for path, binary in sorted(built_programs(context, recipe, packages.sources).items()):
        layer.put(_program(layer, path, binary, source))


def remember_owners(context: Context, diff_id: str, entries: Iterable[Entry]) -> None:
    """Keep which package each file of a layer comes from: ``steps/owners/DIFFID.json``, package → paths."""
    owners: dict[str, list[str]] = {}
    for entry in entries:
        if entry.type is not EntryType.DIR:
            owners.setdefault(entry.owner.package, []).append(entry.path)
    path = context.cache.path("steps", "owners", diff_id.removeprefix("sha256:") + ".json")
    with context.cache.temp_dir() as work:
        made = work / "owners.json"
        made.write_text(json.dumps(owners, sort_keys=True))
        context.cache.publish(made, path)


def layer_owners(context: Context, diff_id: str) -> dict[str, str]:
    """Path → package (``NAME_VERSION``, "" for what the recipe declares) of a layer built here; else empty."""
    path = context.cache.path("steps", "owners", diff_id.removeprefix("sha256:") + ".json")
    try:
        owners = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return {name: package for package, names in owners.items() for name in names}


def _labels(parts: _Parts) -> dict[str, str]:
    recipe, packages, below, hardware = parts.recipe, parts.packages, parts.below, parts.hardware
    spec = recipe.spec
    content = (*packages.used, *packages.source_files)
    names = {f"{package.name}={package.version}" for package in content} | _package_names(below)
    labels = {
        "org.opencontainers.image.title": spec.name,
        "org.opencontainers.image.description": spec.summary,
        "org.opencontainers.image.licenses": spec.licence,
        "org.opencontainers.image.version": _version(recipe, content, below),
        ROLE_LABEL: spec.role,
        PACKAGES_LABEL: " ".join(sorted(names)),
    }
    if spec.upstream is not None:
        labels["org.opencontainers.image.url"] = spec.upstream
    if packages.toolchain:
        labels[TOOLCHAIN_LABEL] = " ".join(f"{package.name}={package.version}" for package in packages.toolchain)
    if spec.config is not None:
        labels[CONFIG_LABEL] = json.dumps(spec.config.to_json(), sort_keys=True, separators=(",", ":"))
    if spec.kernel is not None:
        from hullkit.component.kernel import kernel_version

        labels[KERNEL_LABEL] = kernel_version(parts.pool)
        labels[PROFILE_LABEL] = hardware.profile or spec.kernel.default
        if hardware.modules:
            labels[MODULES_LABEL] = " ".join(hardware.modules)
    return labels


def _package_names(images: Sequence[Image]) -> set[str]:
    """``NAME=VERSION`` of all packages that images were made from."""
    return {name for image in images for name in image.labels.get(PACKAGES_LABEL, "").split()}


def _version(recipe: Recipe, packages: Sequence[Package], below: Sequence[Image]) -> str:
    version = recipe.spec.version
    if version.hullkit:
        return hullkit.__version__
    if version.text:
        return version.text
    if version.module:
        from hullkit.component.gosource import module_version

        return module_version(recipe, version.module)
    if version.package:
        named = {package for package in packages if matches_any([version.package], package.name)}
        found = list({(package.name, package.version): package.version for package in named}.values())
    else:
        title, label = "org.opencontainers.image.title", "org.opencontainers.image.version"
        found = [image.labels[label] for image in below if image.labels.get(title) == version.component]
    if len(found) != 1:
        raise ConfigError(
            f"version: {len(found)} packages or bases are called {version.package or version.component}, not one",
            where=recipe.where(("version",)),
        )
    return found[0]


def _config(context: Context, recipe: Recipe, labels: Mapping[str, str]) -> dict[str, Any]:
    """The OCI image configuration (image-spec, config.md), so that other engines can run the image too."""
    run: dict[str, Any] = {"Env": [PATH], "Labels": dict(sorted(labels.items()))}
    config = recipe.spec.config
    if config is not None:
        if config.command:
            run["Cmd"] = list(config.command)
        if config.env:
            run["Env"] = list(config.env)
        if config.cwd:
            run["WorkingDir"] = config.cwd
        if config.uid is not None:
            run["User"] = str(config.uid) if config.gid is None else f"{config.uid}:{config.gid}"
    return {"created": EPOCH, "architecture": context.arch, "os": "linux", "config": run}
