"""The component's own layer: what recipes declare, and the kernel's layers."""

from __future__ import annotations

import lzma
from pathlib import Path
from typing import Any

import pytest

from hullkit.cache import Cache
from hullkit.component.closure import Pool
from hullkit.component.compose import Layer, add_declared, check_scripts
from hullkit.component.hardware import Hardware
from hullkit.component.kernel import image_layer, kernel_version, modules_layer
from hullkit.component.recipe import Directory, Group, KernelSource, RecipeFile, RecipeSpec, User, Version
from hullkit.context import Context
from hullkit.errors import ConfigError
from hullkit.tree.entry import Bytes, Entry, EntryType, Owner
from tests.component.elffile import module


def spec(**fields: Any) -> RecipeSpec:
    return RecipeSpec(name="x", summary="s", licence="MIT", role="service", version=Version(text="1"), **fields)


def file(path: str, data: bytes, package: str = "p_1") -> Entry:
    return Entry(path, EntryType.FILE, 0o644, content=Bytes(data), owner=Owner(package=package))


def made(
    recipe: RecipeSpec,
    *,
    pool: tuple[Entry, ...] = (),
    base: tuple[Entry, ...] = (),
    folder: Path = Path("/nonexistent"),
) -> dict[str, Entry]:
    files = Pool()
    files.add(pool)
    layer = Layer("x", {entry.path: entry for entry in base}, files)
    add_declared(layer, recipe, folder)
    check_scripts(layer)
    return {entry.path: entry for entry in layer.finished()}


def text(entry: Entry) -> str:
    assert entry.content is not None
    return b"".join(entry.content.chunks()).decode()


def test_accounts_go_below_those_of_the_base() -> None:
    base = (file("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n"), file("etc/group", b"root:x:0:\n"))
    entries = made(
        spec(
            users=(User(name="web", uid=33, home="/var/www"), User(name="job", uid=40, gid=33)),
            groups=(Group(name="adm", gid=4, members=("web", "job")),),
        ),
        base=base,
    )
    assert text(entries["etc/passwd"]) == (
        "root:x:0:0:root:/root:/bin/sh\nweb:x:33:33::/var/www:/usr/sbin/nologin\njob:x:40:33::/:/usr/sbin/nologin\n"
    )
    assert text(entries["etc/group"]) == "root:x:0:\nweb:x:33:\nadm:x:4:web,job\n"


def test_without_accounts_nothing_is_written() -> None:
    assert "etc/passwd" not in made(spec(), base=(file("etc/passwd", b"root:x:0:0::/:/bin/sh\n"),))


def test_an_account_of_the_base_cannot_be_declared_again() -> None:
    base = (file("etc/passwd", b"root:x:0:0::/:/bin/sh\n"),)
    with pytest.raises(ConfigError, match="root is there twice"):
        made(spec(users=(User(name="root", uid=0),)), base=base)


def test_parents_take_their_mode_from_packages_then_from_the_base() -> None:
    pool = (Entry("var/lib/x", EntryType.DIR, 0o700, uid=5, owner=Owner(package="p_1")),)
    base = (Entry("srv", EntryType.DIR, 0o711, mtime=9),)
    entries = made(
        spec(dirs=(Directory(path="var/lib/x/y", mode="1777"), Directory(path="srv/z"))), pool=pool, base=base
    )
    assert [(path, oct(entry.mode)) for path, entry in entries.items()] == [
        ("srv", "0o711"),
        ("srv/z", "0o755"),
        ("var", "0o755"),
        ("var/lib", "0o755"),
        ("var/lib/x", "0o700"),
        ("var/lib/x/y", "0o1777"),
    ]
    assert entries["var/lib/x"].uid == 5
    assert {entry.mtime for entry in entries.values()} == {0}


@pytest.mark.parametrize("path", ["../x", "a/../../x", "a//b", "a/", ".", "bin/x", "lib"])
def test_paths_that_are_not_inside_are_refused(path: str) -> None:
    with pytest.raises(ConfigError):
        made(spec(files=(RecipeFile(path=path, contents="x"),)))


def test_links_of_the_merged_usr() -> None:
    entries = made(spec(links={"usr/bin": ("bin",), "busybox": ("usr/bin/sh", "usr/bin/cat")}))
    assert entries["bin"].type is EntryType.SYMLINK
    assert entries["usr/bin/cat"].target == "busybox"


def test_nothing_can_lie_below_a_link() -> None:
    with pytest.raises(ConfigError, match=r"/a/b lies below /a, which is a symlink"):
        made(spec(links={"x": ("a",)}, files=(RecipeFile(path="a/b", contents=""),)))


def test_files_of_the_recipe_stay_in_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "x"
    folder.mkdir()
    (folder / "a").write_text("inside")
    (tmp_path / "secret").write_text("outside")
    entries = made(spec(files=(RecipeFile(path="etc/a", source="a", mode="0600"),)), folder=folder)
    assert (text(entries["etc/a"]), entries["etc/a"].mode) == ("inside", 0o600)
    for source in ("../secret", str(tmp_path / "secret"), "absent"):
        with pytest.raises(ConfigError):
            made(spec(files=(RecipeFile(path="etc/a", source=source),)), folder=folder)


def test_a_file_needs_one_source_of_content() -> None:
    for item in (RecipeFile(path="a"), RecipeFile(path="a", contents="", source="b")):
        with pytest.raises(ConfigError, match="either contents or source"):
            made(spec(files=(item,)))


def test_a_script_needs_its_shell() -> None:
    script = RecipeFile(path="usr/bin/x", contents="#!/bin/sh\n", mode="0755")
    with pytest.raises(ConfigError, match="add busybox to base"):
        made(spec(files=(script,)))
    shell = Entry("usr/bin/sh", EntryType.FILE, 0o755, content=Bytes(b""))
    assert "usr/bin/x" in made(spec(files=(script,)), base=(shell,))


def test_certificates_become_one_file_in_the_order_of_their_names() -> None:
    pool = (
        file("usr/share/ca-certificates/mozilla/B.crt", b"bbb"),
        file("usr/share/ca-certificates/mozilla/A.crt", b"aaa\n"),
        file("usr/share/ca-certificates/mozilla/README", b"no"),
    )
    entries = made(spec(ca_bundle="etc/ssl/certs/all.crt"), pool=pool)
    assert text(entries["etc/ssl/certs/all.crt"]) == "aaa\nbbb\n"
    assert entries["etc/ssl/certs/all.crt"].owner == Owner(image="x", package="p_1")
    with pytest.raises(ConfigError, match="no certificates"):
        made(spec(ca_bundle="x"))


def test_copies_keep_their_owner() -> None:
    entries = made(spec(copy={"usr/share/a/conf": "etc/a.conf"}), pool=(file("usr/share/a/conf", b"c", "a_2"),))
    assert entries["etc/a.conf"].owner.package == "a_2"
    with pytest.raises(ConfigError, match="no file usr/share/b"):
        made(spec(copy={"usr/share/b": "etc/b"}))


# -- the kernel

RELEASE = "6.12.1-test"
ROOT = f"usr/lib/modules/{RELEASE}"


def kernel_pool(*, second: bool = False) -> Pool:
    def mod(path: str, *fields: str) -> Entry:
        return file(f"{ROOT}/kernel/{path}.ko.xz", lzma.compress(module(list(fields))))

    pool = Pool()
    pool.add(
        [
            file(f"boot/vmlinuz-{RELEASE}", b"kernel"),
            file(f"{ROOT}/modules.builtin", b"kernel/drivers/char/virtio_console.ko\n"),
            file(f"{ROOT}/modules.order", b"kernel/net/failover.ko\nkernel/drivers/virtio-net.ko\n"),
            mod("drivers/virtio-net", "depends=failover", "alias=virtio:d1v*"),
            mod("net/failover", "depends="),
            mod("fs/unused", "depends="),
        ]
    )
    if second:
        pool.add([file("usr/lib/modules/6.13/modules.order", b"")])
    return pool


PROFILE = Hardware("p")


def source(*names: str) -> KernelSource:
    return KernelSource(packages={}, profiles={"p": names, "all": ("*",)}, default="p")


def modules(tmp_path: Path, *names: str, hardware: Hardware = PROFILE) -> dict[str, Entry]:
    layer = modules_layer(Context(Cache(tmp_path)), "kernel", source(*names), kernel_pool(), hardware, "digest")
    return {entry.path: entry for entry in layer.finished() if entry.type is EntryType.FILE}


def test_the_kernel_is_a_layer_of_its_own() -> None:
    entries = image_layer("kernel", source(), kernel_pool()).finished()
    assert [(entry.path, entry.mode) for entry in entries] == [("kernel", 0o644)]
    assert kernel_version(kernel_pool()) == RELEASE
    with pytest.raises(ConfigError, match="2 kernels"):
        kernel_version(kernel_pool(second=True))


def test_a_profile_brings_what_its_modules_need(tmp_path: Path) -> None:
    entries = modules(tmp_path, "virtio-net", "virtio_console", "absent?")
    assert {path.removeprefix(f"{ROOT}/") for path in entries} == {
        "kernel/drivers/virtio-net.ko.xz",
        "kernel/net/failover.ko.xz",
        "modules.alias",
        "modules.builtin",
        "modules.dep",
        "modules.softdep",
    }
    assert text(entries[f"{ROOT}/modules.dep"]) == (
        "kernel/net/failover.ko.xz:\nkernel/drivers/virtio-net.ko.xz: kernel/net/failover.ko.xz\n"
    )


def test_the_profile_all(tmp_path: Path) -> None:
    assert f"{ROOT}/kernel/fs/unused.ko.xz" in modules(tmp_path, hardware=Hardware("all"))


def test_a_system_adds_modules_to_the_profile(tmp_path: Path) -> None:
    entries = modules(tmp_path, "virtio_console", hardware=Hardware(None, ("unused", "absent?")))
    assert {path.rpartition("/")[2] for path in entries if ".ko" in path} == {"unused.ko.xz"}
    with pytest.raises(ConfigError, match="the system wants the module absent"):
        modules(tmp_path, hardware=Hardware(None, ("absent",)))


def test_unknown_profiles_and_modules(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no profile 'q'.*it has all, p"):
        modules(tmp_path, hardware=Hardware("q"))
    with pytest.raises(ConfigError, match="wants the module absent"):
        modules(tmp_path, "absent")


def test_modules_are_read_once_for_a_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = modules(tmp_path, "virtio-net")
    monkeypatch.setattr("hullkit.component.kernel.decompress_module", None)
    assert modules(tmp_path, "virtio-net").keys() == first.keys()
