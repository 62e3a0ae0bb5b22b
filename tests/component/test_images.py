"""The images of the catalogue, from real packages."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hullkit.cache import Cache
from hullkit.component.build import layer_owners
from hullkit.component.catalogue import catalogue_names, load_recipe
from hullkit.component.component import component_closure, component_image
from hullkit.component.elf import read_elf
from hullkit.component.hardware import Hardware
from hullkit.component.packages import resolve
from hullkit.config.load import parse_image_config
from hullkit.context import Context
from hullkit.debian.package import Package
from hullkit.errors import ConfigError
from hullkit.oci.image import Image
from hullkit.oci.layers import flatten
from hullkit.oci.store import Store
from hullkit.tree.entry import EntryType
from hullkit.tree.tree import Tree

pytestmark = pytest.mark.net

NAMES = catalogue_names()
#: what no image may hold
UNWANTED = ("usr/share/doc/", "usr/share/man/", "usr/share/locale/", "usr/share/info/", "usr/include/", "etc/init.d/")
#: most bytes of a component's own layers (uncompressed), so that growth is noticed
BUDGET = {
    "busybox": 1_000_000,
    "ca-certificates": 300_000,
    "containerd": 90_000_000,
    "containerd-slim": 16_000_000,
    "crun": 2_300_000,
    "crun-static": 1_750_000,
    "crypto": 8_500_000,
    "daemons": 1_600_000,
    "dhcp": 0,
    "dhcpcd": 500_000,
    "getty": 50_000,
    "hullkit-init": 4_000_000,
    "kernel": 15_000_000,
    "libc": 2_600_000,
    "libm": 1_000_000,
    "nginx": 4_000_000,
    "rng": 0,
    "rngd": 2_200_000,
    "runc": 12_000_000,
    "runc-static": 9_000_000,
    "sshd": 9_000_000,
    "sysctl": 50_000,
}


@pytest.fixture(scope="module")
def context() -> Context:
    """A cache of the tests' own that lives from run to run."""
    root = Path(os.environ.get("HULLKIT_TEST_CACHE") or f"/var/tmp/hullkit-test-cache-{os.geteuid()}") / "component"
    return Context(Cache(root), arch="amd64")


def image(context: Context, name: str) -> Image:
    return component_image(context, name, base_dir=Path())


def tree(context: Context, name: str) -> Tree:
    return flatten(context, Store(context.cache), image(context, name))


def own_bytes(context: Context, name: str) -> int:
    made = image(context, name)
    below = {layer.diff_id for base in load_recipe(name, Path()).spec.base for layer in image(context, base).layers}
    return sum(layer.descriptor.size for layer in made.layers if layer.diff_id not in below)


@pytest.mark.parametrize("name", NAMES)
def test_no_unwanted_files_and_no_set_id_bits(context: Context, name: str) -> None:
    for entry in tree(context, name).entries():
        assert not entry.path.startswith(UNWANTED), entry.path
        assert not entry.mode & 0o6000, entry.path
        assert not entry.xattrs, f"{entry.path}: file capabilities"
        # a hard link is one more name of a file (containerd-slim: one program, three names); no devices, no pipes
        assert entry.type in (EntryType.FILE, EntryType.HARDLINK, EntryType.DIR, EntryType.SYMLINK), entry.path
        assert entry.mtime == 0, entry.path
        assert entry.type is EntryType.SYMLINK or not entry.mode & 0o002 or entry.mode & 0o1000, entry.path


@pytest.mark.parametrize("name", NAMES)
def test_every_program_finds_its_libraries(context: Context, name: str) -> None:
    """An independent look: every NEEDED and interpreter leads to a file in the flattened image."""
    made = tree(context, name)
    files = {entry.path.rpartition("/")[2] for entry in made.entries() if entry.type is not EntryType.DIR}
    for entry in made.entries():
        info = read_elf(entry.content, entry.path) if entry.content is not None else None
        if info is not None and not entry.path.endswith(".ko.xz"):
            wanted = [*info.needed, *([info.interpreter.rpartition("/")[2]] if info.interpreter else [])]
            assert set(wanted) <= files, f"{entry.path}: {set(wanted) - files}"


@pytest.mark.parametrize("name", NAMES)
def test_labels(context: Context, name: str) -> None:
    spec = load_recipe(name, Path()).spec
    labels = image(context, name).labels
    assert labels["org.opencontainers.image.title"] == name
    assert labels["org.opencontainers.image.licenses"] == spec.licence
    assert labels["org.opencontainers.image.version"]
    assert labels["org.hullkit.role"] == spec.role
    if spec.config is not None:
        label = labels["org.mobyproject.config"]
        assert parse_image_config(label, "label") == spec.config
        assert json.loads(label)["command"] == list(spec.config.command or ())
    if spec.debian is not None and spec.debian.packages:
        assert any(each.startswith(f"{spec.debian.packages[0]}=") for each in labels["org.hullkit.packages"].split())


@pytest.mark.parametrize("name", NAMES)
def test_size(context: Context, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    size = own_bytes(context, name)
    with capsys.disabled():
        sys.stdout.write(f"\n{name}: {size:,} bytes of its own")
    assert size <= BUDGET[name]


def test_layers_are_shared(context: Context) -> None:
    layers = {name: [layer.diff_id for layer in image(context, name).layers] for name in NAMES}
    libc, libm, busybox = layers["busybox"]
    crypto = layers["crypto"][1]
    assert layers["dhcpcd"][:4] == layers["sshd"][:4] == [libc, libm, crypto, busybox]
    assert layers["nginx"][:2] == [libc, crypto]
    assert layers["rngd"][:2] == layers["crun"][:2] == [libc, libm]
    assert libm not in {*layers["nginx"], *layers["runc"]}


def test_the_links_of_busybox_are_tools_that_it_has(context: Context) -> None:
    made = tree(context, "busybox")
    program = made.get("usr/bin/busybox")
    assert program is not None and program.content is not None
    data = b"".join(program.content.chunks())
    start = data.index(b"[\0[[\0")
    tools = set(data[start : data.index(b"\0\0", start)].decode().split("\0"))
    links = {e.path for e in made.entries() if e.type is EntryType.SYMLINK and e.target.endswith("busybox")}
    assert len(links) > 80
    assert {path.rpartition("/")[2] for path in links} <= tools


def test_the_kernel(context: Context) -> None:
    made = image(context, "kernel")
    assert len(made.layers) == 2
    release = made.labels["org.hullkit.kernel.version"]
    root = f"usr/lib/modules/{release}"
    flat = tree(context, "kernel")
    kernel = flat.get("kernel")
    assert kernel is not None and kernel.size > 8_000_000
    dep = flat.get(f"{root}/modules.dep")
    assert dep is not None and dep.content is not None
    lines = b"".join(dep.content.chunks()).decode().splitlines()
    listed = {line.partition(":")[0] for line in lines}
    present = {e.path.removeprefix(f"{root}/") for e in flat.entries() if ".ko" in e.path}
    assert listed == present
    for line in lines:
        assert set(line.partition(":")[2].split()) <= present
    names = {path.rpartition("/")[2].partition(".")[0] for path in present}
    assert {"virtio_net", "virtio_blk", "erofs", "overlay", "loop", "dm-mod", "dm-verity"} <= names


def test_the_profile_all_has_every_module(context: Context) -> None:
    made = component_image(context, "kernel", base_dir=Path(), hardware=Hardware("all"))
    flat = flatten(context, Store(context.cache), made)
    assert sum(1 for entry in flat.entries() if entry.path.endswith(".ko.xz")) > 1000
    assert made.layers[0] == image(context, "kernel").layers[0]
    with pytest.raises(ConfigError, match="no profile"):
        component_image(context, "kernel", base_dir=Path(), hardware=Hardware("nonsense"))


def test_every_file_has_an_owner(context: Context) -> None:
    made = image(context, "nginx")
    owners = layer_owners(context, made.layers[-1].diff_id)
    assert owners["usr/sbin/nginx"].startswith("nginx_1.")
    assert owners["etc/nginx/nginx.conf"] == ""
    entries = {e.path for e in tree(context, "nginx").entries() if e.type is not EntryType.DIR}
    known = {path for layer in made.layers for path in layer_owners(context, layer.diff_id)}
    assert entries <= known


def test_the_second_time_costs_next_to_nothing(context: Context) -> None:
    image(context, "sshd")
    begun = time.process_time()
    image(context, "sshd")
    assert time.process_time() - begun < 0.1


class Locked:
    """A lock of packages, and nothing else."""

    def __init__(self, known: dict[str, tuple[Package, ...]]) -> None:
        self.known = known

    def packages(self, component: str) -> tuple[Package, ...] | None:
        return self.known[component]


def test_with_a_lock_no_index_is_read(context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipes = component_closure("dhcpcd", base_dir=Path())
    lock = Locked({recipe.spec.name: resolve(context, recipe, None).used for recipe in recipes})
    expected = image(context, "dhcpcd").digest
    monkeypatch.setattr("hullkit.debian.archive.Archive.open", None)
    assert component_image(context, "dhcpcd", base_dir=Path(), lock=lock).digest == expected


_BUILD = """
import os, sys
from pathlib import Path
os.umask(int(sys.argv[2], 8))
from hullkit.cache import Cache
from hullkit.component.component import component_image
from hullkit.context import Context
context = Context(Cache(Path(sys.argv[1])), arch="amd64", jobs=int(sys.argv[3]))
for name in ("kernel", "dhcpcd", "nginx", "ca-certificates", "getty"):
    print(component_image(context, name, base_dir=Path("/")).digest)
"""


def test_the_same_bytes_whatever_the_surroundings(context: Context, tmp_path: Path) -> None:
    for name in ("kernel", "dhcpcd", "nginx", "ca-certificates", "getty"):
        image(context, name)  # fetches the packages
    digests = []
    for number, (umask, zone, jobs) in enumerate([("077", "Asia/Kathmandu", "1"), ("000", "UTC", "7")]):
        root = tmp_path / f"cache{number}"
        root.mkdir()
        (root / "debian").symlink_to(context.cache.root / "debian")
        env = {**os.environ, "TZ": zone, "PYTHONHASHSEED": str(number), "LC_ALL": "C.UTF-8" if number else "C"}
        done = subprocess.run(
            [sys.executable, "-c", _BUILD, root, umask, jobs], env=env, cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        digests.append(done.stdout)
    assert digests[0] == digests[1]


def test_errors_of_a_build_have_positions(context: Context, tmp_path: Path) -> None:
    folder = tmp_path / "x"
    folder.mkdir()
    head = 'name: x\nsummary: s\nlicence: MIT\nrole: service\nversion: "1"\n'
    for text, place, message in [
        ("debian: {packages: [crun], only: [crun], keep: [usr/bin/runc]}\n", "6:49", "matches no file"),
        (
            "base: [libc]\ndebian: {packages: [crun], only: [crun], keep: [usr/bin/crun]}\n",
            "7:49",
            "add libsystemd0 to debian.only",
        ),
        ("debian: {packages: [crun], only: [crum]}\n", "6:35", "needed: crun, gcc-14-base, libc6"),
        ("debian: {packages: [crun], only: [crun], keep: []}\ncopy: {a: b}\n", "7:7", "no file a"),
        ("files:\n  - {path: usr/bin/x, mode: '0755', contents: '#!/bin/sh'}\n", "1:1", "add busybox to base"),
    ]:
        (folder / "component.yml").write_text(head + text)
        with pytest.raises(ConfigError) as caught:
            component_image(context, "./x", base_dir=tmp_path)
        assert str(caught.value).startswith(f"{folder}/component.yml:{place}: "), str(caught.value)
        assert message in str(caught.value)
