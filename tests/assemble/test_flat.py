"""The flat layout: LinuxKit's tree from small images, without LinuxKit's own data."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from hullkit.context import Context
from hullkit.errors import ConfigError, HullError, NotFound, TrustError
from hullkit.output import write_formats
from hullkit.tree.entry import EntryType
from tests.assemble.systems import (
    MADE,
    TIME,
    add_image,
    base,
    content,
    context_in,
    cpio_names,
    document,
    names,
    records,
    system_of,
    tar_of,
    unfolded,
    written,
)

HOSTS = "etc/hosts"
ADDED = ["dev", "dev/pts", "dev/shm", "etc", HOSTS, "etc/mtab", "etc/resolv.conf", "proc", "sys"]


@pytest.fixture
def context(tmp_path: Path) -> Context:
    made = context_in(tmp_path)
    add_image(made, "lab/a", base("a"), config={"Cmd": ["/bin/sh"], "Env": ["A=1"]})
    add_image(made, "lab/b", base("b"), config={"Cmd": ["/bin/b"]})
    modules = [("d", "lib/", 0), ("f", "lib/a.ko", b"module" * 100), ("h", "lib/b.ko", "lib/a.ko")]
    add_image(
        made, "lab/kernel", [("f", "kernel", b"k" * 5000), ("f", "kernel.tar", tar_of(modules)), ("f", "uc", b"UCOD")]
    )
    return made


def test_order_and_content_of_a_whole_system(context: Context, tmp_path: Path) -> None:
    text = """
kernel: {image: lab/kernel, cmdline: "console=ttyS0", ucode: uc}
init: [lab/a]
onboot: [{name: first, image: lab/b, readonly: true}]
services: [{name: s, image: lab/a}]
files: [{path: deep/er/file, contents: x, mode: "0640"}]
"""
    system = system_of(context, tmp_path, text)
    assert system.layout == "flat" and system.linuxkit and system.cmdline == "console=ttyS0"
    entries = written(context, system, tmp_path)
    first, s = "containers/onboot/000-first", "containers/services/s"
    assert names(entries) == [
        *("boot", "boot/cmdline", "boot/kernel", "lib", "lib/a.ko", "lib/b.ko", "boot/ucode.cpio"),
        *("bin", "bin/sh", "etc", "etc/tag", *ADDED),
        *("containers", "containers/onboot", first, f"{first}/rootfs"),
        *(f"{first}/rootfs/{name}" for name in ("bin", "bin/sh", "etc", "etc/tag", *ADDED)),
        *(f"{first}/config.json", f"{first}/runtime.json"),
        *("containers", "containers/services", s, f"{s}/lower"),
        *(f"{s}/lower/{name}" for name in ("bin", "bin/sh", "etc", "etc/tag", *ADDED)),
        *(f"{s}/config.json", f"{s}/tmp", f"{s}/rootfs", f"{s}/runtime.json"),
        *("deep", "deep/er", "deep/er/file"),
    ]
    by_name = {entry.path.rstrip("/"): entry for entry in entries}
    assert by_name["bin/sh"].mtime == MADE and by_name["boot/kernel"].mtime == by_name[f"{s}/config.json"].mtime == TIME
    assert by_name["lib/b.ko"].type is EntryType.HARDLINK and by_name["lib/b.ko"].target == "lib/a.ko"
    assert by_name["deep/er"].mode == 0o750 and by_name["deep/er/file"].mode == 0o640
    assert by_name["etc/resolv.conf"].target == "/run/resolvconf/resolv.conf"
    assert content(entries, f"{s}/lower/etc/resolv.conf") == b"\n# no resolv.conf configured\n"
    where = {path: records(by_name[path]) for path in ("boot/kernel", "bin/sh", f"{s}/config.json", "deep/er")}
    assert where == {
        "boot/kernel": {"LINUXKIT.location": "kernel", "LINUXKIT.source": "docker.io/lab/kernel"},
        "bin/sh": {"LINUXKIT.location": "init[0]", "LINUXKIT.source": "docker.io/lab/a"},
        f"{s}/config.json": {"LINUXKIT.location": "services[0]", "LINUXKIT.source": "docker.io/lab/a"},
        "deep/er": {"LINUXKIT.location": "files[0]", "LINUXKIT.source": "linuxkit.files"},
    }


def test_an_image_used_twice_is_stored_once(context: Context, tmp_path: Path) -> None:
    text = """
services:
  - {name: one, image: "lab/a:latest"}
  - {name: two, image: "docker.io/lab/a:latest"}
  - {name: three, image: "lab/a:latest", readonly: true}
"""
    entries = written(context, system_of(context, tmp_path, text), tmp_path)
    assert [name for name in names(entries) if name.endswith("bin/sh")] == ["containers/services/one/lower/bin/sh"]
    lower = "/containers/services/one/lower"
    two, three = (document(entries, f"containers/services/{name}/runtime.json")["mounts"] for name in ("two", "three"))
    assert two[2]["options"][0] == f"lowerdir={lower}" and two[0]["destination"] == "/containers/services/two/tmp"
    assert three == [{"source": lower, "destination": "/containers/services/three/rootfs", "options": ["bind"]}]
    assert "containers/services/three/rootfs" in names(entries)


def test_layers_are_extracted_as_linuxkit_does_it(context: Context, tmp_path: Path) -> None:
    low = [("d", "o", 0), ("f", "o/x", b"low"), ("f", "o/gone", b"g"), ("f", "t", b"target"), ("h", "l", "t")]
    top = [
        ("d", "o", 0),
        ("f", "o/.wh..wh..opq", b""),
        ("f", "o/.wh.gone", b""),
        ("f", "o/new", b"n"),
        ("f", "o/new", b"2"),
    ]
    add_image(context, "lab/layers", low, [*top, ("f", ".wh.t", b"")])
    text = "services: [{name: s, image: lab/layers, readonly: true}]"
    entries = written(context, system_of(context, tmp_path, text), tmp_path)
    root = "containers/services/s/rootfs"
    found = [name.removeprefix(f"{root}/") for name in names(entries) if name.startswith(f"{root}/")]
    # top layer first, opaque ignored, the first of two
    assert found[: -len(ADDED)] == ["o", "o/new", "o/x", "l"]
    assert content(entries, f"{root}/o/new") == b"n"


def test_a_hard_link_without_its_file_keeps_its_content_in_the_initramfs(context: Context, tmp_path: Path) -> None:
    add_image(context, "lab/link", [("f", "t", b"target"), ("h", "l", "t")], [("f", ".wh.t", b"")])
    archives = initrd(context, tmp_path, "init: [lab/link]")
    assert ("l", 6) in [member for archive in archives for member in cpio_names(archive)]


def test_names_and_records_of_unusual_members_survive(context: Context, tmp_path: Path) -> None:
    import io
    import tarfile

    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", pax_headers={"comment": "for all"}) as archive:
        member = tarfile.TarInfo("./odd")
        member.uname, member.pax_headers = "www-data", {"mtime": "1500000000.25", "LIBARCHIVE.xattr.user.z": "ZZ=="}
        archive.addfile(member)
        member = tarfile.TarInfo("plain")
        member.mtime = 5
        archive.addfile(member)
    add_image(context, "lab/odd", stream.getvalue())
    entries = written(context, system_of(context, tmp_path, "init: [lab/odd]"), tmp_path)
    whole, odd, plain = entries[:3]
    assert whole.type is EntryType.GLOBAL and records(whole)["comment"] == "for all"
    assert odd.path == "odd" and odd.mtime == 1500000000
    kept = records(odd)
    assert (kept["uname"], kept["mtime"], kept["LIBARCHIVE.xattr.user.z"]) == ("www-data", "1500000000.25", "ZZ==")
    assert plain.mtime == 5 and "comment" not in records(plain)


def test_package_databases_of_init_images_are_joined(context: Context, tmp_path: Path) -> None:
    path = "lib/apk/db/installed"
    for name in ("one", "two"):
        add_image(context, f"lab/apk-{name}", [("f", path, f"P:{name}\n".encode())])
    entries = written(context, system_of(context, tmp_path, "init: [lab/apk-one, lab/apk-two]"), tmp_path)
    assert content(entries, path) == b"P:one\n\n\nP:two\n\n\n"
    alone = written(context, system_of(context, tmp_path, "init: [lab/apk-one]"), tmp_path)
    assert names(alone).count(path) == 1


def test_files_of_docker_are_left_out_and_replaced(context: Context, tmp_path: Path) -> None:
    members = [("f", ".dockerenv", b""), ("f", "etc/hostname", b"h"), ("f", HOSTS, b"mine"), ("f", "etc/mtab", b"m")]
    add_image(context, "lab/docker", members)
    entries = written(context, system_of(context, tmp_path, "init: [lab/docker]"), tmp_path)
    assert not {".dockerenv", "etc/hostname"} & set(names(entries))
    assert content(entries, HOSTS).startswith(b"127.0.0.1") and names(entries).count("etc/mtab") == 1
    add_image(context, "lab/hosts", [("s", HOSTS, "/run/hosts")])
    with pytest.raises(ConfigError, match=r"lab/hosts has etc/hosts as a symlink") as caught:
        written(context, system_of(context, tmp_path, "init: [lab/hosts]"), tmp_path)
    assert caught.value.where is not None


def test_volumes(context: Context, tmp_path: Path) -> None:
    text = """
volumes: [{name: blank}, {name: full, image: lab/a}]
services: [{name: s, image: lab/b, binds: ["full:/full", "blank:/blank"]}]
"""
    entries = written(context, system_of(context, tmp_path, text), tmp_path)
    found = [name for name in names(entries) if name.startswith("containers/volumes/")]
    assert found[:4] == [f"containers/volumes/blank{end}" for end in ("", "/lower", "/tmp", "/merged")]
    assert "containers/volumes/full/lower/bin/sh" in found
    mounts = document(entries, "containers/services/s/config.json")["mounts"]
    assert {mount["source"] for mount in mounts if mount["type"] == "bind"} == {
        "/containers/volumes/full/merged",
        "/containers/volumes/blank/merged",
    }


def test_kernels_that_do_not_fit(context: Context, tmp_path: Path) -> None:
    cases: list[tuple[str, type[HullError], str]] = [
        ("kernel: {image: lab/kernel, binary: vmlinux}", NotFound, "no kernel vmlinux"),
        ("kernel: {image: lab/kernel, tar: modules.tar}", NotFound, "no archive of modules modules.tar"),
        ("kernel: {image: lab/a, binary: bin/sh}", NotFound, "no archive of modules kernel.tar"),
        ("kernel: {image: lab/kernel, profile: all}", ConfigError, "of a kernel component"),
        ("kernel: {image: lab/kernel, modules: [vfat]}", ConfigError, "of a kernel component"),
    ]
    for text, kind, message in cases:
        with pytest.raises(kind, match=message) as caught:
            system_of(context, tmp_path, text)
        assert caught.value.where is not None
    add_image(context, "lab/badtar", [("f", "kernel", b"k"), ("f", "kernel.tar", b"no archive" * 100)])
    with pytest.raises(TrustError, match=r"kernel.tar"):
        system_of(context, tmp_path, "kernel: {image: lab/badtar}")
    system = system_of(context, tmp_path, "kernel: {image: lab/badtar, tar: none}")
    assert system.kernel is not None and not system.cmdline


def initrd(context: Context, tmp_path: Path, text: str) -> list[bytes]:
    write_formats(context, system_of(context, tmp_path, text), ["kernel+initrd"], tmp_path / "out", "x")
    return unfolded((tmp_path / "out/x-initrd.img").read_bytes())


def test_the_initramfs_is_the_tar_less_boot(context: Context, tmp_path: Path) -> None:
    text = """
kernel: {image: lab/kernel, cmdline: c}
init: [lab/a]
services: [{name: s, image: lab/b}]
files: [{path: boot/mine, contents: x}, {path: etc/mine, contents: y}]
"""
    archives = initrd(context, tmp_path, text)
    found = [name for archive in archives for name, _ in cpio_names(archive) if name != "TRAILER!!!"]
    entries = written(context, system_of(context, tmp_path, text), tmp_path)
    assert found == [entry.path for entry in entries if not entry.path.startswith("boot/")]
    assert (tmp_path / "out/x-kernel").read_bytes() == b"k" * 5000
    assert (tmp_path / "out/x-cmdline").read_text() == "c"


def test_a_changed_line_makes_one_segment_anew(context: Context, tmp_path: Path) -> None:
    text = """
kernel: {image: lab/kernel}
init: [lab/a]
services: [{name: s, image: lab/a}, {name: t, image: lab/b}]
files: [{path: etc/x, contents: one}]
"""

    def segments(changed: str) -> set[str]:
        initrd(context, tmp_path, changed)
        return {path.name for path in (context.cache.root / "steps/cpio").iterdir()}

    first = segments(text)
    for change in (("contents: one", "contents: two"), ("name: t, image", "name: t, env: [A=2], image")):
        again = segments(text.replace(*change))
        assert len(again - first) == 1
        first = again
    assert segments(text) == first


def test_files_that_an_earlier_build_wrote_do_not_stay(context: Context, tmp_path: Path) -> None:
    initrd(context, tmp_path, "kernel: {image: lab/kernel, cmdline: c}")
    initrd(context, tmp_path, "kernel: {image: lab/kernel}")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["x-initrd.img", "x-kernel"]


def test_the_same_bytes_again(context: Context, tmp_path: Path) -> None:
    text = "kernel: {image: lab/kernel}\ninit: [lab/a]\nservices: [{name: s, image: lab/b}]"
    found = set()
    for number in range(2):
        directory = tmp_path / str(number)
        other = Context(cache=type(context.cache)(directory / "cache"), arch="amd64", offline=True, jobs=1 + 3 * number)
        for name in ("oci",):
            (directory / "cache").mkdir(parents=True)
            (directory / "cache" / name).symlink_to(context.cache.root / name)
        write_formats(other, system_of(other, tmp_path, text), ["kernel+initrd", "tar"], directory, "x")
        found.add(
            tuple(hashlib.sha256((directory / f"x{end}").read_bytes()).hexdigest() for end in ("-initrd.img", ".tar"))
        )
    assert len(found) == 1


def test_docker_and_tar_kernel_initrd(context: Context, tmp_path: Path) -> None:
    system = system_of(context, tmp_path, "kernel: {image: lab/kernel, cmdline: c, ucode: uc}\ninit: [lab/a]")
    assert names(written(context, system, tmp_path, "docker"))[-1] == "Dockerfile"
    inside = written(context, system, tmp_path, "tar-kernel-initrd")
    assert names(inside) == ["kernel", "initrd.img", "cmdline", "ucode.cpio"]
    assert unfolded(content(inside, "initrd.img"))


def test_names_cannot_lead_out_of_the_system(context: Context, tmp_path: Path) -> None:
    for name in ("../../..", "../../x"):
        with pytest.raises(ConfigError, match="leads out"):
            system_of(context, tmp_path, f'services: [{{name: "{name}", image: lab/a}}]')
    for path in ("..", "../x", "a/../../x"):
        with pytest.raises(ConfigError):
            system_of(context, tmp_path, f'files: [{{path: "{path}", contents: x}}]')


def test_keys_that_only_hullkits_init_obeys_are_refused(context: Context, tmp_path: Path) -> None:
    keys: dict[str, Any] = {"restart": "{policy: always}", "after": "[a]", "ready": "{tcp: 80}", "stop": "{timeout: 3}"}
    for key, value in keys.items():
        text = f"services: [{{name: a, image: lab/a}}, {{name: s, image: lab/a, {key}: {value}}}]"
        with pytest.raises(ConfigError, match=rf"services\[1\]\.{key}") as caught:
            system_of(context, tmp_path, text)
        assert caught.value.where is not None
    with pytest.raises(ConfigError, match=r"onboot\[0\]\.timeout"):
        system_of(context, tmp_path, "onboot: [{name: a, image: lab/a, timeout: 5s}]")


def test_the_layout_follows_init(context: Context, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="needs hullkit's init"):
        system_of(context, tmp_path, "init: [lab/a]", layout="packed")
    add_image(context, "lab/hull", [("f", "init", b"elf")], config={"Labels": {"org.hullkit.role": "init"}})
    text = 'init: [lab/hull]\nservices: [{name: s, image: lab/a, binds: ["/etc:/deep/er"]}]'
    system = system_of(context, tmp_path, text, layout="flat")
    entries = written(context, system, tmp_path)
    assert not system.linuxkit and names(entries)[-1] == "hull.json"
    told = document(entries, "hull.json")
    assert told["layout"] == "flat" and told["services"][0]["readonly"] and told["services"][0]["layers"] == []
    # a root that cannot be written has its mount points
    assert "containers/services/s/rootfs/deep/er" in names(entries)
    with pytest.raises(ConfigError, match="docker"):
        written(context, system, tmp_path, "docker")


def test_the_timeout_of_an_onboot_container(context: Context, tmp_path: Path) -> None:
    add_image(context, "lab/hull", [("f", "init", b"elf")], config={"Labels": {"org.hullkit.role": "init"}})
    text = "init: [lab/hull]\nonboot: [{name: o, image: lab/a, timeout: 2m}]\nservices: [{name: s, image: lab/a}]"
    told = document(written(context, system_of(context, tmp_path, text, layout="flat"), tmp_path), "hull.json")
    assert told["onboot"][0]["timeout"] == 120.0 and "timeout" not in told["services"][0]


def test_volumes_with_hullkits_init(context: Context, tmp_path: Path) -> None:
    add_image(context, "lab/hull", [("f", "init", b"elf")], config={"Labels": {"org.hullkit.role": "init"}})
    text = 'init: [lab/hull]\nvolumes: [{name: v}]\nservices: [{name: s, image: lab/a, binds: ["v:/v"]}]'
    told = document(written(context, system_of(context, tmp_path, text, layout="flat"), tmp_path), "hull.json")
    assert [mount["destination"] for mount in told["mounts"]] == [
        "/containers/volumes/v/tmp",
        "/containers/volumes/v/tmp",
        "/containers/volumes/v/merged",
    ]
    assert told["modules"] == ["overlay"]
    with pytest.raises(ConfigError, match="volumes"):
        system_of(context, tmp_path, text)


@pytest.mark.parametrize(
    "config",
    [
        {"Cmd": 5},
        {"Cmd": [5]},
        {"Env": {"A": "1"}},
        {"Entrypoint": "sh"},
        {"WorkingDir": [1]},
        {"Labels": 5},
        {"Labels": {"a": 1}},
    ],
)
def test_configurations_of_images_that_cannot_be(config: dict[str, Any], context: Context, tmp_path: Path) -> None:
    add_image(context, "lab/odd", base("o"), config=config)
    with pytest.raises(TrustError):
        system_of(context, tmp_path, "services: [{name: s, image: lab/odd}]")
