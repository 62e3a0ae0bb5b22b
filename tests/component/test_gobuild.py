"""Compiling the guest: offline, reproducible, static; errors are the compiler's."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from hullkit.cache import Cache
from hullkit.component import guest
from hullkit.component.elf import MACHINES, read_elf
from hullkit.component.gobuild import compile_program, find_goroot, program_id, source_files
from hullkit.context import Context
from hullkit.errors import ConfigError, NotFound, ToolError
from hullkit.tree.entry import Bytes


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Context:
    return Context(Cache(tmp_path_factory.mktemp("cache")))


def sources(folder: Path, text: str = "package main\n\nfunc main() { println(1) }\n") -> Path:
    folder.mkdir(parents=True)
    (folder / "go.mod").write_text("module example\n\ngo 1.24\n")
    (folder / "main.go").write_text(text)
    return folder


def test_the_same_bytes_in_any_directory_and_environment(
    tmp_path: Path, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    compile_program(context, sources(tmp_path / "a"), "amd64", first, goroot=find_goroot())
    monkeypatch.setenv("GOFLAGS", "-race")
    monkeypatch.setenv("GOARCH", "wasm")
    old = os.umask(0o077)
    try:
        place = sources(tmp_path / "quite" / "another" / "place")
        compile_program(replace(context, jobs=1), place, "amd64", second, goroot=find_goroot())
    finally:
        os.umask(old)
    data = first.read_bytes()
    assert data == second.read_bytes()
    assert first.stat().st_mode & 0o777 == second.stat().st_mode & 0o777 == 0o755
    info = read_elf(Bytes(data), "init")
    assert info is not None
    assert (info.machine, info.interpreter, info.needed) == (MACHINES["amd64"], "", ())
    assert str(tmp_path).encode() not in data


def test_the_compiler_says_what_is_wrong(tmp_path: Path, context: Context) -> None:
    folder = sources(tmp_path / "a", "package main\n\nfunc main() { undefined_thing() }\n")
    with pytest.raises(ToolError, match=r"main\.go:3:15: undefined: undefined_thing") as caught:
        compile_program(context, folder, "amd64", tmp_path / "out", goroot=find_goroot())
    assert caught.value.command.startswith("cd ")
    assert not (tmp_path / "out").exists()


def test_nothing_is_downloaded(tmp_path: Path, context: Context) -> None:
    folder = sources(tmp_path / "a", 'package main\n\nimport _ "golang.org/x/sys/unix"\n\nfunc main() {}\n')
    with pytest.raises(ToolError, match=r"golang\.org/x/sys"):
        compile_program(context, folder, "amd64", tmp_path / "out", goroot=find_goroot())


def test_the_id_covers_sources_and_architecture_but_no_tests(tmp_path: Path) -> None:
    folder, goroot = sources(tmp_path / "a"), find_goroot()
    first = program_id(folder, goroot, "amd64")
    (folder / "main_test.go").write_text("package main\n")
    (folder / "testdata").mkdir()
    (folder / "testdata" / "x.go").write_text("x")
    assert program_id(folder, goroot, "amd64") == first
    assert program_id(folder, goroot, "arm64") != first
    (folder / "main.go").write_text("package main\n\nfunc main() {}\n")
    assert program_id(folder, goroot, "amd64") != first
    assert [path.name for path in source_files(folder)] == ["go.mod", "main.go"]


def test_the_checkout_wins_over_a_packaged_binary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "src" / "hullkit"
    binary = package / "_guest" / "amd64" / "init"
    binary.parent.mkdir(parents=True)
    binary.write_bytes(b"packaged")
    monkeypatch.setattr(guest, "_PACKAGE", package)
    context = Context(Cache(tmp_path / "cache"))
    assert guest.guest_binary(context, "amd64") == binary
    with pytest.raises(NotFound, match="neither init for arm64 nor its sources"):
        guest.guest_binary(context, "arm64")
    with pytest.raises(ConfigError, match="unknown architecture"):
        guest.guest_binary(context, "vax")
    packaged = guest.guest_id("amd64")
    sources(tmp_path / "guest" / "init")
    assert guest.guest_sources() == tmp_path / "guest" / "init"
    assert guest.guest_id("amd64") != packaged
    compiled = guest.guest_binary(context, "amd64")
    assert compiled != binary
    shutil.rmtree(tmp_path / "cache" / "go-build")
    assert guest.guest_binary(context, "amd64") == compiled, "compiled once"
