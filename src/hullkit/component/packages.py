"""The Debian packages of a component: from a lock, or resolved in the archive and remembered by its id."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import msgspec

from hullkit.component.catalogue import Recipe
from hullkit.component.globs import matches_any, optional
from hullkit.context import Context
from hullkit.debian.package import SOURCE, Package
from hullkit.errors import ConfigError
from hullkit.steps import cached_path, step_id


class PackageLock(Protocol):
    """What of a lock matters here (``hullkit.lock``)."""

    def packages(self, component: str) -> tuple[Package, ...] | None: ...
    def builds(self, component: str) -> tuple[Package, ...] | None: ...


class Resolution(msgspec.Struct, frozen=True):
    """``used`` are fetched; ``others`` names the rest of what the roots depend on, for hints; ``sources`` is what
    programs are compiled from and with (``sourcebuild.resolve_build``)."""

    used: tuple[Package, ...] = ()
    others: tuple[str, ...] = ()
    sources: tuple[Package, ...] = ()

    @property
    def source_files(self) -> tuple[Package, ...]:
        return tuple(package for package in self.sources if package.arch == SOURCE)

    @property
    def toolchain(self) -> tuple[Package, ...]:
        return tuple(package for package in self.sources if package.arch != SOURCE)


def roots(recipe: Recipe, arch: str) -> tuple[str, ...]:
    """The packages that the recipe names, for an architecture."""
    spec = recipe.spec
    names = spec.debian.packages if spec.debian is not None else ()
    if spec.kernel is not None:
        if arch not in spec.kernel.packages:
            raise ConfigError(
                f"the component {spec.name} has no kernel for {arch}", where=recipe.where(("kernel", "packages"))
            )
        names = (*names, spec.kernel.packages[arch])
    return names


def resolve(context: Context, recipe: Recipe, lock: PackageLock | None) -> Resolution:
    """The packages of a recipe. With pins of a lock no index is read; without, the result is kept by Archive.id, so
    that an unchanged archive is asked once."""
    debian = recipe.spec.debian
    if debian is None:
        return Resolution()
    if lock is not None and (locked := lock.packages(recipe.spec.name)) is not None:
        return Resolution(tuple(sorted(locked, key=_order)))
    from hullkit.debian.archive import Archive

    archive = Archive.open(context, context.arch)
    names = roots(recipe, context.arch)

    def make(out: Path) -> None:
        out.write_bytes(msgspec.json.encode(_resolve(archive.resolve(names, prune=debian.prune), debian.only)))

    inputs = [archive.id, context.arch, names, debian.prune, debian.only]
    identity = step_id("packages", inputs, (__name__, "hullkit.debian.resolver", "hullkit.component.globs"))
    cached = cached_path(context, "packages", identity, make, suffix=".json")
    found = msgspec.json.decode(cached.read_bytes(), type=Resolution)
    for index, written in enumerate(debian.only):
        pattern, may_miss = optional(written)
        if not may_miss and not any(matches_any([pattern], package.name) for package in found.used):
            raise ConfigError(
                f"debian.only: {pattern} matches none of the packages that are needed",
                hint="needed: " + ", ".join(sorted({package.name for package in found.used} | set(found.others))),
                where=recipe.where(("debian", "only", index)),
            )
    return found


def _resolve(packages: tuple[Package, ...], only: tuple[str, ...]) -> Resolution:
    patterns = [optional(written)[0] for written in only]
    used = [package for package in packages if not only or matches_any(patterns, package.name)]
    others = sorted({package.name for package in packages} - {package.name for package in used})
    return Resolution(tuple(sorted(used, key=_order)), tuple(others))


def _order(package: Package) -> tuple[str, str]:
    return package.name, package.version


def guess_package(library: str, names: tuple[str, ...]) -> str:
    """The package among ``names`` that by Debian's naming policy has a library (``libfoo.so.1``: ``libfoo1``)."""
    stem, _, number = library.partition(".so")
    number = number.lstrip(".")
    joined = f"{stem}-{number}" if stem[-1:].isdigit() and number else f"{stem}{number}"
    wanted = joined.lower().replace("_", "-")
    for name in names:
        if name in (wanted, f"{wanted}t64"):
            return name
    base = stem.lower().replace("_", "-")
    return next((name for name in names if name.startswith(base)), "")
