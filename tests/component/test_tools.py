"""Tools trees: from a repository of our own with the host's real programs, and (net) from Debian."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tarfile
import time
from dataclasses import replace
from pathlib import Path

import pytest

from hullkit.cache import Cache
from hullkit.component.tools import DebianTools
from hullkit.component.unpack import unpack
from hullkit.context import Context
from hullkit.debian.package import Package
from hullkit.errors import NetworkError, NotFound, TrustError
from hullkit.hosttools.run import run
from hullkit.tree.entry import Bytes, Entry, EntryType
from tests.debian.conftest import World, world
from tests.support.debrepo import tar_of

__all__ = ["world"]
LOADER = Path("/lib64/ld-linux-x86-64.so.2")
LIBC = Path("/lib/x86_64-linux-gnu/libc.so.6")

needs_glibc = pytest.mark.skipif(
    platform.machine() != "x86_64" or not LOADER.exists() or not LIBC.exists(), reason="packs the host's C library"
)


def program(name: str) -> bytes:
    found = shutil.which(name)
    assert found
    return Path(found).read_bytes()


def publish_tools(world: World) -> None:
    """erofs-utils whose mkfs.erofs is the host's ``echo``, on the host's C library, with things that must not come."""
    lib = "usr/lib/x86_64-linux-gnu"
    setuid = tarfile.TarInfo("./usr/bin/fsck.erofs")
    setuid.mode, setuid.size = 0o4755, 0
    device = tarfile.TarInfo("./dev/null")
    device.type, device.devmajor, device.devminor = tarfile.CHRTYPE, 1, 3
    links = []
    for name, target in (("usr/bin/absolute", "/usr/bin/mkfs.erofs"), ("usr/bin/out", "../../../../etc/passwd")):
        link = tarfile.TarInfo(f"./{name}")
        link.type, link.linkname = tarfile.SYMTYPE, target
        links.append(link)
    world.repo.add(
        "erofs-utils",
        depends="libc6, debconf",
        data_tar=tar_of(
            [
                ("usr/bin/mkfs.erofs", program("echo")),
                ("usr/bin/dump.erofs", program("cat")),
                ("usr/share/doc/erofs-utils/copyright", b"text"),
                ("usr/share/man/man1/mkfs.erofs.1", b"text"),
                setuid,
                device,
                *links,
            ]
        ),
    )
    world.repo.add(
        "libc6", files={f"{lib}/libc.so.6": LIBC.read_bytes(), "lib64/ld-linux-x86-64.so.2": LOADER.read_bytes()}
    )
    world.repo.publish_all()


@needs_glibc
def test_a_tool_runs_through_the_loader_of_its_tree(world: World) -> None:
    publish_tools(world)
    tools = DebianTools(world.context)
    tool = tools.get("mkfs.erofs")
    assert run(world.context, tool, ["hello", "$HOME"]).stdout == b"hello $HOME\n"
    root = tools.data("erofs", "usr/bin/mkfs.erofs").parents[2]
    assert root.is_relative_to(world.context.cache.root)
    assert tool.argv[0].startswith(str(root)) and tool.id.startswith("mkfs.erofs ")
    # What the program maps is the tree's, not the host's.
    maps = run(world.context, tools.get("dump.erofs"), ["/proc/self/maps"]).stdout.decode().split()
    assert {word for word in maps if ".so" in word} == {
        str(root / "usr/lib64/ld-linux-x86-64.so.2"),
        str(root / "usr/lib/x86_64-linux-gnu/libc.so.6"),
    }
    listing = sorted(str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir() or path.is_symlink())
    assert listing == [
        "bin",
        "lib",
        "lib64",
        "usr/bin/absolute",
        "usr/bin/dump.erofs",
        "usr/bin/fsck.erofs",
        "usr/bin/mkfs.erofs",
        "usr/lib/x86_64-linux-gnu/libc.so.6",
        "usr/lib64/ld-linux-x86-64.so.2",
    ]
    assert (root / "usr/bin/fsck.erofs").stat().st_mode & 0o7777 == 0o755
    assert os.readlink(root / "usr/bin/absolute") == "mkfs.erofs"
    assert not world.strays()


@needs_glibc
def test_known_tools_need_no_index_and_little_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    publish_tools(world)
    first = DebianTools(world.context).get("mkfs.erofs")
    import hullkit.debian.index

    monkeypatch.setattr(hullkit.debian.index, "Index", None)
    begun = time.perf_counter()
    for _ in range(10):
        assert DebianTools(world.context).get("mkfs.erofs") == first
    assert (time.perf_counter() - begun) / 10 < 0.005
    assert DebianTools(world.offline()).get("mkfs.erofs") == first


def test_asking_for_a_known_tool_imports_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys, hullkit.component.tools, hullkit.debian.archive, hullkit.hosttools.tool\n"
        "heavy = ('urllib3', 'msgspec', 'pysequoia', 'zstandard', 'ssl', 'email', 'subprocess')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout
    assert shown.strip() == "[]"


@needs_glibc
def test_a_changed_package_is_another_tool(world: World) -> None:
    publish_tools(world)
    first = DebianTools(world.context).get("mkfs.erofs")
    world.repo.add(
        "libc6",
        "1.1",
        files={
            "usr/lib/x86_64-linux-gnu/libc.so.6": LIBC.read_bytes(),
            "lib64/ld-linux-x86-64.so.2": LOADER.read_bytes(),
        },
    )
    world.repo.publish("trixie", date=time.time() + 9)
    from hullkit.debian.archive import Archive

    Archive.open(world.context, "amd64", refresh=True)
    second = DebianTools(world.context).get("mkfs.erofs")
    assert second.id != first.id and run(world.context, second, ["x"]).stdout == b"x\n"
    assert run(world.context, first, ["x"]).stdout == b"x\n"


class Pins:
    """Stands where ``lock.Lock`` does."""

    def __init__(self, pinned: dict[str, tuple[Package, ...]]) -> None:
        self._pinned = pinned

    def tools(self, toolset: str) -> tuple[Package, ...] | None:
        return self._pinned.get(toolset)


@needs_glibc
def test_a_lock_needs_no_index(world: World, tmp_path: Path) -> None:
    publish_tools(world)
    pinned = DebianTools(world.context).tool_packages(["erofs"])
    assert [package.name for package in pinned["erofs"]] == ["erofs-utils", "libc6"]
    elsewhere = replace(world.context, cache=Cache(tmp_path / "other"))
    world.mirror.requests.clear()
    tools = DebianTools(elsewhere, lock=Pins(pinned))  # type: ignore[arg-type]
    assert run(elsewhere, tools.get("mkfs.erofs"), ["x"]).stdout == b"x\n"
    assert not any("/dists/" in path for path in world.mirror.paths())
    assert tools.get("mkfs.erofs").id == DebianTools(world.context).get("mkfs.erofs").id


@needs_glibc
def test_packages_without_the_program(world: World) -> None:
    publish_tools(world)
    world.repo.paragraphs.clear()
    world.repo.add("erofs-utils", "9", files={"usr/bin/other": b"x"})
    world.repo.publish_all(date=time.time() + 9)
    with pytest.raises(NotFound, match=r"usr/bin/mkfs\.erofs"):
        DebianTools(world.context).get("mkfs.erofs")
    assert not world.strays() and not list((world.context.cache.root / "tools").glob("[0-9a-f]*"))


def test_unknown_names(world: World) -> None:
    with pytest.raises(NotFound, match=r"mkfs\.ntfs"):
        DebianTools(world.context).get("mkfs.ntfs")
    with pytest.raises(NotFound, match="no set of tools hammer"):
        DebianTools(world.context).data("hammer", "x")
    with pytest.raises(NetworkError, match="offline"):
        DebianTools(world.offline()).get("mkfs.erofs")


def test_host_tools(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mkfs.erofs").write_text("#!/bin/sh\necho host\n")
    (tmp_path / "mkfs.erofs").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    tools = DebianTools(world.context, host_tools=True)
    assert run(world.context, tools.get("mkfs.erofs"), []).stdout == b"host\n"
    assert tools.get("mkfs.erofs").id.startswith("host mkfs.erofs ")
    with pytest.raises(NotFound, match="--host-tools"):
        tools.get("qemu-system-nonsense")
    assert not world.mirror.requests


def test_unpack_never_leaves_its_root(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    outside = tmp_path / "outside"
    outside.mkdir()
    entries = [
        Entry("usr/lib", EntryType.SYMLINK, target=str(outside)),
        Entry("usr/lib/evil", EntryType.FILE, content=Bytes(b"evil")),
        Entry("etc/x", EntryType.SYMLINK, target="../../outside/file"),
        Entry("etc/hard", EntryType.HARDLINK, target="etc/x"),
        Entry("etc/gone", EntryType.HARDLINK, target="../outside/file"),
        Entry("a", EntryType.FILE, 0o100, content=Bytes(b"1")),
        Entry("a", EntryType.FILE, 0o400, content=Bytes(b"2")),
    ]
    unpack(entries, root)
    assert not list(outside.iterdir())
    assert (root / "usr/lib/evil").read_bytes() == b"evil" and not (root / "usr/lib").is_symlink()
    assert not (root / "etc/x").is_symlink() and not (root / "etc/hard").exists()
    assert (root / "a").read_bytes() == b"2" and (root / "a").stat().st_mode & 0o777 == 0o644
    for path in ("../x", "/x", "a/../../x"):
        with pytest.raises(TrustError):
            unpack([Entry(path, EntryType.FILE, content=Bytes(b""))], root)


@pytest.mark.net
def test_real_tools(warm_cache: Path, tmp_path: Path) -> None:
    """mkfs.erofs makes an image that fsck.erofs accepts, twice the same; QEMU finds its firmware."""
    context = Context(Cache(warm_cache))
    tools = DebianTools(context)
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir/file").write_bytes(b"x" * 100_000)
    for name in ("a", "b"):
        options = [
            "-zzstd",
            "-T0",
            "-U00000000-0000-0000-0000-000000000001",
            str(tmp_path / name),
            str(tmp_path / "dir"),
        ]
        run(context, tools.get("mkfs.erofs"), options)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    run(context, tools.get("fsck.erofs"), [str(tmp_path / "a")])
    if platform.machine() == "x86_64":
        data = [
            word for path in ("usr/share/qemu", "usr/share/seabios") for word in ("-L", str(tools.data("qemu", path)))
        ]
        options = [*data, "-nodefaults", "-display", "none", "-accel", "tcg", "-monitor", "stdio"]
        shown = run(context, tools.get("qemu-system-x86_64"), options, input=b"info roms\nquit\n", timeout=60).stdout
        assert b"bios-256k.bin" in shown
