"""Programs that are compiled from source: with Debian's real toolchain, from sources made here, and crun's."""

from __future__ import annotations

import difflib
import gzip
import hashlib
import json
import lzma
import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hullkit.build.locking import resolve_pins
from hullkit.cache import Cache
from hullkit.component.build import TOOLCHAIN_LABEL, layer_owners
from hullkit.component.catalogue import load_recipe
from hullkit.component.component import component_image
from hullkit.component.elf import read_elf
from hullkit.component.recipe import BuildSource
from hullkit.component.sourcebuild import build_id, resolve_build
from hullkit.component.toolchain import resolve_toolchain
from hullkit.config.load import load
from hullkit.context import Context
from hullkit.debian.package import Package
from hullkit.errors import ConfigError, DriftError, HostError, NotFound, ToolError
from hullkit.lock.lock import Lock, Pins, find_lock, write_lock
from hullkit.oci.layers import flatten
from hullkit.oci.store import Store
from tests.support.command import Hullkit, strays
from tests.support.debrepo import tar_of

CAN = subprocess.run(["unshare", "-Urmpfn", "true"], capture_output=True).returncode == 0
pytestmark = [pytest.mark.net, pytest.mark.skipif(not CAN, reason="needs user namespaces")]

MAIN = '#include <stdio.h>\n\nint main(void)\n{\n\tputs("hello " GREETED);\n\treturn 0;\n}\n'
FIXED = MAIN.replace('puts("hello', 'puts("Hello,')
SCRIPT = """
cc -O2 -static -DGREETED='"world"' -o greet main.c
test $(stat -c %Y main.c) = 315619200
"""


@pytest.fixture(scope="module")
def context() -> Context:
    """The same cache as that of the other tests with real packages: it lives from run to run."""
    root = Path(os.environ.get("HULLKIT_TEST_CACHE") or f"/var/tmp/hullkit-test-cache-{os.geteuid()}") / "component"
    return Context(Cache(root), arch="amd64")


@pytest.fixture(scope="module")
def toolchain(context: Context) -> tuple[Package, ...]:
    return resolve_toolchain(context, BuildSource(source="x", script="", programs={}))


@pytest.fixture
def own(context: Context, tmp_path: Path) -> Iterator[Context]:
    """A cache of its own, which shares downloads and toolchains."""
    root = tmp_path / "cache"
    root.mkdir()
    for name in ("debian", "tools"):
        (context.cache.root / name).mkdir(parents=True, exist_ok=True)
        (root / name).symlink_to(context.cache.root / name)
    yield replace(context, cache=Cache(root))
    assert not strays(root), "nothing half-done is left"


def source_file(context: Context, name: str, data: bytes) -> Package:
    """A file of a source package, as if it had been fetched."""
    digest = hashlib.sha256(data).hexdigest()
    path = context.cache.path("debian", "pool", f"{digest}.src")
    path.write_bytes(data)
    return Package("greet", "1-2", "source", "trixie", f"pool/g/{name}", digest, len(data), "greet", "1-2")


def sources(context: Context, patched: bool = True, main: str = MAIN) -> tuple[Package, ...]:
    orig = source_file(context, "greet_1.orig.tar.gz", gzip.compress(tar_of([("greet-1/main.c", main.encode())])))
    if not patched:
        return (orig,)
    lines = difflib.unified_diff(MAIN.splitlines(True), FIXED.splitlines(True), "a/main.c", "b/main.c")
    patch = "".join(lines).encode()
    packaging = tar_of([("debian/patches/series", b"fix.patch\n"), ("debian/patches/fix.patch", patch)])
    return (orig, source_file(context, "greet_1-2.debian.tar.xz", lzma.compress(packaging, preset=0)))


class Pinned:
    """A lock that has what greet is built from and with."""

    def __init__(self, *packages: Package) -> None:
        self._packages = packages

    def packages(self, component: str) -> tuple[Package, ...]:
        return ()

    def builds(self, component: str) -> tuple[Package, ...]:
        return self._packages


def recipe(folder: Path, script: str = SCRIPT, program: str = "greet", more: str = "") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    build = {"source": "greet", "script": script, "programs": {"usr/bin/greet": program}, "instead": "hello"}
    (folder / "component.yml").write_text(
        "name: greet\nsummary: s\nlicence: MIT\nrole: service\nversion: {package: greet}\n"
        f"build: {json.dumps(build)[:-1]}{more}}}\n"
    )
    return folder


def greeting(own: Context, folder: Path, lock: Pinned) -> str:
    """What the built program says."""
    image = component_image(own, str(folder), base_dir=Path("/"), lock=lock)
    program = flatten(own, Store(own.cache), image).get("usr/bin/greet")
    assert program is not None and program.content is not None
    assert (program.mode, program.uid, program.mtime) == (0o755, 0, 0)
    path = folder.parent / "greet.out"
    path.write_bytes(b"".join(program.content.chunks()))
    path.chmod(0o755)
    return subprocess.run([path], capture_output=True, text=True, check=True).stdout


def test_patches_are_applied_unless_told_otherwise(
    own: Context, tmp_path: Path, toolchain: tuple[Package, ...]
) -> None:
    folder = recipe(tmp_path / "greet")
    assert greeting(own, folder, Pinned(*sources(own), *toolchain)) == "Hello, world\n"
    recipe(tmp_path / "greet", more=', "patches": false')
    assert greeting(own, folder, Pinned(*sources(own, patched=False), *toolchain)) == "hello world\n"


def test_the_image_tells_what_it_was_made_from(own: Context, tmp_path: Path, toolchain: tuple[Package, ...]) -> None:
    folder = recipe(tmp_path / "greet", more=', "patches": false')
    lock = Pinned(*toolchain, *sources(own, patched=False))
    image = component_image(own, str(folder), base_dir=Path("/"), lock=lock)
    assert image.labels["org.opencontainers.image.version"] == "1-2"
    assert image.labels["org.hullkit.packages"] == "greet=1-2"
    assert any(each.startswith("gcc-14=14.") for each in image.labels[TOOLCHAIN_LABEL].split())
    assert layer_owners(own, image.layers[-1].diff_id) == {"usr/bin/greet": "greet_1-2"}


@pytest.mark.parametrize(
    ("script", "program", "error", "message"),
    [
        ("echo some words\nexit 7", "greet", ToolError, r"building greet failed \(exit code 7\).*some words"),
        ("cc main.c", "greet", ToolError, "GREETED"),
        ("true", "greet", ConfigError, "after the script there is no file greet"),
        ("ln -s /usr/bin/dash greet", "greet", ConfigError, "no file greet"),
        ("mkdir x; echo x >../outside", "../outside", ConfigError, r"no file \.\./outside"),
    ],
)
def test_a_build_that_fails(
    own: Context, tmp_path: Path, toolchain: tuple[Package, ...], script: str, program: str, error: type, message: str
) -> None:
    folder = recipe(tmp_path / "greet", script, program)
    with pytest.raises(error, match=message) as caught:
        component_image(own, str(folder), base_dir=Path("/"), lock=Pinned(*sources(own), *toolchain))
    assert "\n" not in str(caught.value)
    log = own.cache.root / "logs" / "greet.log"
    assert log.is_file()
    if error is ToolError:
        assert str(log) in str(caught.value)
    else:
        assert str(caught.value).startswith(f"{folder}/component.yml:6:")


GREET = """package main

// #include <seccomp.h>
// #cgo pkg-config: libseccomp
import "C"

import "fmt"

func main() { fmt.Println("seccomp", C.SCMP_VER_MAJOR, C.seccomp_api_get() >= 0) }
"""


@pytest.mark.slow
def test_go_with_parts_in_c(own: Context, context: Context, tmp_path: Path) -> None:
    folder = tmp_path / "greet"
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "go.mod").write_text("module example.org/greet\n\ngo 1.24\n")
    (folder / "src" / "main.go").write_text(GREET)
    script = """go build -ldflags '-s -w -linkmode=external -extldflags "-static"' -o greet ."""
    build = {"modules": "src", "packages": ["libseccomp-dev"], "script": script, "programs": {"usr/bin/greet": "greet"}}
    (folder / "component.yml").write_text(
        f"name: greet\nsummary: s\nlicence: MIT\nrole: service\nversion: '1'\nbuild: {json.dumps(build)}\n"
    )
    loaded = load_recipe(str(folder), Path("/"))
    lock = Pinned(*resolve_build(context, loaded, None))
    known = build_id(own, loaded, lock.builds("greet"))
    assert greeting(own, folder, lock) == "seccomp 2 true\n"
    (folder / "src" / "main.go").write_text(GREET + "// changed\n")
    assert build_id(own, load_recipe(str(folder), Path("/")), lock.builds("greet")) != known


def test_a_patch_that_does_not_apply(own: Context, tmp_path: Path, toolchain: tuple[Package, ...]) -> None:
    lock = Pinned(*sources(own, main=MAIN.replace("puts", "print")), *toolchain)
    with pytest.raises(ToolError, match="1 out of 1 hunk"):
        component_image(own, str(recipe(tmp_path / "greet")), base_dir=Path("/"), lock=lock)


def test_only_for_the_hosts_architecture(own: Context, tmp_path: Path, toolchain: tuple[Package, ...]) -> None:
    lock = Pinned(*sources(own), *toolchain)
    with pytest.raises(HostError, match="here for amd64 only and not for arm64") as caught:
        component_image(replace(own, arch="arm64"), str(recipe(tmp_path / "greet")), base_dir=Path("/"), lock=lock)
    assert caught.value.hint == "use @component:hello, which is not compiled"


def test_the_id_covers_all_that_matters(own: Context, tmp_path: Path, toolchain: tuple[Package, ...]) -> None:
    first = load_recipe(str(recipe(tmp_path / "greet")), Path("/"))
    everything = (*sources(own), *toolchain)
    known = build_id(own, first, everything)
    assert known == build_id(own, first, everything[::-1])
    assert known != build_id(own, first, everything[:-1])
    assert known != build_id(own, first, (*sources(own, main=FIXED), *toolchain))
    assert known != build_id(replace(own, arch="arm64"), first, everything)
    assert known != build_id(own, load_recipe(str(recipe(tmp_path / "greet", "true")), Path("/")), everything)


def test_a_package_that_there_is_not(context: Context, tmp_path: Path) -> None:
    folder = recipe(tmp_path / "greet")
    file = folder / "component.yml"
    with pytest.raises(NotFound, match="no source package greet") as caught:
        resolve_build(context, load_recipe(str(folder), Path("/")), None)
    assert str(caught.value).startswith(f"{file}:6:19: ")
    recipe(tmp_path / "greet", more=', "packages": ["no-such-package"]')
    file.write_text(file.read_text().replace('"source": "greet"', '"source": "crun"'))
    with pytest.raises(NotFound, match="no-such-package") as caught:
        resolve_build(context, load_recipe(str(folder), Path("/")), None)
    column = file.read_text().splitlines()[5].index('["no-such') + 1
    assert str(caught.value).startswith(f"{file}:6:{column}: ")


def test_the_lock_pins_source_and_toolchain(context: Context, tmp_path: Path) -> None:
    system = tmp_path / "system.yml"
    system.write_text(
        'kernel: {image: "@component:kernel"}\ninit: ["@component:hullkit-init", "@component:crun-static"]\n'
    )
    pins = resolve_pins(context, load([str(system)]))
    (orig,) = [package for package in pins.builds["crun-static"] if package.arch == "source"]
    assert orig.path.endswith(".orig.tar.gz")
    assert {"gcc", "libc6-dev", "libseccomp-dev"} <= {package.name for package in pins.builds["crun-static"]}
    write_lock(tmp_path / "lock", "amd64", pins)
    lock = find_lock(tmp_path / "lock", "amd64", required=True, strict=True)
    assert lock is not None
    crun = load_recipe("crun-static", Path())
    offline = replace(context, offline=True, cache=Cache(tmp_path / "empty"))
    locked = resolve_build(offline, crun, lock)
    assert set(locked) == set(pins.builds["crun-static"])
    assert build_id(context, crun, locked) == build_id(context, crun, resolve_build(context, crun, None))
    with pytest.raises(DriftError, match="the build of the component crun-static is not locked"):
        resolve_build(offline, crun, Lock(Pins(), tmp_path / "lock", strict=True))
    bare = Pins(builds={"crun-static": tuple(package for package in locked if package.arch != "source")})
    with pytest.raises(ConfigError, match="no source of crun-static"):
        resolve_build(offline, crun, Lock(bare, tmp_path / "lock", strict=True))


_BUILD = """
import os, sys
from pathlib import Path
os.umask(int(sys.argv[2], 8))
from hullkit.cache import Cache
from hullkit.component.component import component_image
from hullkit.context import Context
context = Context(Cache(Path(sys.argv[1])), jobs=int(sys.argv[3]))
print(component_image(context, "crun-static", base_dir=Path("/")).digest)
"""


@pytest.mark.slow
def test_crun_is_the_same_whoever_builds_it(hullkit: Hullkit) -> None:
    """Twice from nothing but the downloads: other cache, umask, time zone, number of jobs, and user."""
    python = hullkit.checkout / ".venv" / "bin" / "python"
    built = []
    for number, (umask, zone, jobs, through) in enumerate(
        [("022", "UTC", "1", ()), ("077", "Asia/Kathmandu", "4", ("unshare", "-Ur"))]
    ):
        beside = hullkit.beside(hullkit.user.directory(f"crun cache {number}"))
        env = {"TZ": zone, "PYTHONHASHSEED": str(number), "PYTHONPATH": str(hullkit.checkout / "src")}
        done = hullkit.user.run([*through, python, "-c", _BUILD, beside.cache, umask, jobs], env=env)
        built.append(done.stdout.strip())
        assert built[-1].startswith("sha256:"), done.stderr[-2000:]
        assert not strays(beside.cache)
    assert built[0] == built[1]


def test_crun_is_one_static_program(context: Context) -> None:
    image = component_image(context, "crun-static", base_dir=Path())
    assert len(image.layers) == 1
    files = [entry for entry in flatten(context, Store(context.cache), image).entries() if entry.content is not None]
    assert [entry.path for entry in files] == ["usr/bin/crun"]
    info = read_elf(files[0].content, "crun")
    assert info is not None and (info.interpreter, info.needed) == ("", ())
