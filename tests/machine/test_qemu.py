"""QEMU's command line, for every architecture and option."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from hullkit.context import DEBIAN_ARCH, Context
from hullkit.hosttools.tool import HostTool
from hullkit.machine.boot import Boot, BootFiles, BootMedium
from hullkit.machine.options import Disk, MachineOptions, Networking, Publish
from hullkit.machine.qemu import WIRINGS, Program, Wires, arguments, find_qemu

BOOT = BootFiles(Path("/k"), Path("/i"), "quiet", "a,b")
PROGRAM = Program(HostTool(("qemu",), "x"), (Path("/data"),))
WIRES = Wires("tcg", 10, 11, 12)


def line(options: MachineOptions, boot: Boot = BOOT, wires: Wires = WIRES) -> str:
    return " ".join(arguments(PROGRAM, boot, options, wires))


def test_there_is_a_wiring_for_every_architecture() -> None:
    assert set(WIRINGS) == set(DEBIAN_ARCH)


@pytest.mark.parametrize(
    ("arch", "words"),
    [
        ("amd64", ["-machine q35,sata=off,smbus=off", "-cpu max", "-serial chardev:console", "virtio-net-pci"]),
        ("amd64", ["console=ttyS0 no_timer_check"]),
        ("arm64", ["-machine virt", "pauth-impdef=on", "console=ttyAMA0"]),
        ("riscv64", ["-machine virt", "-cpu rv64", "console=ttyS0"]),
        ("ppc64le", ["-machine pseries", "-cpu power9", "console=hvc0"]),
        ("s390x", ["s390-ccw-virtio", "sclpconsole,chardev=console", "virtio-net-ccw", "console=ttysclp0"]),
    ],
)
def test_wirings(arch: str, words: list[str]) -> None:
    made = line(MachineOptions(arch=arch))
    assert all(word in made for word in words), made
    assert made.startswith("-L /data -nodefaults")
    assert "virtserialport,chardev=control,name=org.hullkit.control" in made
    assert ("pci" in made) == (arch != "s390x")


def test_sockets_are_inherited() -> None:
    made = line(MachineOptions())
    for name, descriptor in (("console", 10), ("control", 11), ("monitor", 12)):
        assert f"socket,id={name},fd={descriptor}" in made


def test_networks() -> None:
    ports = (Publish.parse("8080:80"), Publish.parse("0.0.0.0:53:53/udp"))
    made = line(MachineOptions(publish=ports))
    assert "user,id=net,hostfwd=tcp:127.0.0.1:8080-:80,hostfwd=udp:0.0.0.0:53-:53" in made
    assert "netdev" not in line(MachineOptions(networking=Networking("none")))
    assert "bridge,id=net,br=br0" in line(MachineOptions(networking=Networking("bridge", "br0")))
    assert "tap,id=net,ifname=t0,script=no,downscript=no" in line(MachineOptions(networking=Networking("tap", "t0")))


def test_commas_in_names_stay_in_their_option() -> None:
    made = arguments(PROGRAM, BOOT, MachineOptions(disks=(Disk(Path("/a,b"), None, "raw"),)), WIRES)
    assert made[made.index("-name") + 1] == "a,,b"
    assert any(word.endswith("file=/a,,b") for word in made)


def test_disks_and_metadata() -> None:
    disks = (Disk(Path("rel.qcow2"), None, "qcow2"), Disk(Path("/r"), None, "raw"))
    made = line(MachineOptions(disks=disks), wires=replace(WIRES, metadata=Path("/m.iso")))
    assert f"if=none,id=disk0,format=qcow2,discard=unmap,file={os.getcwd()}/rel.qcow2" in made
    assert "virtio-blk-pci,drive=disk1,serial=disk1" in made
    assert "scsi-cd,drive=metadata" in made


def test_the_kernel_command_line_keeps_what_it_says() -> None:
    def cmdline(given: str, once: bool, accel: str = "kvm") -> str:
        wires = replace(WIRES, once=once, accel=accel)
        made = arguments(PROGRAM, replace(BOOT, cmdline=given), MachineOptions(arch="amd64"), wires)
        assert ("-no-reboot" in made) == once
        return made[made.index("-append") + 1]

    assert cmdline("quiet", False) == "quiet console=ttyS0"
    assert cmdline("", True) == "console=ttyS0 panic=-1"
    assert cmdline("console=ttyS0,115200 panic=5", True) == "console=ttyS0,115200 panic=5"
    assert cmdline("console=tty0", False) == "console=tty0 console=ttyS0"
    assert cmdline("", True, "tcg") == "console=ttyS0 no_timer_check panic=-1"


def test_accelerators() -> None:
    assert "-accel kvm -cpu host" in line(MachineOptions(), wires=replace(WIRES, accel="kvm"))
    assert "-accel hvf -cpu host" in line(MachineOptions(), wires=replace(WIRES, accel="hvf"))


def test_the_tools_tree_comes_with_its_firmware(tmp_path: Path) -> None:
    class Tools:
        def get(self, program: str) -> HostTool:
            return HostTool((program,), program)

        def data(self, toolset: str, path: str) -> Path:
            return Path("/tree", toolset, path)

    made = Context(None, tools=Tools())  # type: ignore[arg-type]
    program = find_qemu(made, MachineOptions(arch="amd64"))
    assert program.options == ["-L", "/tree/qemu/usr/share/qemu", "-L", "/tree/qemu/usr/share/seabios"]
    assert find_qemu(made, MachineOptions(arch="amd64", host_tools=True)).options == []
    assert find_qemu(made, MachineOptions(qemu=Path("/bin/sh"))).tool.argv == ("/bin/sh",)


def test_a_store_is_a_disk_that_cannot_be_written() -> None:
    made = line(MachineOptions(arch="amd64"), boot=replace(BOOT, store=Path("/s,tore")))
    assert "if=none,id=store,format=raw,readonly=on,file=/s,,tore" in made
    assert "-device virtio-blk-pci,serial=store,drive=store" in made


@pytest.mark.parametrize(("as_disk", "device"), [(False, "scsi-cd"), (True, "scsi-hd,removable=on")])
def test_an_image_is_booted_by_firmware(as_disk: bool, device: str) -> None:
    wires = replace(WIRES, firmware=(Path("/code"), Path("/vars")), once=True)
    made = line(MachineOptions(arch="amd64"), boot=BootMedium(Path("/x.iso"), as_disk), wires=wires)
    assert "-kernel" not in made and "-append" not in made
    assert "if=pflash,unit=0,format=raw,readonly=on,file=/code" in made
    assert "if=pflash,unit=1,format=raw,snapshot=on,file=/vars" in made
    assert f"-device {device},bootindex=0,drive=medium" in made and "readonly=on,file=/x.iso" in made
    assert "kernel-cmdline-extra=console=ttyS0 no_timer_check panic=-1" in made


def test_little_memory_takes_a_serial_line_for_the_control_channel() -> None:
    little = line(MachineOptions(arch="amd64", mem=88))
    assert "-device isa-serial,chardev=control" in little and "virtio-serial" not in little
    assert "hullkit.control=ttyS1" in little
    for options in (MachineOptions(arch="amd64", mem=256), MachineOptions(arch="arm64", mem=88)):
        made = line(options)
        assert "virtserialport,chardev=control" in made and "hullkit.control=" not in made
