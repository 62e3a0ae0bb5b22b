"""Recipes: strict reading with positions, references, the catalogue itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from hullkit.component.catalogue import (
    catalogue_directory,
    catalogue_names,
    find_folder,
    folder_digest,
    load_recipe,
)
from hullkit.component.component import component_closure
from hullkit.errors import ConfigError, NotFound

HEAD = """name: x
summary: s
licence: MIT
role: service
version: "1"
"""


def recipe(tmp_path: Path, text: str, name: str = "x") -> Path:
    folder = tmp_path / name
    folder.mkdir(exist_ok=True)
    (folder / "component.yml").write_text(text)
    return folder


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        (HEAD + "packges: []\n", "6:1", 'unknown key "packges"'),  # codespell:ignore
        (HEAD + "debian:\n  packages: nginx\n", "7:13", 'write ["nginx"]'),
        (HEAD + "debian:\n  packages: [a]\n  kep: []\n", "8:3", "did you mean keep?"),
        (HEAD + "role: service\n", "6:1", "twice"),
        (HEAD.replace("role: service", "role: daemon"), "4:7", "write one of: layer"),
        (HEAD.replace('version: "1"', "version: {}"), "5:10", "exactly one of"),
        (HEAD.replace("licence: MIT\n", ""), "1:1", '"licence" is missing'),
        (HEAD.replace("name: x", "name: y"), "1:7", "give both the same name"),
        (HEAD + "config:\n  capabilities: [CAP_NET_ADMN]\n", "7:17", "CAP_NET_ADMN"),
        (HEAD + "config:\n  binds: [run]\n", "7:11", "run"),
        (HEAD + "dirs:\n  - {path: /var}\n", "7:12", "without the leading /"),
        (HEAD + "files:\n  - {path: a, contents: b, mode: 644}\n", "7:34", 'quote it: "644"'),
        (HEAD + "base: [x]\n", "6:7", "its own base"),
        (HEAD + "build: {script: x, programs: {a: b}}\n", "6:8", "exactly one of source and modules"),
        (HEAD + "build: {source: ../x, script: x, programs: {a: b}}\n", "6:17", "lower case letters"),
        (HEAD.replace('"1"', "{module: m}"), "5:19", "no Go modules"),
    ],
)
def test_errors_have_positions(tmp_path: Path, text: str, place: str, message: str) -> None:
    folder = recipe(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_recipe("./x", tmp_path)
    shown = str(caught.value)
    assert shown.startswith(f"{folder / 'component.yml'}:{place}: "), shown
    assert message in shown


def test_references(tmp_path: Path) -> None:
    recipe(tmp_path, HEAD)
    assert load_recipe("@component:./x", tmp_path).spec.name == "x"
    assert load_recipe(f"@component:{tmp_path}/x", Path("/")).spec.name == "x"
    assert load_recipe("@component:nginx", tmp_path).spec.name == "nginx"
    with pytest.raises(NotFound, match="did you mean nginx"):
        find_folder("@component:ngnix", tmp_path)  # codespell:ignore
    with pytest.raises(NotFound, match="no recipe"):
        find_folder("@component:./absent", tmp_path)
    with pytest.raises(NotFound):
        find_folder("@component:", tmp_path)


def test_a_circle_of_bases_is_refused(tmp_path: Path) -> None:
    recipe(tmp_path, HEAD.replace("name: x", "name: a") + "base: [../b]\n", "a")
    recipe(tmp_path, HEAD.replace("name: x", "name: b") + "base: [../a]\n", "b")
    with pytest.raises(ConfigError, match="circle"):
        component_closure("./a", base_dir=tmp_path)


def test_a_missing_base_is_an_error_where_it_is_named(tmp_path: Path) -> None:
    recipe(tmp_path, HEAD + "base: [libc, libk]\n")
    with pytest.raises(NotFound) as caught:
        component_closure("./x", base_dir=tmp_path)
    assert str(caught.value).startswith(f"{tmp_path}/x/component.yml:6:14: ")


def test_the_digest_covers_names_and_contents_but_not_the_test(tmp_path: Path) -> None:
    folder = recipe(tmp_path, HEAD)
    first = folder_digest(folder)
    (folder / "test.yml").write_text("checks: []\n")
    assert folder_digest(folder) == first
    (folder / "file").write_text("a")
    second = folder_digest(folder)
    (folder / "file").rename(folder / "other")
    assert len({first, second, folder_digest(folder)}) == 3


def test_links_in_a_recipe_are_refused(tmp_path: Path) -> None:
    folder = recipe(tmp_path, HEAD)
    (folder / "passwd").symlink_to("/etc/passwd")
    with pytest.raises(ConfigError, match="symbolic link"):
        load_recipe("./x", tmp_path)


@pytest.mark.parametrize("name", catalogue_names())
def test_every_recipe_of_the_catalogue(name: str) -> None:
    spec = load_recipe(name, Path()).spec
    assert (catalogue_directory() / name / "test.yml").is_file(), "every component is tried in a booted system"
    assert not spec.summary.endswith(".") and len(spec.summary) < 90
    if spec.config is not None:
        assert spec.config.readonly, "no component of the catalogue writes to its root"
        assert spec.config.command
        assert spec.config.capabilities != ("all",) or name == "getty"
    for source in (file.source for file in spec.files if file.source):
        assert (catalogue_directory() / name / source).is_file()


def test_the_catalogue_has_what_the_first_boot_needs() -> None:
    needed = ["kernel", "hullkit-init", "crun", "ca-certificates", "dhcp", "rng", "sysctl", "getty", "sshd", "nginx"]
    assert set(needed) <= set(catalogue_names())
