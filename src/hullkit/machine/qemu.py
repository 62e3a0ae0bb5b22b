"""QEMU's command line: one table of wirings, a direct kernel boot, virtio everywhere.

``-nodefaults`` and ``romfile=`` leave out what nobody asked for (a floppy, a CD-ROM, the iPXE ROM and its delay).
Console and control channel are sockets that QEMU inherits: no path to guess, to bound or to clean up.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hullkit.context import Context, Tool
from hullkit.errors import NotFound
from hullkit.hosttools.tool import HostTool
from hullkit.machine.boot import BootFiles
from hullkit.machine.control import PORT_NAME
from hullkit.machine.options import Disk, MachineOptions, Publish


@dataclass(frozen=True, slots=True)
class Wiring:
    """How a system of one architecture is wired: program, machine, CPU under TCG, bus of virtio devices, console."""

    program: str
    machine: str
    tcg_cpu: str
    bus: Literal["pci", "ccw"] = "pci"
    console: str = "ttyS0"
    #: QEMU's arguments that connect the chardev ``console``
    serial: tuple[str, ...] = ("-serial", "chardev:console")
    #: directories of firmware in the tools tree's toolset "qemu"
    data: tuple[str, ...] = ("usr/share/qemu",)


WIRINGS: Mapping[str, Wiring] = {
    "amd64": Wiring("qemu-system-x86_64", "pc", "max", data=("usr/share/qemu", "usr/share/seabios")),
    # pauth-impdef: the architected pointer authentication costs TCG a third of its speed
    "arm64": Wiring("qemu-system-aarch64", "virt,gic-version=max", "max,pauth-impdef=on", console="ttyAMA0"),
    # not "max": with every extension on, the kernel does not come to its first line
    "riscv64": Wiring("qemu-system-riscv64", "virt", "rv64"),
    "ppc64le": Wiring("qemu-system-ppc64", "pseries", "power9", console="hvc0"),
    "s390x": Wiring(
        "qemu-system-s390x",
        "s390-ccw-virtio",
        "max",
        bus="ccw",
        console="ttysclp0",
        serial=("-device", "sclpconsole,chardev=console"),
    ),
}


@dataclass(frozen=True, slots=True)
class Program:
    """A QEMU that can be started; ``data``: its directories of firmware (none: it knows its own)."""

    tool: Tool
    data: tuple[Path, ...] = ()

    @property
    def options(self) -> list[str]:
        return [word for path in self.data for word in ("-L", str(path))]


def find_qemu(context: Context, options: MachineOptions) -> Program:
    """The QEMU for ``options.arch``: the user's own, the host's, or (as a rule) the tools tree's with its firmware."""
    wiring = WIRINGS[options.arch]
    if options.qemu is not None:
        found = shutil.which(str(options.qemu))
        if found is None:
            raise NotFound(f"--qemu {options.qemu}: there is no such program")
        return Program(HostTool((found,), id=found))
    tool = context.tools.get(wiring.program)
    if options.host_tools:
        return Program(tool)
    return Program(tool, tuple(context.tools.data("qemu", path) for path in wiring.data))


def value(text: str | Path) -> str:
    """A value inside a QEMU option: a comma is written twice (QEMU's util/keyval and util/qemu-option)."""
    return str(text).replace(",", ",,")


@dataclass(frozen=True, slots=True)
class Wires:
    """What one start adds to the options: accelerator, the descriptors of three connected sockets, the metadata CD.

    ``once``: the machine ends instead of starting again.
    """

    accel: str
    console: int
    control: int
    monitor: int
    metadata: Path | None = None
    once: bool = False


def arguments(program: Program, boot: BootFiles, options: MachineOptions, wires: Wires) -> list[str]:
    """Everything after the name of the program."""
    wiring = WIRINGS[options.arch]
    result = [*program.options, "-nodefaults", "-no-user-config", "-display", "none"]
    result += ["-chardev", f"socket,id=monitor,fd={wires.monitor}", "-mon", "chardev=monitor,mode=control"]
    if boot.name:
        result += ["-name", value(boot.name)]
    cpu = wiring.tcg_cpu if wires.accel == "tcg" else "host"
    result += ["-machine", wiring.machine, "-accel", wires.accel, "-cpu", cpu]
    result += ["-smp", str(options.cpus), "-m", str(options.mem)]
    result += ["-kernel", str(boot.kernel), "-initrd", str(boot.initrd)]
    result += ["-append", kernel_command_line(boot, options, once=wires.once)]
    if wires.once:
        result.append("-no-reboot")
    result += ["-chardev", f"socket,id=console,fd={wires.console}", *wiring.serial]
    result += ["-device", f"virtio-rng-{wiring.bus}", "-device", f"virtio-serial-{wiring.bus}"]
    result += ["-chardev", f"socket,id=control,fd={wires.control}"]
    result += ["-device", f"virtserialport,chardev=control,name={PORT_NAME}"]
    result += network(options, wiring)
    for index, disk in enumerate(options.disks):
        result += drive(disk, index, wiring)
    if wires.metadata is not None:
        result += ["-drive", f"if=none,id=metadata,format=raw,readonly=on,file={value(wires.metadata)}"]
        result += ["-device", f"virtio-scsi-{wiring.bus}", "-device", "scsi-cd,drive=metadata"]
    for device in options.devices:
        result += ["-device", device]
    return result


def kernel_command_line(boot: BootFiles, options: MachineOptions, *, once: bool) -> str:
    """The system's own line, this machine's console unless it names it, and (``once``) an end at a panic."""
    words = boot.cmdline.split()
    line = boot.cmdline
    console = f"console={WIRINGS[options.arch].console}"
    if not any(word == console or word.startswith(console + ",") for word in words):
        line += f" {console}"
    if once and not any(word.startswith("panic=") for word in words):
        line += " panic=-1"
    return line.strip()


def network(options: MachineOptions, wiring: Wiring) -> list[str]:
    networking = options.networking
    if networking.mode == "none":
        return []
    if networking.mode == "user":
        backend = ",".join(["user,id=net", *(f"hostfwd={forward(port)}" for port in options.publish)])
    elif networking.mode == "bridge":
        backend = f"bridge,id=net,br={value(networking.name)}"
    else:
        backend = f"tap,id=net,ifname={value(networking.name)},script=no,downscript=no"
    rom = ",romfile=" if wiring.bus == "pci" else ""
    return ["-netdev", backend, "-device", f"virtio-net-{wiring.bus},netdev=net{rom}"]


def forward(port: Publish) -> str:
    return f"{port.protocol}:{port.address}:{port.host}-:{port.guest}"


def drive(disk: Disk, index: int, wiring: Wiring) -> list[str]:
    name = f"disk{index}"
    backend = f"if=none,id={name},format={disk.format},discard=unmap,file={value(disk.path.absolute())}"
    return ["-drive", backend, "-device", f"virtio-blk-{wiring.bus},drive={name},serial={name}"]
