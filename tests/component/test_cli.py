"""hullkit component ls, show, build, new."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hullkit.cli.component import command
from hullkit.component.catalogue import catalogue_names, load_recipe
from hullkit.component.skeleton import write_skeleton
from hullkit.errors import ConfigError


def run(*words: str) -> Result:
    done = CliRunner().invoke(command, words)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def test_ls_lists_the_catalogue() -> None:
    table = run("ls").stdout.splitlines()
    assert [line.split()[0] for line in table[1:]] == catalogue_names()
    told = json.loads(run("ls", "--json").stdout)
    assert [each["name"] for each in told] == catalogue_names()
    assert all(each["licence"] and each["summary"] for each in told)


def test_new_writes_a_recipe_that_is_valid(tmp_path: Path) -> None:
    done = run("new", "mine", "--package", "htop", "--dir", str(tmp_path))
    assert "hullkit component show" in done.stdout
    recipe = load_recipe("./mine", tmp_path)
    assert recipe.spec.debian is not None
    assert recipe.spec.debian.packages == ("htop",)
    assert (tmp_path / "mine" / "test.yml").is_file()
    with pytest.raises(ConfigError, match="exists already"):
        write_skeleton(tmp_path, "mine", "htop")


@pytest.mark.parametrize("name", ["", "../x", "a/b", "Name", ".hidden"])
def test_new_refuses_names_that_are_none(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError):
        write_skeleton(tmp_path, name, "htop")
    assert not list(tmp_path.iterdir())


@pytest.mark.net
def test_show_and_build(tmp_path: Path) -> None:
    root = Path(os.environ.get("HULLKIT_TEST_CACHE") or f"/var/tmp/hullkit-test-cache-{os.geteuid()}") / "component"
    common = ("--cache", str(root), "--arch", "amd64", "--progress", "none")
    told = json.loads(run("show", "crun", "--json", "--files", *common).stdout)
    assert told["role"] == "runtime"
    assert [layer["from"].split(",")[0] for layer in told["layers"]] == ["libc6", "libc6", "crun"]
    files = {each["path"]: each for each in told["files"]}
    assert files["usr/bin/crun"]["package"].startswith("crun_")
    used = {each["name"]: each["bytes"] for each in told["packages"]}
    assert used["crun"] == files["usr/bin/crun"]["bytes"]
    assert f"digest:    {told['digest']}" in run("show", "crun", *common).stdout
    assert json.loads(run("build", "crun", "--json", *common).stdout)[0]["digest"] == told["digest"]


@pytest.mark.net
def test_a_new_recipe_builds(tmp_path: Path) -> None:
    root = Path(os.environ.get("HULLKIT_TEST_CACHE") or f"/var/tmp/hullkit-test-cache-{os.geteuid()}") / "component"
    write_skeleton(tmp_path, "tree", "tree")
    common = ("--cache", str(root), "--arch", "amd64", "--progress", "none")
    told = json.loads(run("show", str(tmp_path / "tree"), "--json", "--files", *common).stdout)
    own = [each["path"] for each in told["files"] if each["package"].startswith("tree_")]
    assert own == ["usr/bin/tree"]
