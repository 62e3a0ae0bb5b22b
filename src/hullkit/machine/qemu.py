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
from hullkit.errors import ConfigError, NotFound
from hullkit.hosttools.tool import HostTool
from hullkit.machine.boot import Boot, BootFiles, BootMedium
from hullkit.machine.control import PORT_NAME
from hullkit.machine.options import Disk, MachineOptions, Publish

#: MiB below which the guest's buffers of a virtio-serial port are too much
_LITTLE_MEMORY = 256


@dataclass(frozen=True, slots=True)
class Wiring:
    """How a system of one architecture is wired: program, machine, CPU under TCG, bus of virtio devices, console."""

    program: str
    machine: str
    tcg_cpu: str
    bus: Literal["pci", "ccw"] = "pci"
    console: str = "ttyS0"
    #: words for the kernel's command line under TCG
    tcg_words: tuple[str, ...] = ()
    #: QEMU's arguments that connect the chardev ``console``
    serial: tuple[str, ...] = ("-serial", "chardev:console")
    #: directories of firmware in the tools tree's toolset "qemu"
    data: tuple[str, ...] = ("usr/share/qemu",)
    #: the guest's name of a second serial line (an ISA one); empty where there is none
    control: str = ""
    #: EFI firmware: the toolset, its code, and its empty variables
    efi: tuple[str, str, str] | None = None


WIRINGS: Mapping[str, Wiring] = {
    "amd64": Wiring(
        "qemu-system-x86_64",
        # without the buses that nothing is on: their drivers' probes are a tenth of a boot without KVM
        "q35,sata=off,smbus=off",
        "max",
        # the kernel counts ticks against a loop of its own, and on a host that is busy at that moment takes the timer
        # for broken: "MP-BIOS bug", and timers that never fire (Documentation/admin-guide/kernel-parameters.txt)
        tcg_words=("no_timer_check",),
        data=("usr/share/qemu", "usr/share/seabios"),
        control="ttyS1",
        efi=("ovmf", "usr/share/OVMF/OVMF_CODE_4M.fd", "usr/share/OVMF/OVMF_VARS_4M.fd"),
    ),
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


def find_firmware(context: Context, boot: Boot, options: MachineOptions) -> tuple[Path, Path] | None:
    """Code and empty variables of the EFI firmware that a medium needs; None for a direct kernel boot."""
    if isinstance(boot, BootFiles):
        return None
    efi = WIRINGS[options.arch].efi
    if efi is None:
        raise ConfigError(f"there is no EFI firmware for {options.arch} yet", hint="boot the format kernel+erofs")
    toolset, code, variables = efi
    return context.tools.data(toolset, code), context.tools.data(toolset, variables)


def value(text: str | Path) -> str:
    """A value inside a QEMU option: a comma is written twice (QEMU's util/keyval and util/qemu-option)."""
    return str(text).replace(",", ",,")


@dataclass(frozen=True, slots=True)
class Wires:
    """What one start adds to the options: accelerator, the descriptors of three connected sockets, the metadata CD.

    ``once``: the machine ends instead of starting again. ``firmware``: code and variables of EFI, for a medium.
    """

    accel: str
    console: int
    control: int
    monitor: int
    metadata: Path | None = None
    once: bool = False
    firmware: tuple[Path, Path] | None = None


def arguments(program: Program, boot: Boot, options: MachineOptions, wires: Wires) -> list[str]:
    """Everything after the name of the program."""
    wiring = WIRINGS[options.arch]
    result = [*program.options, "-nodefaults", "-no-user-config", "-display", "none"]
    result += ["-chardev", f"socket,id=monitor,fd={wires.monitor}", "-mon", "chardev=monitor,mode=control"]
    if boot.name:
        result += ["-name", value(boot.name)]
    cpu = wiring.tcg_cpu if wires.accel == "tcg" else "host"
    result += ["-machine", wiring.machine, "-accel", wires.accel, "-cpu", cpu]
    result += ["-smp", str(options.cpus), "-m", str(options.mem)]
    result += what_boots(boot, options, wires)
    if wires.once:
        result.append("-no-reboot")
    result += ["-chardev", f"socket,id=console,fd={wires.console}", *wiring.serial]
    result += ["-device", f"virtio-rng-{wiring.bus}", "-chardev", f"socket,id=control,fd={wires.control}"]
    result += control(options, wiring)
    result += network(options, wiring)
    for index, disk in enumerate(options.disks):
        result += drive(disk, index, wiring)
    if wires.metadata is not None or isinstance(boot, BootMedium):
        result += ["-device", f"virtio-scsi-{wiring.bus}"]
    if isinstance(boot, BootMedium):
        device = "scsi-hd,removable=on" if boot.as_disk else "scsi-cd"
        result += read_only("medium", boot.image, f"{device},bootindex=0")
    elif boot.store is not None:
        result += read_only("store", boot.store, f"virtio-blk-{wiring.bus},serial=store")
    if wires.metadata is not None:
        result += read_only("metadata", wires.metadata, "scsi-cd")
    for device in options.devices:
        result += ["-device", device]
    return result


def what_boots(boot: Boot, options: MachineOptions, wires: Wires) -> list[str]:
    """Kernel, initramfs and command line; or the firmware, and what it is to add to a command line.

    Variables are not kept: a snapshot of the empty ones takes what the firmware writes.
    """
    if isinstance(boot, BootFiles):
        line = kernel_command_line(boot.cmdline, options, wires)
        return ["-kernel", str(boot.kernel), "-initrd", str(boot.initrd), "-append", line]
    assert wires.firmware is not None
    code, variables = wires.firmware
    result = ["-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={value(code)}"]
    result += ["-drive", f"if=pflash,unit=1,format=raw,snapshot=on,file={value(variables)}"]
    # systemd-stub(7): a string of SMBIOS type 11 is added to the line in the image, unless Secure Boot is on
    line = kernel_command_line("", options, wires)
    return [*result, "-smbios", f"type=11,value=io.systemd.stub.kernel-cmdline-extra={value(line)}"]


def read_only(name: str, path: Path, device: str) -> list[str]:
    backend = f"if=none,id={name},format=raw,readonly=on,file={value(path.absolute())}"
    return ["-drive", backend, "-device", f"{device},drive={name}"]


def kernel_command_line(cmdline: str, options: MachineOptions, wires: Wires) -> str:
    """The system's own line, this machine's console unless it names it, what TCG needs, and (``once``) an end at a
    panic."""
    words = cmdline.split()
    line = cmdline
    wiring = WIRINGS[options.arch]
    console = f"console={wiring.console}"
    if not any(word == console or word.startswith(console + ",") for word in words):
        line += f" {console}"
    if serial_control(options):
        line += f" hullkit.control={wiring.control}"
    if wires.accel == "tcg":
        line += "".join(f" {word}" for word in wiring.tcg_words)
    if wires.once and not any(word.startswith("panic=") for word in words):
        line += " panic=-1"
    return line.strip()


def control(options: MachineOptions, wiring: Wiring) -> list[str]:
    """The device of the control channel: a named port, or where memory is little a second serial line."""
    if serial_control(options):
        return ["-device", "isa-serial,chardev=control"]
    # the guest's kernel keeps queues for every port that may come; port 0 is a console's
    port = f"virtserialport,chardev=control,name={PORT_NAME}"
    return ["-device", f"virtio-serial-{wiring.bus},max_ports=2", "-device", port]


def serial_control(options: MachineOptions) -> bool:
    """QEMU 10 gives each queue of virtio-serial 1024 places, and Linux fills two of them with pages: 8 MB."""
    return options.mem < _LITTLE_MEMORY and bool(WIRINGS[options.arch].control)


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
    snapshot = "snapshot=on," if disk.snapshot else ""
    backend = f"if=none,id={name},format={disk.format},{snapshot}discard=unmap,file={value(disk.path.absolute())}"
    return ["-drive", backend, "-device", f"virtio-blk-{wiring.bus},drive={name},serial={value(disk.serial or name)}"]
