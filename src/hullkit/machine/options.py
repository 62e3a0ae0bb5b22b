"""What a person says about the machine to boot: sizes, disks, ports, network; parsed strictly.

The words are LinuxKit's (``linuxkit run qemu``) where it has them, so its command lines keep working.
"""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, cast, get_args

from hullkit.context import DEBIAN_ARCH, MACHINE_TO_ARCH, check_arch, host_arch
from hullkit.errors import ConfigError

MIB = 1 << 20
DiskFormat = Literal["qcow2", "raw"]
Protocol = Literal["tcp", "udp"]
NetworkMode = Literal["user", "none", "bridge", "tap"]
Accel = Literal["auto", "kvm", "tcg", "hvf"]

MIN_MEM_MIB = 32
#: Largest disk that is created; an L1 table of one qcow2 cluster maps this much.
MAX_DISK = 4 << 40
MAX_CPUS = 255
_DISK_FORM = "[file=]PATH[,size=1G][,format=qcow2|raw]"
_UNITS = {"": MIB, "M": MIB, "G": 1 << 30, "T": 1 << 40}
#: IFNAMSIZ - 1 characters, as the kernel's dev_valid_name wants them; a comma would end QEMU's option.
_INTERFACE = re.compile(r"[^\s/:,=]{1,15}")


def parse_size(text: str, what: str) -> int:
    """Bytes of ``1024`` (MiB), ``512M``, ``1G`` or ``2T``."""
    match = re.fullmatch(r"([0-9]{1,9})([MGT]?)", text.strip().upper())
    if match is None or int(match[1]) == 0:
        raise ConfigError(f"{what}: {text!r} is not a size", hint="write 512M, 1G, or a plain number of MiB")
    return int(match[1]) * _UNITS[match[2]]


@dataclass(frozen=True, slots=True)
class Disk:
    """A virtio disk. ``size`` (bytes) is needed only to create ``path``; a disk that exists is used as it is.

    ``snapshot``: what the guest writes is thrown away when the machine ends. ``serial``: its name for the guest.
    """

    path: Path
    size: int | None
    format: DiskFormat
    snapshot: bool = False
    serial: str = ""

    @classmethod
    def parse(cls, text: str) -> Disk:
        """``[file=]PATH[,size=1G][,format=qcow2|raw]``; without a format qcow2, but raw for ``.raw`` and ``.img``."""
        path, fields = "", {}
        for index, part in enumerate(text.split(",")):
            key, equals, value = part.partition("=")
            if index == 0 and (not equals or key not in ("file", "size", "format")):
                key, value = "file", part
            if key in fields:
                raise ConfigError(f"--disk {text!r}: {key} is given twice")
            if key not in ("file", "size", "format") or not value:
                raise ConfigError(
                    f"--disk {text!r}: cannot read {part!r}", hint="[file=]PATH[,size=1G][,format=qcow2|raw]"
                )
            fields[key] = value
        path = fields.get("file", "")
        if not path:
            raise ConfigError(f"--disk {text!r} names no file", hint="--disk PATH,size=1G")
        kind = fields.get("format") or ("raw" if Path(path).suffix in (".raw", ".img") else "qcow2")
        if kind not in get_args(DiskFormat):
            raise ConfigError(f"--disk {text!r}: unknown format {kind!r}", hint="qcow2 or raw")
        size = parse_size(fields["size"], f"--disk {text!r}") if "size" in fields else None
        if size is not None and size > MAX_DISK:
            raise ConfigError(f"--disk {text!r}: larger than 4 TiB")
        return cls(Path(path), size, cast(DiskFormat, kind))


@dataclass(frozen=True, slots=True)
class Publish:
    """A port of the host, on an IPv4 ``address``, that leads to a port of the guest."""

    address: str
    host: int
    guest: int
    protocol: Protocol = "tcp"

    @classmethod
    def parse(cls, text: str) -> Publish:
        """``[ADDR:]HOST:GUEST[/tcp|/udp]``; without an address only this machine (127.0.0.1) reaches it."""
        ports, slash, protocol = text.partition("/")
        if slash and protocol not in get_args(Protocol):
            raise ConfigError(f"--publish {text!r}: unknown protocol {protocol!r}", hint="tcp or udp")
        parts = ports.split(":")
        if len(parts) not in (2, 3):
            raise ConfigError(f"--publish {text!r}: not [ADDR:]HOST:GUEST[/udp]", hint="--publish 8080:80")
        address = parts[0] if len(parts) == 3 else "127.0.0.1"
        try:
            address = str(ipaddress.IPv4Address(address))
        except ValueError:
            raise ConfigError(
                f"--publish {text!r}: {address!r} is not an IPv4 address", hint="127.0.0.1:8080:80, or 0.0.0.0:8080:80"
            ) from None
        host, guest = (_port(part, text) for part in parts[-2:])
        return cls(address, host, guest, cast(Protocol, protocol or "tcp"))

    def __str__(self) -> str:
        return f"{self.address}:{self.host}:{self.guest}/{self.protocol}"


def _port(text: str, whole: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 1 <= int(text) <= 65535:
        raise ConfigError(f"--publish {whole!r}: {text!r} is not a port", hint="1 to 65535")
    return int(text)


@dataclass(frozen=True, slots=True)
class Networking:
    """How the guest's network card is connected; ``name`` is the host's bridge or tap interface."""

    mode: NetworkMode = "user"
    name: str = ""

    @classmethod
    def parse(cls, text: str) -> Networking:
        """``user`` (or LinuxKit's ``default``), ``none``, ``bridge,NAME`` or ``tap,NAME``."""
        mode, comma, name = text.partition(",")
        if mode in ("user", "default", "none") and not comma:
            return cls("none" if mode == "none" else "user")
        if mode not in ("bridge", "tap"):
            raise ConfigError(f"--networking {text!r}: unknown mode", hint="user, none, bridge,NAME or tap,NAME")
        if not _INTERFACE.fullmatch(name) or name in (".", ".."):
            raise ConfigError(f"--networking {text!r}: {name!r} is not an interface name", hint=f"{mode},NAME")
        return cls(cast(NetworkMode, mode), name)


def parse_arch(text: str) -> str:
    """An architecture in hullkit's words; the kernel's names (x86_64, aarch64) are taken too."""
    return check_arch(MACHINE_TO_ARCH.get(text, text))


def parse_accel(text: str) -> Accel:
    """``auto``, ``kvm``, ``tcg`` or ``hvf``; LinuxKit's ``kvm:tcg`` (KVM where it works) is ``auto``."""
    if text in ("kvm:tcg", "hvf:tcg"):
        return "auto"
    if text not in get_args(Accel):
        raise ConfigError(f"--accel {text!r}: unknown accelerator", hint="auto, kvm, tcg or hvf")
    return cast(Accel, text)


def default_cpus() -> int:
    return min(2, os.cpu_count() or 1)


@dataclass(frozen=True, slots=True)
class MachineOptions:
    """A machine. ``mem`` is in MiB, ``timeout`` in seconds (None: by accelerator); ``data`` is the guest's metadata."""

    cpus: int = field(default_factory=default_cpus)
    mem: int = 1024
    disks: tuple[Disk, ...] = ()
    publish: tuple[Publish, ...] = ()
    networking: Networking = Networking()
    data: bytes | None = None
    arch: str = field(default_factory=host_arch)
    accel: Accel = "auto"
    host_tools: bool = False
    #: a QEMU of the user's own, instead of the tools tree's
    qemu: Path | None = None
    #: values of further ``-device`` options, as they are
    devices: tuple[str, ...] = ()
    timeout: float | None = None

    def __post_init__(self) -> None:
        if self.arch not in DEBIAN_ARCH:
            check_arch(self.arch)
        if not 1 <= self.cpus <= MAX_CPUS:
            raise ConfigError(f"--cpus {self.cpus}: not between 1 and {MAX_CPUS}")
        if self.mem < MIN_MEM_MIB:
            raise ConfigError(f"--mem {self.mem}: no system starts in less than {MIN_MEM_MIB} MiB", hint="--mem 512")
        if self.timeout is not None and not 0 < self.timeout < 1e7:
            raise ConfigError(f"--timeout {self.timeout:g}: not a number of seconds above 0")
        if self.publish and self.networking.mode != "user":
            raise ConfigError("--publish needs --networking user", hint="a bridge or tap has its own address")
        taken: set[tuple[str, int, str]] = set()
        for port in self.publish:
            key = (port.address, port.host, port.protocol)
            if key in taken:
                raise ConfigError(f"--publish: {port.protocol} port {port.host} is given twice")
            taken.add(key)
        for device in self.devices:
            if not device or device.startswith("-") or "\0" in device:
                raise ConfigError(f"--device {device!r}: not a QEMU device", hint="--device virtio-balloon-pci")
        if len({disk.path for disk in self.disks}) != len(self.disks):
            raise ConfigError("--disk: the same file is given twice")
