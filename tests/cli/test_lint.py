"""hullkit lint and hullkit schema, as a person calls them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path


def call(*arguments: str, cwd: Path, stdin: str = "") -> tuple[int, str, str]:
    command = [sys.executable, "-m", "hullkit", *arguments]
    done = subprocess.run(command, cwd=cwd, input=stdin, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


CHECKOUT = Path(__file__).parents[2]


def test_good_files_say_nothing(tmp_path: Path) -> None:
    examples = [str(path) for path in sorted((CHECKOUT / "examples").glob("*.yml"))]
    assert call("lint", *examples, cwd=tmp_path) == (0, "", "")


def test_all_problems_with_their_places(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text("bogus: 1\nservices:\n  - nmae: x\n    image: y\n")  # codespell:ignore
    (tmp_path / "b.yml").write_text("init: [\n")
    code, out, err = call("lint", "a.yml", "b.yml", "none.yml", "-", cwd=tmp_path, stdin="init: x\n")
    lines = out.splitlines()
    assert code == 2
    assert err == ""
    assert lines[0].startswith('a.yml:1:1: unknown key "bogus"')
    assert lines[1] == 'a.yml:3:5: services[0]: unknown key "nmae" (did you mean name?)'  # codespell:ignore
    assert lines[2] == 'a.yml:3:5: services[0]: "name" is missing'
    assert lines[3].startswith("b.yml:2:1: not valid YAML: a list [...] or map {...} that is not closed")
    assert lines[4] == "the configuration file none.yml does not exist"
    assert lines[5].startswith("<stdin>:1:7: init: must be a list")
    assert len(lines) == 6


def test_json(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text("bogus: 1\ntrust: {}\n")
    code, out, _ = call("lint", "--json", "a.yml", cwd=tmp_path)
    told = json.loads(out)
    assert code == 2
    problem = told["problems"][0]
    assert (problem["file"], problem["line"], problem["column"]) == ("a.yml", 1, 1)
    assert problem["message"] == 'unknown key "bogus"'
    assert told["warnings"] == ["a.yml:2:8: trust: has no effect, here and in LinuxKit"]


def test_merge_checks_the_files_together(tmp_path: Path) -> None:
    for name in ("a.yml", "b.yml"):
        (tmp_path / name).write_text("services: [{name: s, image: lab/x}]\n")
    assert call("lint", "a.yml", "b.yml", cwd=tmp_path)[0] == 0
    code, out, _ = call("lint", "--merge", "a.yml", "b.yml", cwd=tmp_path)
    assert code == 2
    assert out.startswith("b.yml:1:19: services[1].name: the service")


def test_packed_systems_may_not_have_linuxkits_names(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text('layout: packed\nservices: [{name: "a/b", image: lab/x}]\n')
    code, out, _ = call("lint", "a.yml", cwd=tmp_path)
    assert code == 2
    assert out.startswith('a.yml:2:19: services[0].name: "a/b" cannot be')


def test_schema(tmp_path: Path) -> None:
    code, out, _ = call("schema", cwd=tmp_path)
    assert code == 0
    assert json.loads(out)["properties"]["services"]["items"] == {"$ref": "#/$defs/ServiceEntry"}
    assert "binds.add" in json.loads(call("schema", "--label", cwd=tmp_path)[1])["properties"]


def test_a_package_that_is_not_here_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text("init:\n  - '@pkg:./pkg/init'\n")
    code, out, err = call("lint", "a.yml", cwd=tmp_path)
    assert (code, out) == (0, "")
    assert "@pkg:./pkg/init: the package is not here" in err
