"""A system to boot: the catalogue's kernel with the test guest as its init."""

from __future__ import annotations

import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from hullkit.cache import Cache
from hullkit.component.gobuild import compile_program, find_goroot
from hullkit.context import host_arch
from hullkit.oci.store import Store
from hullkit.tree.cpio import write_cpio
from hullkit.tree.entry import Bytes, Entry, EntryType
from tests.machine.fakes import context
from tests.support.command import Hullkit

#: what the test guest needs of the network, a disk and the metadata CD
MODULES = (
    "failover",
    "net_failover",
    "virtio_net",
    "virtio_blk",
    "virtio_scsi",
    "sr_mod",
    "cdrom",
    "isofs",
    "scsi_mod",
    "scsi_common",
)


@pytest.fixture(scope="session")
def machine(hullkit: Hullkit) -> Hullkit:
    """The same command on a cache of its own, which shares what the other one has fetched and built."""
    cache = hullkit.user.directory("machine cache")
    for name in ("debian", "oci", "steps", "tools"):
        shared = hullkit.cache / name
        if not shared.exists():
            shared.mkdir()
            hullkit.user.own(shared)
        (cache / name).symlink_to(shared)
    return Hullkit(hullkit.user, cache, hullkit.checkout)


@pytest.fixture(scope="session")
def system(machine: Hullkit, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Gives the prefix of a system whose guest behaves as told (``guest.mode=``)."""
    if host_arch() != "amd64":
        pytest.skip("the test guest knows amd64 only")
    work = tmp_path_factory.mktemp("guest")
    kernel, modules = _kernel(machine)
    sources = Path(__file__).with_name("testguest")
    compile_program(context(work), sources, host_arch(), work / "init", goroot=find_goroot())
    directory = machine.user.directory("test guest")
    (directory / "kernel").write_bytes(kernel)
    with open(directory / "initrd", "wb") as stream:
        write_cpio(_entries((work / "init").read_bytes(), modules), stream)
    shutil.rmtree(work / "cache")

    def prefix(mode: str) -> Path:
        for end in ("kernel", "initrd"):
            link = directory / f"{mode}-{end}{'.img' if end == 'initrd' else ''}"
            link.unlink(missing_ok=True)
            link.symlink_to(directory / end)
        (directory / f"{mode}-cmdline").write_text(f"console=ttyS0 quiet guest.mode={mode}")
        return directory / mode

    return prefix


def _kernel(machine: Hullkit) -> tuple[bytes, dict[str, bytes]]:
    """The kernel and those of the MODULES that its profile has, by file name."""
    (built,) = json.loads(machine.ok("component", "build", "--json", "kernel").stdout)
    store = Store(Cache(machine.cache))
    kernel, modules = b"", {}
    for layer in store.image(built["digest"]).layers:
        with tarfile.open(store.blob(layer.descriptor.digest)) as archive:
            for member in archive:
                name = member.name.rpartition("/")[2]
                if name == "kernel" and member.isfile():
                    kernel = _content(archive, member)
                elif name.split(".ko")[0].replace("-", "_") in MODULES and member.isfile():
                    modules[name] = _content(archive, member)
    return kernel, modules


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    stream = archive.extractfile(member)
    assert stream is not None
    return stream.read()


def _entries(init: bytes, modules: dict[str, bytes]) -> list[Entry]:
    directories = [Entry(name, EntryType.DIR) for name in ("dev", "modules", "proc", "sys")]
    files = [Entry(f"modules/{name}", EntryType.FILE, 0o644, content=Bytes(data)) for name, data in modules.items()]
    console = Entry("dev/console", EntryType.CHAR, 0o600, rdev=(5, 1))
    return sorted(
        [*directories, console, *files, Entry("init", EntryType.FILE, 0o755, content=Bytes(init))],
        key=lambda entry: entry.path,
    )
