"""Go modules of others: fetched once, checked, kept; Go programs in recipes."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from hullkit.cache import Cache
from hullkit.component.catalogue import load_recipe
from hullkit.component.component import component_image
from hullkit.component.gobuild import compile_program, find_goroot, program_id
from hullkit.component.gomodules import fetch_modules
from hullkit.component.gosource import go_ids, module_version
from hullkit.context import Context
from hullkit.errors import ConfigError, HullError, NetworkError, NotFound, TrustError
from hullkit.oci.layers import layer_entries
from hullkit.tree.entry import EntryType

MODULE, VERSION = "example.org/greeting", "v1.2.3"
MOD = f"module {MODULE}\n\ngo 1.24\n".encode()


def h1(files: dict[str, bytes]) -> str:
    """Go's hash of a module's files (golang.org/x/mod/sumdb/dirhash, Hash1)."""
    lines = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in sorted(files.items()))
    return "h1:" + base64.b64encode(hashlib.sha256(lines.encode()).digest()).decode()


class Proxy:
    """A module proxy (go.dev/ref/mod#goproxy-protocol) that is a directory with one module."""

    def __init__(self, directory: Path) -> None:
        self.files = {
            f"{MODULE}@{VERSION}/go.mod": MOD,
            f"{MODULE}@{VERSION}/greeting.go": b'package greeting\n\nconst Text = "ahoy"\n',
        }
        self.place = directory / MODULE / "@v"
        self.place.mkdir(parents=True)
        self.url = f"file://{directory}"
        self.publish(self.files)
        self.sum = f"{MODULE} {VERSION} {h1(self.files)}\n{MODULE} {VERSION}/go.mod {h1({'go.mod': MOD})}\n"

    def publish(self, files: dict[str, bytes]) -> None:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            for name, data in files.items():
                archive.writestr(name, data)
        (self.place / f"{VERSION}.zip").write_bytes(packed.getvalue())
        (self.place / f"{VERSION}.mod").write_bytes(MOD)
        (self.place / f"{VERSION}.info").write_text(json.dumps({"Version": VERSION}))


@pytest.fixture
def proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Proxy:
    made = Proxy(tmp_path / "proxy")
    monkeypatch.setenv("GOPROXY", made.url)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return made


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Go's build cache, so that the standard library is compiled once."""
    return tmp_path_factory.mktemp("go-build")


@pytest.fixture
def context(tmp_path: Path, compiled: Path) -> Context:
    return Context(cache_at(tmp_path / "cache", compiled))


def cache_at(directory: Path, compiled: Path) -> Cache:
    directory.mkdir()
    (directory / "go-build").symlink_to(compiled)
    return Cache(directory)


def program(folder: Path, sums: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "go.mod").write_text(f"module mine\n\ngo 1.24\n\nrequire {MODULE} {VERSION}\n")
    (folder / "go.sum").write_text(sums)
    (folder / "main.go").write_text(f'package main\n\nimport "{MODULE}"\n\nfunc main() {{ println(greeting.Text) }}\n')
    return folder


def test_modules_are_fetched_once(proxy: Proxy, context: Context, tmp_path: Path) -> None:
    folder, goroot = program(tmp_path / "mine", proxy.sum), find_goroot()
    offline = replace(context, offline=True)
    with pytest.raises(NetworkError, match="--offline"):
        fetch_modules(offline, folder, "amd64", goroot=goroot)
    fetch_modules(context, folder, "amd64", goroot=goroot)
    (proxy.place / f"{VERSION}.zip").unlink()
    fetch_modules(offline, folder, "riscv64", goroot=goroot)
    compile_program(offline, folder, "amd64", tmp_path / "out", goroot=goroot)
    assert b"ahoy" in (tmp_path / "out").read_bytes()
    kept = context.cache.root / "go-mod" / f"{MODULE}@{VERSION}"
    assert kept.stat().st_mode & 0o200, "the cache can be removed like any other directory"
    assert not (tmp_path / "home").exists(), "nothing is written to the home"


def test_a_module_that_was_changed_is_refused(proxy: Proxy, context: Context, tmp_path: Path) -> None:
    name = f"{MODULE}@{VERSION}/greeting.go"
    proxy.publish({**proxy.files, name: b'package greeting\n\nconst Text = "evil"\n'})
    with pytest.raises(TrustError, match=r"not what go\.sum says"):
        fetch_modules(context, program(tmp_path / "mine", proxy.sum), "amd64", goroot=find_goroot())


def test_a_module_without_a_sum_is_refused(proxy: Proxy, context: Context, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"missing go\.sum entry") as caught:
        fetch_modules(context, program(tmp_path / "mine", "\n"), "amd64", goroot=find_goroot())
    assert caught.value.hint == "go mod tidy writes go.mod and go.sum"


def test_a_proxy_that_is_away_is_a_network_error(
    proxy: Proxy, context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOPROXY", "http://127.0.0.1:9")
    with pytest.raises(NetworkError, match=r"127\.0\.0\.1:9"):
        fetch_modules(context, program(tmp_path / "mine", proxy.sum), "amd64", goroot=find_goroot())


def test_the_id_covers_package_tags_and_local_modules(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "go.mod").write_text("module other\n\ngo 1.24\n")
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "go.mod").write_text("module mine\n\ngo 1.24\n\nrequire other v0.0.0\n\nreplace other => ../other\n")
    goroot = find_goroot()
    ids = {program_id(folder, goroot, "amd64"), program_id(folder, goroot, "amd64", "./x")}
    ids.add(program_id(folder, goroot, "amd64", ".", ["x"]))
    (tmp_path / "other" / "x.go").write_text("package other\n")
    ids.add(program_id(folder, goroot, "amd64"))
    assert len(ids) == 4


RECIPE = f"""\
name: hello
summary: x
licence: MIT
role: service
version: {{module: {MODULE}}}
go:
  source: src
  programs: {{usr/bin/hello: ., usr/bin/again: .}}
  tags: [quiet]
"""


def recipe(folder: Path, proxy: Proxy, text: str = RECIPE) -> Path:
    folder.mkdir(parents=True)
    (folder / "component.yml").write_text(text)
    program(folder / "src", proxy.sum)
    return folder


def test_programs_of_a_recipe(proxy: Proxy, context: Context, compiled: Path, tmp_path: Path) -> None:
    folder = recipe(tmp_path / "hello", proxy)
    image = component_image(context, str(folder), base_dir=tmp_path)
    assert image.labels["org.opencontainers.image.version"] == "1.2.3"
    found = {entry.path: entry for entry in layer_entries(context, image.store, image.layers[0], "hello")}
    first, second = found["usr/bin/again"], found["usr/bin/hello"]
    assert first.type is EntryType.FILE and first.mode == 0o755 and first.size > 100_000
    assert second.type is EntryType.HARDLINK and second.target == "usr/bin/again", "one file with two names"
    offline = replace(context, offline=True)
    assert component_image(offline, str(folder), base_dir=tmp_path).digest == image.digest
    other = replace(context, cache=cache_at(tmp_path / "other", compiled))
    copy = recipe(tmp_path / "elsewhere" / "hello", proxy)
    assert component_image(other, str(copy), base_dir=tmp_path).digest == image.digest


@pytest.mark.parametrize(
    ("old", "new", "error", "says"),
    [
        ("source: src", "source: nowhere", ConfigError, "go.source: nowhere is no directory"),
        ("source: src", "source: ../src", ConfigError, "go.source: ../src is no directory"),
        ("source: src", 'source: "@guest/../x"', ConfigError, "is no program of the guest"),
        ("source: src", 'source: "@guest/nothing"', NotFound, "guest/nothing"),
        (f"module: {MODULE}", "module: example.org/x", ConfigError, "go.mod does not require example.org/x"),
        ("usr/bin/hello: .", "/usr/bin/hello: .", ConfigError, "not a path inside the image"),
        ("programs:", "progs:", ConfigError, "progs"),
    ],
)
def test_bad_recipes(
    proxy: Proxy, context: Context, tmp_path: Path, old: str, new: str, error: type[HullError], says: str
) -> None:
    folder = recipe(tmp_path / "hello", proxy, RECIPE.replace(old, new))
    with pytest.raises(error, match=says) as caught:
        component_image(context, str(folder), base_dir=tmp_path)
    assert error is NotFound or str(caught.value).startswith(f"{folder}/component.yml:")


def test_the_catalogue_pins_what_it_compiles() -> None:
    slim = load_recipe("containerd-slim", Path())
    assert module_version(slim, "github.com/containerd/containerd/v2").startswith("2.")
    ids = go_ids(slim, "amd64")
    assert len(ids) == 3 and len(set(ids.values())) == 1
    assert set(go_ids(load_recipe("containerd", Path()), "arm64")) == {"usr/bin/hull-service"}
