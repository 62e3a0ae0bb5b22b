"""Everything that can be written in a system YAML, as frozen structs: the one definition.

``SystemFile`` is one file, ``SystemConfig`` what several files give together. ``None`` is "absent" everywhere, also
after merging; defaults are applied by whoever uses a value. LinuxKit's schema whole, and hullkit's keys beside it.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec

from hullkit.config.container import (
    BindNamespaces,
    BlockIO,
    Cpu,
    Device,
    DeviceRule,
    HugepageLimit,
    Id,
    IdMapping,
    ImageConfig,
    ImageEntry,
    Interface,
    InterfacePriority,
    Memory,
    Mount,
    NetworkClass,
    Pids,
    Resources,
    Runtime,
    ServiceEntry,
    ThrottleDevice,
    WeightDevice,
)
from hullkit.config.definition import Definition, Doc, key
from hullkit.config.supervision import (
    Budget,
    Check,
    ExecCheck,
    HttpCheck,
    Logs,
    Network,
    NetworkInterface,
    Ready,
    Restart,
    Seccomp,
    Stop,
)
from hullkit.errors import Position

#: how to reach a value: keys and list indexes, such as ``("services", 0, "image")``
Path = tuple[str | int, ...]


class KernelConfig(Definition, frozen=True, kw_only=True):
    """The kernel of the system."""

    image: Annotated[str | None, Doc("Image with the kernel.")] = None
    cmdline: Annotated[str | None, Doc("Kernel command line.", example="console=ttyS0")] = None
    binary: Annotated[str | None, Doc('File of the kernel in the image; "kernel" when left out.')] = None
    tar: Annotated[str | None, Doc('File of modules in the image; "kernel.tar" when left out, "none" for none.')] = None
    ucode: Annotated[str | None, Doc("File of CPU microcode in the image; none when left out.")] = None
    profile: Annotated[str | None, Doc("Hardware profile that selects modules.", example="qemu")] = None
    modules: Annotated[
        tuple[str, ...] | None,
        Doc("Modules beside those of the profile; one that ends in ? may be missing.", example=["bridge"]),
    ] = None

    @property
    def binary_file(self) -> str:
        """The kernel's file in its image (LinuxKit: an empty name is the default one)."""
        return self.binary or "kernel"

    @property
    def tar_file(self) -> str:
        """The modules' file in the image; empty: none."""
        return "kernel.tar" if self.tar is None else "" if self.tar == "none" else self.tar

    @property
    def ucode_file(self) -> str:
        """The microcode's file in the image; empty: none."""
        return self.ucode or ""


class FileEntry(Definition, frozen=True, kw_only=True):
    """A file, directory or symbolic link put into the system."""

    path: Annotated[str | None, Doc("Path in the system.")] = None
    directory: Annotated[bool | None, Doc("It is a directory.")] = None
    symlink: Annotated[str | None, Doc("It is a symbolic link to this.")] = None
    contents: Annotated[str | None, Doc("Its content.")] = None
    source: Annotated[str | None, Doc("A file on the host with its content; ~/ is the home directory.")] = None
    metadata: Annotated[str | None, Doc('"yaml": its content is the final configuration.')] = None
    optional: Annotated[bool | None, Doc("Left out when source does not exist.")] = None
    mode: Annotated[str | None, Doc("Octal permissions, quoted; 0600, directories 0700.", example="0644")] = None
    uid: Annotated[Id | None, Doc("Owner: a number, or a container's name.")] = None
    gid: Annotated[Id | None, Doc("Group: a number, or a container's name.")] = None


class Volume(Definition, frozen=True, kw_only=True):
    """A directory tree that containers can share by name."""

    name: Annotated[str | None, Doc("Name, used as the source of binds.")] = None
    image: Annotated[str | None, Doc("Image with its first content; empty when left out.")] = None
    readonly: Annotated[bool | None, Doc("Nobody may write to it.")] = None
    format: Annotated[Literal["oci", "filesystem"] | None, Doc("The image's files, or the image as OCI layout.")] = None
    platforms: Annotated[tuple[str, ...] | None, Doc("Platforms of an OCI layout.", example=["linux/amd64"])] = None


class Trust(Definition, frozen=True, kw_only=True):
    """LinuxKit's content trust settings: accepted, and without effect as in LinuxKit."""

    image: Annotated[tuple[str, ...] | None, Doc("Images.")] = None
    org: Annotated[tuple[str, ...] | None, Doc("Organisations.")] = None


class SystemFile(Definition, frozen=True, kw_only=True):
    """What one YAML file says about a system."""

    kernel: Annotated[KernelConfig | None, Doc("The kernel.")] = None
    init: Annotated[tuple[str, ...] | None, Doc("Images laid over each other as the root file system.")] = None
    volumes: Annotated[tuple[Volume, ...] | None, Doc("Volumes.")] = None
    onboot: Annotated[tuple[ImageEntry, ...] | None, Doc("Containers run one after the other at boot.")] = None
    onshutdown: Annotated[tuple[ImageEntry, ...] | None, Doc("Containers run one after the other at shutdown.")] = None
    services: Annotated[tuple[ServiceEntry, ...] | None, Doc("Containers that keep running.")] = None
    files: Annotated[tuple[FileEntry, ...] | None, Doc("Files put into the root file system.")] = None
    trust: Annotated[Trust | None, Doc("Accepted for LinuxKit's sake; without effect.")] = None

    layout: Annotated[Literal["flat", "packed"] | None, Doc("How the root file systems are stored.")] = None
    network: Annotated[Network | None, Doc("Network of the system (not supported yet).")] = None
    checks: Annotated[tuple[Check, ...] | None, Doc("What `hullkit run --check` proves.")] = None
    budget: Annotated[Budget | None, Doc("Limits that the system must keep.")] = None


class Origin(msgspec.Struct, frozen=True):
    """Where the values of a configuration were written."""

    #: position (file, line, column) of each value, by path
    positions: Mapping[Path, tuple[str, int, int]] = msgspec.field(default_factory=dict)
    #: the directory to which relative paths of a file refer, by file
    directories: Mapping[str, str] = msgspec.field(default_factory=dict)
    #: what the reader of the text should know, though it is no error
    warnings: tuple[str, ...] = ()


class SystemConfig(SystemFile, frozen=True, kw_only=True):
    """What all files together say, checked. The lists are never None."""

    init: tuple[str, ...] = ()
    volumes: tuple[Volume, ...] = ()
    onboot: tuple[ImageEntry, ...] = ()
    onshutdown: tuple[ImageEntry, ...] = ()
    services: tuple[ServiceEntry, ...] = ()
    files: tuple[FileEntry, ...] = ()
    checks: tuple[Check, ...] = ()
    kernel: KernelConfig = KernelConfig()
    origin: Origin = msgspec.field(default_factory=Origin)

    def position(self, *path: str | int) -> Position | None:
        """Where the value at ``path`` was written, or the nearest value around it."""
        for length in range(len(path), 0, -1):
            if found := self.origin.positions.get(path[:length]):
                return Position(*found)
        return None

    def containers(self) -> tuple[tuple[str, int, ImageEntry], ...]:
        """All containers as (section, index, entry), in LinuxKit's order."""
        sections: tuple[tuple[str, tuple[ImageEntry, ...]], ...] = (
            ("onboot", self.onboot),
            ("onshutdown", self.onshutdown),
            ("services", self.services),
        )
        return tuple((name, index, entry) for name, entries in sections for index, entry in enumerate(entries))

    def volume(self, name: str) -> Volume | None:
        return next((volume for volume in self.volumes if (volume.name or "") == name), None)


def position_of(config: SystemConfig, *path: str | int) -> Position | None:
    """``config.position(*path)``."""
    return config.position(*path)


def base_directory(config: SystemConfig, *path: str | int) -> str:
    """The directory to which relative paths in the value at ``path`` refer: its file's; for stdin the current one."""
    where = position_of(config, *path)
    return config.origin.directories.get(where.file, ".") if where else "."


def container_ids(config: SystemConfig) -> dict[str, int]:
    """The user and group ids that containers' names stand for: from 100, in LinuxKit's order."""
    return {entry.name: 100 + number for number, (_, _, entry) in enumerate(config.containers())}


__all__ = [
    "BindNamespaces",
    "BlockIO",
    "Budget",
    "Check",
    "ImageEntry",
    "Cpu",
    "Definition",
    "Device",
    "DeviceRule",
    "ExecCheck",
    "FileEntry",
    "HttpCheck",
    "HugepageLimit",
    "Id",
    "IdMapping",
    "ImageConfig",
    "Interface",
    "InterfacePriority",
    "KernelConfig",
    "Logs",
    "Memory",
    "Mount",
    "Network",
    "NetworkClass",
    "NetworkInterface",
    "Origin",
    "Path",
    "Pids",
    "Ready",
    "Resources",
    "Restart",
    "Runtime",
    "Seccomp",
    "ServiceEntry",
    "Stop",
    "SystemConfig",
    "SystemFile",
    "ThrottleDevice",
    "Trust",
    "Volume",
    "WeightDevice",
    "base_directory",
    "container_ids",
    "key",
    "position_of",
]
