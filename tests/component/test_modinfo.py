"""Modules: what they say of themselves, what must be loaded with them, and kmod's index files."""

from __future__ import annotations

import gzip
import lzma

import pytest
import zstandard

from hullkit.component import modinfo
from hullkit.component.modinfo import (
    ModuleInfo,
    decompress_module,
    dependency_closure,
    hard_dependencies,
    index_files,
    module_name,
    read_modinfo,
)
from hullkit.errors import TrustError
from hullkit.tree.entry import Bytes
from tests.component.elffile import elf, module


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("kernel/drivers/char/hw_random/virtio-rng.ko.xz", "virtio_rng"),
        ("kernel/fs/overlayfs/overlay.ko", "overlay"),
        ("dm-mod", "dm_mod"),
        ("a/x.ko.zst", "x"),
    ],
)
def test_names(text: str, name: str) -> None:
    assert module_name(text) == name


def test_fields_of_a_module() -> None:
    data = module(
        [
            "license=GPL",
            "depends=net-failover,failover",
            "softdep=pre: crc32c sha256 post: other",
            "weakdep=late-one",
            "alias=virtio:d00000001v*",
            "alias=fs-x",
            "name=virtio_net",
            "vermagic=6.12",
        ]
    )
    info = read_modinfo(data, "kernel/drivers/net/virtio-net.ko.xz")
    assert info == ModuleInfo(
        name="virtio_net",
        path="kernel/drivers/net/virtio-net.ko.xz",
        depends=("net_failover", "failover"),
        softdep_pre=("crc32c", "sha256"),
        softdep_post=("other",),
        weakdep=("late_one",),
        aliases=("virtio:d00000001v*", "fs-x"),
    )


def test_empty_depends() -> None:
    assert read_modinfo(module(["depends=", "license=GPL"]), "x.ko").depends == ()


def test_a_file_without_modinfo_is_refused() -> None:
    with pytest.raises(TrustError, match="not a kernel module"):
        read_modinfo(elf(("libc.so.6",)), "x.ko")
    with pytest.raises(TrustError, match="not an ELF file"):
        read_modinfo(b"hello", "x.ko")


def test_decompression_of_every_kind() -> None:
    plain = module(["license=GPL"])
    for suffix, data in [
        ("", plain),
        (".xz", lzma.compress(plain)),
        (".gz", gzip.compress(plain)),
        (".zst", zstandard.compress(plain)),
    ]:
        assert decompress_module(Bytes(data), f"x.ko{suffix}") == plain


def test_bombs_and_damage_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modinfo, "MAX_MODULE", 1 << 20)
    zeros = bytes(3 << 20)
    for suffix, data in [
        (".xz", lzma.compress(zeros)),
        (".gz", gzip.compress(zeros)),
        (".zst", zstandard.compress(zeros)),
    ]:
        with pytest.raises(TrustError, match="unfolds to more"):
            decompress_module(Bytes(data), f"x.ko{suffix}")
        with pytest.raises(TrustError, match="damaged"):
            decompress_module(Bytes(b"\0" * 100), f"x.ko{suffix}")


def modules(*infos: ModuleInfo) -> dict[str, ModuleInfo]:
    return {info.name: info for info in infos}


def info(name: str, *depends: str, **rest: tuple[str, ...]) -> ModuleInfo:
    return ModuleInfo(name=name, path=f"kernel/{name}.ko.xz", depends=depends, **rest)


def test_closure_takes_what_is_needed_first_and_soft_dependencies() -> None:
    known = modules(
        info("erofs", "libcrc32c"),
        info("libcrc32c", softdep_pre=("crc32c", "builtin_thing")),
        info("crc32c_intel", aliases=("crc32c", "crypto-crc32c")),
        info("a", "b"),
        info("b", softdep_post=("c",), weakdep=("d",)),
        info("c"),
        info("d"),
        info("unrelated"),
    )
    assert dependency_closure(known, ["erofs"]) == ["crc32c_intel", "libcrc32c", "erofs"]
    assert dependency_closure(known, ["a"]) == ["d", "b", "c", "a"]


def test_closure_survives_circles() -> None:
    known = modules(info("a", "b"), info("b", "a"))
    assert sorted(dependency_closure(known, ["a"])) == ["a", "b"]
    assert hard_dependencies(known, "a") == ["b"]


def test_modules_dep_is_loaded_from_last_to_first() -> None:
    known = modules(info("top", "left", "right"), info("left", "bottom"), info("right", "bottom"), info("bottom"))
    listed = hard_dependencies(known, "top")
    load = [*reversed(listed), "top"]
    assert sorted(listed) == ["bottom", "left", "right"]
    for name in load:
        assert all(load.index(other) < load.index(name) for other in known[name].depends)


def test_index_files() -> None:
    known = modules(
        info("virtio_net", "net_failover", aliases=("virtio:d00000001v*",)),
        info("net_failover", softdep_pre=("x", "y"), softdep_post=("z",)),
    )
    files = index_files(known, ["kernel/virtio_net.ko", "kernel/net_failover.ko"])
    assert files["modules.dep"] == (b"kernel/virtio_net.ko.xz: kernel/net_failover.ko.xz\nkernel/net_failover.ko.xz:\n")
    assert files["modules.alias"].splitlines()[1:] == [b"alias virtio:d00000001v* virtio_net"]
    assert files["modules.softdep"].splitlines()[1:] == [b"softdep net_failover pre: x y post: z"]
