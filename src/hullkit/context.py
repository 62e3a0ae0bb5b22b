"""What a run of hullkit knows beside its input: cache, bus, architecture, network rules, host tools.

One frozen value, made by the CLI (or a test) and passed down; there is no global state.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from hullkit.cache import Cache
from hullkit.errors import ConfigError
from hullkit.events import Bus

#: machine name of the kernel (uname -m) -> architecture as Go, OCI and hullkit's users write it
MACHINE_TO_ARCH: Mapping[str, str] = {
    "x86_64": "amd64",
    "aarch64": "arm64",
    "riscv64": "riscv64",
    "ppc64le": "ppc64le",
    "s390x": "s390x",
}
#: architecture -> Debian's name for it
DEBIAN_ARCH: Mapping[str, str] = {
    "amd64": "amd64",
    "arm64": "arm64",
    "riscv64": "riscv64",
    "ppc64le": "ppc64el",
    "s390x": "s390x",
}


def host_arch() -> str:
    machine = platform.machine()
    return MACHINE_TO_ARCH.get(machine, machine)


def check_arch(arch: str) -> str:
    if arch not in DEBIAN_ARCH:
        raise ConfigError(f"unknown architecture {arch!r}", hint="known: " + ", ".join(DEBIAN_ARCH))
    return arch


class Tool(Protocol):
    """A program that can be run: ``argv`` is put before its arguments, ``env`` added to its environment."""

    @property
    def argv(self) -> tuple[str, ...]: ...
    @property
    def env(self) -> Mapping[str, str]: ...
    @property
    def id(self) -> str:
        """Identifies program and version; part of the id of each step that uses it."""
        ...


class ToolProvider(Protocol):
    """Gives host tools by program name, fetching them first where needed (``hullkit.component.tools``)."""

    def get(self, program: str) -> Tool: ...
    def data(self, toolset: str, path: str) -> Path:
        """A data file or directory of a toolset, such as ``("qemu", "usr/share/qemu")``."""
        ...


class NoTools:
    """A provider that has nothing, for library use without tools."""

    def get(self, program: str) -> Tool:
        raise ConfigError(f"the tool {program} is needed and no tools were provided")

    def data(self, toolset: str, path: str) -> Path:
        raise ConfigError(f"the toolset {toolset} is needed and no tools were provided")


@dataclass(frozen=True, slots=True)
class Registries:
    """How image registries are reached. ``mirrors``: name of a registry ("*": every other) → the URL that stands in for
    it; ``certificates``: PEM files of authorities trusted beside the system's."""

    mirrors: Mapping[str, str] = field(default_factory=dict)
    certificates: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Context:
    """``jobs`` bounds threads; ``offline`` forbids every socket."""

    cache: Cache
    bus: Bus = field(default_factory=Bus)
    arch: str = field(default_factory=host_arch)
    offline: bool = False
    jobs: int = field(default_factory=lambda: min(8, (os.cpu_count() or 2) * 2))
    tools: ToolProvider = field(default_factory=NoTools)
    #: Debian mirror given on the command line or in HULLKIT_DEBIAN_MIRROR (base URL of ``dists`` and ``pool``)
    debian_mirror: str | None = None
    #: architectures whose index may be used unverified (``--allow-unverified-index``); warned about each time
    unverified_indexes: frozenset[str] = frozenset()
    registries: Registries = field(default_factory=Registries)
