"""Systems that hullkit did not build: the machine file, the account of their root, and a boot with the agent."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from hullkit.cache import Cache
from hullkit.component.tools import DebianTools
from hullkit.context import Context
from hullkit.errors import ConfigError, NotFound, TrustError
from hullkit.footprint.disk import METADATA
from hullkit.footprint.foreign import AGENT_SERIAL, Foreign, agent_words, load_foreign, measure_foreign
from hullkit.footprint.foreign import with_foreign_boots as with_boots
from hullkit.footprint.foreignroot import dpkg_owners
from hullkit.machine.boot import BootFiles
from hullkit.machine.report import ContainerReport, RightsReport
from hullkit.tree.entry import Bytes, Entry, EntryType
from hullkit.tree.tar import write_tar
from tests.footprint import samples
from tests.machine.conftest import machine, system
from tests.support.command import Hullkit, strays

__all__ = ["machine", "system"]

MACHINE = """name: other
kernel: vmlinuz
initrd: initrd.img
cmdline: root=/dev/vda console=ttyS0
disk: disk.img
root: root.tar
"""
STATUS = """Package: tool
Status: install ok installed
Source: tools (1.1)
Version: 1.2-3

Package: lib
Architecture: amd64
Version: 4
"""


def file(path: str, data: bytes | str, mode: int = 0o644, **more: Any) -> Entry:
    content = Bytes(data.encode() if isinstance(data, str) else data)
    return Entry(path, EntryType.FILE, mode, content=content, **more)


#: a root as Debian's: /bin is a link, and packages have files in either
ROOT = [
    Entry("bin", EntryType.SYMLINK, 0o777, target="usr/bin"),
    Entry("lib", EntryType.SYMLINK, 0o777, target="/usr/lib/"),
    *(Entry(path, EntryType.DIR) for path in ("boot", "usr", "usr/bin", "usr/lib", "usr/lib/modules", "var")),
    file("boot/vmlinuz-6", b"kernel" * 1000),
    file("boot/initrd.img-6", b"other" * 1000),
    file("usr/bin/tool", b"\x7fELF" + bytes(5000), 0o755),
    file("usr/bin/raise", b"#!/bin/sh\n", 0o4755),
    file("usr/bin/ping", b"ping", 0o755, xattrs=(("security.capability", b"x" * 20),)),
    file("usr/lib/liblib.so", b"l" * 70_000),
    file("usr/lib/modules/6/x.ko.xz", b"m" * 9000),
    file("var/lib/dpkg/status", STATUS),
    file("var/lib/dpkg/info/tool.list", "/.\n/bin\n/bin/tool\n/usr/bin/raise\n/usr/bin/ping\n/gone\n"),
    file("var/lib/dpkg/info/lib:amd64.list", "/lib/liblib.so\n/usr/lib/modules/6/x.ko.xz\n"),
    file("var/lib/dpkg/info/unknown.list", "/etc/hostname\n"),
    file("etc/hostname", "x\n"),
]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    for name, data in (("vmlinuz", b"kernel" * 1000), ("initrd.img", b"initrd" * 500), ("disk.img", b"")):
        (tmp_path / name).write_bytes(data)
    with open(tmp_path / "root.tar", "wb") as stream:
        write_tar(ROOT, stream)
    (tmp_path / "other.yml").write_text(MACHINE)
    return tmp_path


@pytest.fixture
def context(warm_cache: Path) -> Context:
    plain = Context(Cache(warm_cache), arch="amd64")
    return Context(plain.cache, arch="amd64", tools=DebianTools(plain))


def test_a_machine_file(directory: Path, context: Context) -> None:
    foreign = load_foreign(context, directory / "other.yml")
    assert foreign.cmdline == "root=/dev/vda console=ttyS0" and foreign.boot.cmdline.startswith(foreign.cmdline + " ")
    root, agent = foreign.disks
    assert (root.path, root.format, root.snapshot) == (directory / "disk.img", "raw", True)
    assert agent.serial == AGENT_SERIAL and agent.snapshot and agent.path.read_bytes().startswith(b"\x7fELF")
    (directory / "other.yml").write_text(MACHINE.split("disk:")[0])
    foreign = load_foreign(context, directory / "other.yml")
    assert foreign.root is None and len(foreign.disks) == 1


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        (MACHINE + "memory: 5\n", ConfigError, "memory"),
        (MACHINE.replace("name: other\n", ""), ConfigError, "name"),
        (MACHINE.replace("other", "../other"), ConfigError, "name"),
        (MACHINE.replace("vmlinuz", "absent"), NotFound, "kernel: there is no file"),
        (MACHINE.replace("console", "\u00e9"), ConfigError, "plain ASCII"),
        (MACHINE.replace("console", "x" * 1500), ConfigError, "printable characters"),
        (MACHINE + "---\n" + MACHINE, ConfigError, "one document"),
        ("[]", ConfigError, "must be a map"),
        ("name: [", ConfigError, "not valid YAML"),
    ],
)
def test_a_machine_file_that_is_refused(
    directory: Path, context: Context, text: str, error: type[Exception], message: str
) -> None:
    (directory / "other.yml").write_text(text)
    with pytest.raises(error, match=message):
        load_foreign(context, directory / "other.yml")


def test_the_unit_of_the_agent() -> None:
    credential, wants = agent_words().split()
    name, _, unit = credential.removeprefix("systemd.set_credential_binary=").partition(":")
    assert name == "systemd.extra-unit.hullkit-agent.service" and wants == "systemd.wants=hullkit-agent.service"
    (start,) = [line for line in base64.b64decode(unit).decode().splitlines() if line.startswith("ExecStart=")]
    shell, quoted = start.removeprefix("ExecStart=").split(" -c ", 1)
    script = quoted.strip("'").replace("$$", "$").replace("%%", "%")
    assert shell == "/bin/sh" and "'" not in script and "\\" not in script
    subprocess.run(["/bin/sh", "-n", "-c", script], check=True)
    assert "s=$(grep -lx hullkit-agent /sys/block/*/serial)" in script and "d=${s%/serial}" in script


def test_dpkg_says_whose_a_file_is() -> None:
    owners = dpkg_owners(ROOT)
    assert owners["usr/bin/tool"] == ("tools", "tool_1.2-3") == owners["usr/bin/raise"]
    assert owners["usr/lib/liblib.so"] == ("lib", "lib_4")
    assert "etc/hostname" not in owners
    assert dpkg_owners([file("etc/hostname", "x")]) == {}
    with pytest.raises(TrustError, match="dpkg"):
        dpkg_owners([file("var/lib/dpkg/status", bytes((64 << 20) + 1))])


@pytest.mark.net
def test_the_account_of_a_root(directory: Path, context: Context) -> None:
    foreign = load_foreign(context, directory / "other.yml")
    measured = measure_foreign(context, foreign)
    disk, surface = measured.disk, measured.surface
    assert disk.bytes == disk.kernel + disk.initrd + disk.root == sum(part.bytes for part in disk.parts)
    assert (disk.kernel, disk.initrd, disk.format) == (6000, 3000, "kernel+initrd+root")
    files = {file.path: (part.component, part.package, file) for part in disk.parts for file in part.files}
    assert files["usr/lib/liblib.so"][:2] == ("lib", "lib_4") and files["usr/lib/liblib.so"][2].size == 70_000
    assert files["etc/hostname"][0] == "configuration"
    # the kernel is in the root too, and counted once; the initramfs there is another one
    assert "boot/vmlinuz-6" not in files and "boot/initrd.img-6" in files and files["vmlinuz"][2].bytes == 6000
    assert any(part.package == METADATA for part in disk.parts)
    assert {each.component: each.files for each in surface.executables} == {"tools": 3}
    programs = [(each.path, each.mode, each.capabilities) for each in surface.privileged]
    assert programs == [("usr/bin/ping", "0755", True), ("usr/bin/raise", "4755", False)]
    assert surface.modules == 1 and surface.ports is None
    again = measure_foreign(context, foreign)
    assert again == measured
    (directory / "root.tar").write_bytes(b"no archive" * 1000)
    with pytest.raises(TrustError):
        measure_foreign(context, foreign)


def test_what_services_may_do_comes_from_the_boot(directory: Path) -> None:
    boot = BootFiles(directory / "vmlinuz", directory / "initrd.img", "")
    plain = measure_foreign(Context(Cache(directory)), Foreign("other", "quiet", boot, (), None))
    assert [(part.component, part.bytes) for part in plain.disk.parts] == [("kernel", 6000), ("initramfs", 3000)]
    rights = RightsReport("0:0", ("CAP_CHOWN",), filtered=True, no_new_privileges=True, writable=("/",))
    report = samples.report()
    assert report.guest is not None
    services = (ContainerReport("ssh", "service", rights=rights), ContainerReport(AGENT_SERIAL, rights=rights))
    guest = {"containers": (*report.guest.containers, *services), "kernel": "6.1"}
    measured = with_boots(plain, [replaced(report, guest=replaced(report.guest, **guest))])
    (ssh,) = measured.surface.containers
    assert (ssh.name, ssh.user, ssh.seccomp, ssh.writable) == ("ssh", "0:0", "custom", ("/",))
    assert measured.surface.kernel_options == {"version": "6.1", "command line": "quiet"}
    assert measured.memory is not None and measured.memory.total == 512 << 20


def replaced(struct: Any, **fields: Any) -> Any:
    import msgspec

    return msgspec.structs.replace(struct, **fields)


@pytest.mark.net
@pytest.mark.boot
def test_a_foreign_system_is_measured(hullkit: Hullkit, machine: Hullkit, system: Callable[[str], Path]) -> None:
    """Another init, which only starts the agent: memory, boot, ports; sums as for hullkit's own systems."""
    prefix = system("foreign")
    work = machine.user.directory("foreign")
    text = f"name: other\nkernel: {prefix}-kernel\ninitrd: {prefix}-initrd.img\ncmdline: quiet guest.mode=foreign\n"
    described = machine.user.write(work / "other.yml", text)
    done = machine.ok("footprint", "machine", "--json", "-", "--html", work / "x.html", described)
    measured = json.loads(done.stdout)
    jsonschema.validate(measured, json.loads(machine.ok("schema", "--footprint").stdout))
    memory, boot = measured["memory"], measured["boot"]
    assert sum(share["bytes"] for share in memory["shares"]) == memory["total"] == 512 << 20
    (rest,) = [share["bytes"] for share in memory["shares"] if share["kind"] == "rest"]
    assert abs(rest) <= 0.03 * memory["total"]
    assert all(share["bytes"] >= 0 for share in memory["shares"] if share["kind"] != "rest")
    assert [stage["name"] for stage in boot["timeline"]] == ["firmware", "kernel", "init"]
    assert boot["cpu"]["median"] > 0
    assert [(port["protocol"], port["port"]) for port in measured["surface"]["ports"]] == [("tcp", 80)]
    sizes = [Path(f"{prefix}-{end}").stat().st_size for end in ("kernel", "initrd.img")]
    assert measured["disk"]["bytes"] == sum(sizes)
    assert (work / "x.html").read_text().startswith("<!doctype html>")
    before = machine.user.write(work / "other.json", done.stdout)
    assert "disk" in machine.ok("footprint", "diff", before, before).stdout
    assert not strays(machine.cache)


@pytest.mark.net
def test_a_foreign_system_without_a_boot(machine: Hullkit, system: Callable[[str], Path]) -> None:
    prefix = system("foreign")
    work = machine.user.directory("unbooted")
    text = f"name: other\nkernel: {prefix}-kernel\ninitrd: {prefix}-initrd.img\ncmdline: quiet\n"
    described = machine.user.write(work / "other.yml", text)
    assert "initramfs" in machine.ok("footprint", "machine", "--no-boot", described).stdout
    assert "no file" in machine.refused("footprint", "machine", machine.user.write(work / "bad.yml", MACHINE), code=3)
    machine.refused("footprint", "machine", "--no-boot", "--min-memory", described, code=2)
    shutil.rmtree(work)
