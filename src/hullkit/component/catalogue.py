"""Where recipes are: the catalogue that comes with hullkit, and folders that a person names."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import hullkit
from hullkit.component.recipe import RecipeSpec
from hullkit.errors import ConfigError, NotFound, Position

PREFIX = "@component:"
RECIPE_FILE = "component.yml"
#: how the component is tried in a booted system; no part of it
TEST_FILE = "test.yml"
_MAX_FOLDER = 64 << 20


@dataclass(frozen=True)
class Folder:
    """A recipe's folder; ``digest`` covers the paths, contents and executable bits of its files."""

    path: Path
    digest: str

    @property
    def recipe(self) -> Path:
        return self.path / RECIPE_FILE


@dataclass(frozen=True)
class Recipe:
    """A recipe as read, with the position of each value (by path: ``("debian", "keep", 0)``)."""

    folder: Folder
    spec: RecipeSpec
    positions: dict[tuple[str | int, ...], Position]

    def where(self, key: tuple[str | int, ...]) -> Position:
        """The position of a value, or of the nearest one around it."""
        for length in range(len(key), -1, -1):
            if key[:length] in self.positions:
                return self.positions[key[:length]]
        return Position(str(self.folder.recipe), 1, 1)


def catalogue_directory() -> Path:
    """The catalogue of the checkout that this package lies in, else that of the wheel."""
    package = Path(hullkit.__file__).parent
    checkout = package.parent.parent / "catalogue"
    return checkout if checkout.is_dir() else package / "_catalogue"


def catalogue_names() -> list[str]:
    """The names of all components of the catalogue, sorted."""
    directory = catalogue_directory()
    return sorted(path.parent.name for path in directory.glob(f"*/{RECIPE_FILE}")) if directory.is_dir() else []


def find_folder(reference: str, base_dir: Path) -> Folder:
    """The folder that ``@component:NAME``, ``NAME``, ``@component:./PATH`` or a path (from ``base_dir``) means.

    Raises NotFound, with near names, for a component that does not exist.
    """
    name = reference.removeprefix(PREFIX)
    if "/" in name or name in (".", ".."):
        path = Path(os.path.normpath(base_dir / Path(name).expanduser()))
        if not (path / RECIPE_FILE).is_file():
            raise NotFound(f"{reference}: there is no recipe {path / RECIPE_FILE}")
        return Folder(path, folder_digest(path))
    path = catalogue_directory() / name
    if not name or not (path / RECIPE_FILE).is_file():
        raise NotFound(f"there is no component {name!r} in the catalogue", hint=_near(name))
    return Folder(path, folder_digest(path))


def _near(name: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, catalogue_names(), 1)
    return f"did you mean {near[0]}?" if near else "hullkit component ls lists them; a folder is written ./NAME"


def folder_digest(path: Path) -> str:
    """A digest over a recipe's folder but its test; symbolic links and unreasonable sizes are refused (ConfigError)."""
    digest = hashlib.sha256()
    total = 0
    for file in sorted(path.rglob("*"), key=lambda file: file.relative_to(path).as_posix()):
        if file.is_symlink():
            raise ConfigError(f"{file} is a symbolic link", hint="a recipe's folder holds plain files only")
        if not file.is_file() or file == path / TEST_FILE:
            continue
        total += file.stat().st_size
        if total > _MAX_FOLDER:
            raise ConfigError(f"the recipe in {path} has more than {_MAX_FOLDER >> 20} MiB of files")
        data = file.read_bytes()
        for part in (file.relative_to(path).as_posix().encode(), data):
            digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


def load_recipe(reference: str, base_dir: Path) -> Recipe:
    """Read a recipe strictly. Raises ConfigError with the position of the first problem, NotFound as find_folder."""
    return read_recipe(find_folder(reference, base_dir))


def read_recipe(folder: Folder) -> Recipe:
    """As ``load_recipe``, for a folder found before."""
    from hullkit.config.decode import Problems, decode
    from hullkit.config.validate import validate_image
    from hullkit.config.yamlnodes import compose, decode_text

    file = str(folder.recipe)
    problems = Problems(file)
    node, second = compose(decode_text(folder.recipe.read_bytes(), file), file, problems.at)
    if second is not None:
        raise ConfigError("a recipe is one document", where=second)
    spec = decode(node, RecipeSpec, problems)
    if spec is not None and spec.config is not None:
        validate_image(spec.config, problems, ("config",))
    if problems.found:
        raise problems.found[0]
    assert spec is not None
    recipe = Recipe(folder, spec, {path: Position(*place) for path, place in problems.positions.items()})
    _check(recipe)
    return recipe


def _check(recipe: Recipe) -> None:
    """What the types cannot say."""
    spec = recipe.spec
    if spec.name != recipe.folder.path.resolve().name:
        raise ConfigError(
            f"the component is called {spec.name} and its folder {recipe.folder.path.resolve().name}",
            hint="give both the same name",
            where=recipe.where(("name",)),
        )
    version = spec.version
    given = (version.package, version.component, version.module, version.text, version.hullkit)
    if sum(map(bool, given)) != 1:
        raise ConfigError(
            "version: needs exactly one of package, component, module, hullkit and text",
            where=recipe.where(("version",)),
        )
    if version.module and spec.go is None and (spec.build is None or spec.build.modules is None):
        raise ConfigError("version.module: this recipe has no Go modules", where=recipe.where(("version", "module")))
    if spec.build is not None and (spec.build.source is None) == (spec.build.modules is None):
        raise ConfigError("build: needs exactly one of source and modules", where=recipe.where(("build",)))
    if spec.kernel is not None:
        if spec.kernel.default not in spec.kernel.profiles:
            raise ConfigError(
                f"kernel.default: there is no profile {spec.kernel.default}", where=recipe.where(("kernel", "default"))
            )
        if spec.debian is None:
            raise ConfigError("kernel: needs debian, at least debian: {packages: []}", where=recipe.where(("kernel",)))
    if spec.name in spec.base:
        raise ConfigError(f"base: {spec.name} cannot be its own base", where=recipe.where(("base",)))
