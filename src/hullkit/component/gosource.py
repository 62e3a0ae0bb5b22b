"""The programs of a recipe's ``go:``: where their sources are, their ids, their binaries."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

from hullkit.component.catalogue import Recipe, folder_digest
from hullkit.component.gobuild import compile_program, find_goroot, program_id, source_directories
from hullkit.component.guest import guest_module
from hullkit.context import Context
from hullkit.errors import ConfigError
from hullkit.steps import cached_path

_GUEST = "@guest/"


def go_sources(recipe: Recipe) -> Path:
    """The directory with the recipe's go.mod. Raises ConfigError where there is none."""
    spec = recipe.spec
    key, name = ("go", "source") if spec.go is not None else ("build", "modules")
    written = (spec.go.source if spec.go is not None else spec.build.modules if spec.build is not None else "") or ""
    where = recipe.where((key, name))
    if written.startswith(_GUEST):
        name = written.removeprefix(_GUEST)
        if re.fullmatch("[a-z]+", name) is None:
            raise ConfigError(f"{key}.{name}: {written} is no program of the guest", where=where)
        return guest_module(name)
    folder = recipe.folder.path.resolve()
    found = (folder / written).resolve()
    if not found.is_relative_to(folder) or not (found / "go.mod").is_file():
        raise ConfigError(f"{key}.{name}: {written} is no directory of the recipe's folder with a go.mod", where=where)
    return found


def module_version(recipe: Recipe, module: str) -> str:
    """The version of a module that go.mod requires, without its v. Raises ConfigError where go.mod has none."""
    text = (go_sources(recipe) / "go.mod").read_text()
    found = re.search(rf"^\s*(?:require\s+)?{re.escape(module)}\s+v(\S+)", text, re.MULTILINE)
    if found is None:
        raise ConfigError(
            f"version.module: go.mod does not require {module}", where=recipe.where(("version", "module"))
        )
    return found[1]


def go_ids(recipe: Recipe, arch: str) -> Mapping[str, str]:
    """Path in the image → an id of the program there, without compiling it."""
    go = recipe.spec.go
    if go is None:
        return {}
    sources, goroot = go_sources(recipe), find_goroot()
    return {path: program_id(sources, goroot, arch, package, go.tags) for path, package in go.programs.items()}


def uses_go(recipe: Recipe) -> bool:
    """Whether the Go toolchain decides bytes of the component."""
    spec = recipe.spec
    return spec.go is not None or (spec.build is not None and spec.build.modules is not None)


def go_version() -> str:
    """The version of the Go toolchain, such as 1.26.6."""
    return (find_goroot() / "VERSION").read_text().split()[0].removeprefix("go")


def recipe_digest(recipe: Recipe) -> str:
    """A digest over a recipe's folder and the Go sources that it names elsewhere."""
    if not uses_go(recipe):
        return recipe.folder.digest
    digests = [folder_digest(directory) for directory in source_directories(go_sources(recipe))]
    return hashlib.sha256(" ".join([recipe.folder.digest, *digests]).encode()).hexdigest()


def go_program(context: Context, recipe: Recipe, package: str) -> Path:
    """The binary of a package of the recipe, compiled once per sources, toolchain, tags and architecture.

    Raises what fetching modules raises, and ToolError when it does not compile.
    """
    from hullkit.component.gomodules import fetch_modules

    go = recipe.spec.go
    assert go is not None
    sources, goroot = go_sources(recipe), find_goroot()

    def make(out: Path) -> None:
        fetch_modules(context, sources, context.arch, goroot=goroot, package=package, tags=go.tags)
        with context.bus.step(f"compile {recipe.spec.name} for {context.arch}"):
            compile_program(context, sources, context.arch, out, goroot=goroot, package=package, tags=go.tags)

    return cached_path(context, "go", program_id(sources, goroot, context.arch, package, go.tags), make)
