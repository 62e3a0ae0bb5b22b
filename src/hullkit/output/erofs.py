"""kernel+erofs: a kernel and a small initramfs, and the root on a disk of erofs images under dm-verity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import BinaryIO

from hullkit.assemble.system import OnDisk, System
from hullkit.context import Context
from hullkit.errors import ConfigError
from hullkit.output import output_format
from hullkit.output.initrd import copy, write_initrd

_KERNEL, _INITRD, _CMDLINE, _STORE = "-kernel", "-initrd.img", "-cmdline", "-erofs.img"


@output_format(
    "kernel+erofs",
    *(_KERNEL, _INITRD, _CMDLINE, _STORE),
    summary="kernel, small initramfs, command line, and a disk with the root (erofs under dm-verity)",
    needs_kernel=True,
)
def write_kernel_erofs(context: Context, system: System, files: Mapping[str, BinaryIO]) -> None:
    disk = store_of(system, "kernel+erofs")
    assert system.kernel is not None
    copy(system.kernel, files[_KERNEL])
    write_initrd(context, replace(system, segments=disk.initramfs["disk"]), files[_INITRD])
    files[_CMDLINE].write(disk.cmdline(system.cmdline).encode("utf-8", "surrogateescape"))
    copy(disk.store, files[_STORE])


def store_of(system: System, format_name: str) -> OnDisk:
    if system.on_disk is None:
        raise ConfigError(
            f"the format {format_name} needs the packed layout", hint="layout: packed, with hullkit's init in init:"
        )
    return system.on_disk
