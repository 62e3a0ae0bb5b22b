"""iso-efi: one image that EFI firmware starts from a CD or a USB stick.

An EFI system partition with one program, the unified kernel image (systemd's stub, the kernel, a small initramfs, the
command line), and beside it the store of erofs images under dm-verity.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import BinaryIO

from hullkit.assemble.system import OnDisk, System
from hullkit.component.toolsets import EFI_STUBS
from hullkit.context import Context, host_arch
from hullkit.disk.fat import FatImage
from hullkit.disk.gpt import ESP, STORE
from hullkit.disk.iso9660 import IsoFile, IsoImage
from hullkit.disk.uki import UkiImage
from hullkit.errors import ConfigError
from hullkit.output import output_format
from hullkit.output.erofs import store_of
from hullkit.output.initrd import copy, write_initrd
from hullkit.tree.entry import Bytes, FileSlice, Source

#: what firmware starts from a removable medium (UEFI specification, 3.5.1.1)
_PROGRAMS = {"amd64": "BOOTX64.EFI", "arm64": "BOOTAA64.EFI", "riscv64": "BOOTRISCV64.EFI"}


@output_format(
    "iso-efi",
    "-efi.iso",
    summary="an ISO image for EFI: unified kernel image, and the root beside it",
    needs_kernel=True,
)
def write_iso_efi(context: Context, system: System, files: Mapping[str, BinaryIO]) -> None:
    disk = store_of(system, "iso-efi")
    with context.cache.temp_dir() as work:
        path = work / "initrd"
        with open(path, "wb") as stream:
            write_initrd(context, replace(system, segments=disk.initramfs["removable"]), stream)
        initrd = FileSlice(path, 0, path.stat().st_size)
        copy(iso_image(system, disk, efi_stub(context, system.arch), initrd), files["-efi.iso"])


def iso_image(system: System, disk: OnDisk, stub: bytes, initrd: Source) -> IsoImage:
    """The command line says where the store begins, and the store begins where the program with that line ends."""
    first = IsoImage.first_offset()
    offset, before = first, 0
    while offset != before:
        program = UkiImage(stub, _sections(system, disk.cmdline(system.cmdline, offset), initrd))
        partition = FatImage({f"EFI/BOOT/{_PROGRAMS[system.arch]}": program})
        before, offset = offset, IsoImage.after(first, partition.size)
    return IsoImage(
        (
            IsoFile("EFI.IMG", partition, ESP, "EFI system"),
            IsoFile("STORE.IMG", disk.store, STORE, "hullkit store"),
        ),
        "HULLKIT",
        disk.store.tree.root,
    )


def efi_stub(context: Context, arch: str) -> bytes:
    """systemd's stub for an architecture."""
    if arch not in EFI_STUBS:
        raise ConfigError(f"the format iso-efi is not made for {arch}", hint="it is for " + ", ".join(EFI_STUBS))
    if arch != host_arch():
        raise ConfigError(f"the format iso-efi for {arch} is made on hosts of that architecture only")
    return context.tools.data("efi-stub", EFI_STUBS[arch]).read_bytes()


def _sections(system: System, cmdline: str, initrd: Source) -> list[tuple[str, Source]]:
    assert system.kernel is not None
    name = "".join(letter for letter in system.name if letter.isalnum() or letter in " ._-")
    release = f'ID=hullkit\nNAME="hullkit"\nPRETTY_NAME="{name}"\n'
    return [
        (".osrel", Bytes(release.encode())),
        (".cmdline", Bytes(cmdline.encode("utf-8", "surrogateescape"))),
        (".initrd", initrd),
        (".linux", system.kernel),
    ]
