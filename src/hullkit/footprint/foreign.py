"""A system that hullkit did not build → its footprint, by the same rules (docs/footprint.md, "Systems of others").

A file describes the machine; the agent (``guest/init/agent``), which the machine finds on a disk of its own, speaks for
it. Nothing is added to the system.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import msgspec

from hullkit.component.guest import agent_binary
from hullkit.config.decode import Problems, decode
from hullkit.config.definition import Definition, Doc
from hullkit.config.yamlnodes import compose, decode_text
from hullkit.context import Context
from hullkit.errors import ConfigError, NotFound, Position
from hullkit.footprint.disk import FORMAT, Cost, group
from hullkit.footprint.foreignroot import root_costs
from hullkit.footprint.measure import with_boots
from hullkit.footprint.model import VERSION, ContainerSurface, Disk, FileCost, Footprint
from hullkit.footprint.owners import SYSTEM
from hullkit.footprint.surface import surface
from hullkit.machine.boot import BootFiles, command_line
from hullkit.machine.options import Disk as MachineDisk
from hullkit.machine.options import MachineOptions
from hullkit.machine.report import ContainerReport, Report

LAYOUT = "foreign"
#: the serial number of the disk that the agent is on, and the name of its unit
AGENT_SERIAL = "hullkit-agent"
_MAX_FILE = 1 << 20
#: starts the agent from its disk. It is not mounted but copied, so that no file system is asked for; /run may be noexec
_START = f"""set -e
while ! s=$(grep -lx {AGENT_SERIAL} /sys/block/*/serial); do sleep 0.1; done
d=${{s%/serial}}
mkdir -p /run/{AGENT_SERIAL}
mount -t tmpfs -o size=16m,mode=700 {AGENT_SERIAL} /run/{AGENT_SERIAL}
cat /dev/${{d##*/}} > /run/{AGENT_SERIAL}/agent
chmod 700 /run/{AGENT_SERIAL}/agent
exec /run/{AGENT_SERIAL}/agent"""
#: systemd.unit(5). It is after what brings devices, and before nothing: what is measured does not wait for it
_UNIT = """[Unit]
DefaultDependencies=no
After=sysinit.target
Conflicts=shutdown.target
Before=shutdown.target
ConditionPathExists=!/etc/initrd-release
[Service]
PrivateMounts=yes
ExecStart=/bin/sh -c '{start}'
"""


class MachineFile(Definition, frozen=True, kw_only=True):
    """A machine and what it boots; paths are relative to the file."""

    name: Annotated[str, Doc("What the system is called.", pattern="^[a-z0-9][a-z0-9._-]*$", say="a plain name")]
    kernel: Annotated[str, Doc("Kernel image.")]
    initrd: Annotated[str, Doc("Initramfs.")]
    cmdline: Annotated[str, Doc("Kernel command line.")]
    disk: Annotated[str | None, Doc("Disk image, .img or .raw, or qcow2; nothing is written to it.")] = None
    root: Annotated[str | None, Doc("tar archive of the files on it, for the account.")] = None


@dataclass(frozen=True, slots=True)
class Foreign:
    """A system to measure. ``boot`` starts the agent too; ``cmdline`` is the system's own."""

    name: str
    cmdline: str
    boot: BootFiles
    disks: tuple[MachineDisk, ...]
    root: Path | None


def load_foreign(context: Context, path: Path) -> Foreign:
    """Read a machine file. Raises ConfigError with a position, NotFound for a file that is not there."""
    spec, problems = _read(path)
    place = path.resolve().parent
    cmdline = command_line(spec.cmdline.encode(), path)
    files = {}
    for key, name in (("kernel", spec.kernel), ("initrd", spec.initrd), ("disk", spec.disk), ("root", spec.root)):
        if name is None:
            continue
        files[key] = place / name
        if not files[key].is_file():
            raise NotFound(f"{key}: there is no file {files[key]}", where=Position(*problems.positions[(key,)]))
    disks = []
    if "disk" in files:
        kind = MachineDisk.parse(f"file={files['disk']}").format
        disks.append(MachineDisk(files["disk"], None, kind, snapshot=True))
    disks.append(MachineDisk(agent_binary(context, context.arch), None, "raw", snapshot=True, serial=AGENT_SERIAL))
    whole = command_line(f"{cmdline} {agent_words()}".encode(), path)
    boot = BootFiles(files["kernel"], files["initrd"], whole, spec.name)
    return Foreign(spec.name, cmdline, boot, tuple(disks), files.get("root"))


def _read(path: Path) -> tuple[MachineFile, Problems]:
    try:
        with open(path, "rb") as stream:
            data = stream.read(_MAX_FILE + 1)
    except OSError as error:
        raise NotFound(f"{path}: {error.strerror}") from error
    if len(data) > _MAX_FILE:
        raise ConfigError(f"{path}: not a description of a machine: larger than {_MAX_FILE >> 20} MiB")
    problems = Problems(str(path))
    node, second = compose(decode_text(data, str(path)), str(path), problems.at)
    if second is not None:
        raise ConfigError("a machine is one document", where=second)
    spec = decode(node, MachineFile, problems)
    if problems.found:
        raise problems.found[0]
    assert spec is not None
    return spec, problems


def agent_words() -> str:
    """Words of the command line that make systemd (256 or newer) start the agent: a unit in a credential
    (systemd-debug-generator(8), systemd(1)). Others ignore them.
    """
    start = "; ".join(_START.splitlines()).replace("%", "%%").replace("$", "$$")
    unit = base64.b64encode(_UNIT.format(start=start).encode()).decode()
    name = f"{AGENT_SERIAL}.service"
    return f"systemd.set_credential_binary=systemd.extra-unit.{name}:{unit} systemd.wants={name}"


def measure_foreign(context: Context, foreign: Foreign) -> Footprint:
    """Disk and attack surface; with no archive of the root only the two files are known."""
    kernel, initrd = foreign.boot.sizes.kernel, foreign.boot.sizes.initrd
    costs = [
        Cost("kernel", "", "", (SYSTEM,), FileCost(foreign.boot.kernel.name, kernel, kernel)),
        Cost("initramfs", "", "", (SYSTEM,), FileCost(foreign.boot.initrd.name, initrd, initrd)),
    ]
    root, capable = 0, frozenset[tuple[str, str]]()
    if foreign.root is not None:
        root, lines, capable = root_costs(context, foreign.root, (foreign.boot.kernel, foreign.boot.initrd))
        costs += lines
    return Footprint(
        version=VERSION,
        name=foreign.name,
        arch=context.arch,
        layout=LAYOUT,
        disk=Disk(
            FORMAT + ("+root" if root else ""), kernel + initrd + root, kernel, initrd, tuple(group(costs)), root
        ),
        surface=surface(costs, (), capable, {"command line": foreign.cmdline}, writable_root=True),
    )


def with_foreign_boots(footprint: Footprint, reports: list[Report]) -> Footprint:
    """The same with memory, boot times, and what services may do."""
    measured = with_boots(footprint, reports)
    guest = reports[-1].guest
    programs = sum(each.files for each in footprint.surface.executables)
    services = [_service(each, programs) for each in (guest.containers if guest is not None else ())]
    version = {"version": guest.kernel} if guest is not None else {}
    return msgspec.structs.replace(
        measured,
        surface=msgspec.structs.replace(
            measured.surface,
            containers=tuple(each for each in services if each is not None),
            kernel_options={**version, **measured.surface.kernel_options},
        ),
    )


def _service(container: ContainerReport, programs: int) -> ContainerSurface | None:
    rights = container.rights
    if rights is None or container.name == AGENT_SERIAL:
        return None
    return ContainerSurface(
        name=container.name,
        kind="services",
        component=container.name,
        user=rights.user,
        capabilities=rights.capabilities,
        writable=rights.writable,
        seccomp="custom" if rights.filtered else "unconfined",
        no_new_privileges=rights.no_new_privileges,
        own_network=rights.own_network,
        executables=programs,
    )


def machine_of(foreign: Foreign, options: MachineOptions) -> MachineOptions:
    """The same machine with the disks of the system and of the agent."""
    return replace(options, disks=foreign.disks)
