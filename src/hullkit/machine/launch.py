"""From what is to boot, and the machine for it, to one that runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hullkit.context import Context
from hullkit.errors import ConfigError
from hullkit.machine import disk, kvm, ports, qemu
from hullkit.machine.boot import Boot
from hullkit.machine.options import MIB, MachineOptions
from hullkit.machine.process import Inherited, Machine


@dataclass(frozen=True, slots=True)
class Launch:
    """What a machine is started with. ``firmware``: code and variables of EFI, for a medium."""

    context: Context
    boot: Boot
    options: MachineOptions
    program: qemu.Program
    firmware: tuple[Path, Path] | None
    accel: str

    def start(self, work: Path, *, once: bool = False) -> Machine:
        """Start it. ``work`` is a directory that lasts as long as the machine; ``once``: it ends instead of starting
        again. Raises ConfigError for metadata that cannot be served, ToolError when QEMU cannot be run."""
        metadata = disk.metadata_image(self.options.data, work)

        def arguments(sockets: Inherited) -> list[str]:
            wires = qemu.Wires(self.accel, *sockets, metadata, once=once, firmware=self.firmware)
            return qemu.arguments(self.program, self.boot, self.options, wires)

        return Machine(self.context, self.program.tool, arguments)


def prepare(context: Context, boot: Boot, options: MachineOptions) -> Launch:
    """Refuse what cannot work, make the disks that do not exist, find QEMU and firmware, choose the accelerator.

    Raises HostError, ConfigError, NotFound or ToolError.
    """
    ports.check_free(options.publish)
    disk.prepare(context, options.disks)
    _check_memory(boot, options)
    program = qemu.find_qemu(context, options)
    firmware = qemu.find_firmware(context, boot, options)
    return Launch(context, boot, options, program, firmware, kvm.choose_accel(context, options, program))


def _check_memory(boot: Boot, options: MachineOptions) -> None:
    need = boot.sizes.kernel + boot.sizes.initrd
    if need > options.mem * MIB:
        raise ConfigError(
            f"--mem {options.mem}: kernel and initramfs alone are {need / MIB:.0f} MiB",
            hint=f"--mem {-(-2 * need // MIB)} may do",
        )
