"""What a checked boot tells, as data: the guest's own report, and what the host measured around it.

``report_schema()`` is the JSON Schema of ``hullkit run --check --json``.
"""

from __future__ import annotations

from typing import Any

import msgspec


class StageTime(msgspec.Struct, frozen=True):
    """A stage that the guest timed; ``seconds`` since its kernel started."""

    name: str
    seconds: float


class RightsReport(msgspec.Struct, frozen=True):
    """What the processes of a service may do, as they run (docs/guest.md, "The agent")."""

    user: str
    capabilities: tuple[str, ...] = ()
    filtered: bool = False
    no_new_privileges: bool = False
    own_network: bool = False
    writable: tuple[str, ...] = ()


class ContainerReport(msgspec.Struct, frozen=True):
    """A container at the time of the report; memory is its cgroup's, in bytes (None: it does not run).

    ``memory_file`` includes ``memory_tmpfs``. ``rights`` are told of a system that hullkit did not build.
    """

    name: str
    kind: str = ""
    state: str = ""
    exit: int | None = None
    signal: int | None = None
    restarts: int = 0
    ready_seconds: float | None = None
    memory: int | None = None
    memory_anonymous: int | None = None
    memory_file: int | None = None
    memory_tmpfs: int | None = None
    memory_kernel: int | None = None
    message: str = ""
    rights: RightsReport | None = None


class MemoryReport(msgspec.Struct, frozen=True):
    """The guest's memory in bytes (None: not known).

    ``kernel`` is what the kernel itself uses: slab, vmalloc (stacks, modules), page tables, per-CPU data. ``tmpfs``
    includes the initramfs; ``free`` the processors' own lists of free pages.
    """

    total: int | None = None
    available: int | None = None
    free: int | None = None
    kernel: int | None = None
    tmpfs: int | None = None
    page_cache: int | None = None
    anonymous: int | None = None


class PortReport(msgspec.Struct, frozen=True):
    """A port that something listens on; ``container`` is "" for what runs outside of all of them, or the kernel.

    ``private``: in a network namespace of its own, out of reach of the system's network.
    """

    protocol: str
    address: str
    port: int
    container: str = ""
    private: bool = False


class CheckReport(msgspec.Struct, frozen=True):
    """One check, by guest or host; ``culprit`` is who is to blame when it is not ``ok``."""

    name: str
    ok: bool
    culprit: str = ""
    message: str = ""


class TaskReport(msgspec.Struct, frozen=True):
    """A task, as containerd itself tells of it."""

    id: str
    pid: int = 0
    state: str = ""


class SupervisorReport(msgspec.Struct, frozen=True):
    """What runs the services: ``direct`` (init itself) or ``containerd``, with its version (empty: no answer).

    Memory is that of containerd, its shims and hull-service together, in bytes; None where init does it all.
    """

    name: str
    version: str = ""
    restarts: int = 0
    tasks: tuple[TaskReport, ...] = ()
    memory: int | None = None
    memory_anonymous: int | None = None
    memory_file: int | None = None
    memory_tmpfs: int | None = None
    memory_kernel: int | None = None


class GuestReport(msgspec.Struct, frozen=True):
    """What init answers to ``check`` (docs/guest.md)."""

    version: int
    name: str = ""
    kernel: str = ""
    init: str = ""
    runtime: str = ""
    supervisor: SupervisorReport | None = None
    up: bool = False
    stages: tuple[StageTime, ...] = ()
    containers: tuple[ContainerReport, ...] = ()
    memory: MemoryReport | None = None
    addresses: tuple[str, ...] = ()
    ports: tuple[PortReport, ...] = ()
    checks: tuple[CheckReport, ...] = ()


class BootStage(msgspec.Struct, frozen=True):
    """A stage of the boot seen from the host: ``at`` is when it began, ``seconds`` how long it took; from power-on."""

    name: str
    at: float
    seconds: float


class Failure(msgspec.Struct, frozen=True):
    """One reason why a boot did not pass: a check's, a container's, or ``kernel``, ``qemu``, ``init``, ``boot``."""

    culprit: str
    message: str


class LogLine(msgspec.Struct, frozen=True):
    """A line that a container wrote."""

    container: str
    line: str


class HostReport(msgspec.Struct, frozen=True):
    """The machine and what it cost the host. Seconds; ``cpu_*`` are QEMU's user and system time; ``mem`` is in MiB."""

    arch: str
    accel: str
    cpus: int
    mem: int
    kernel_bytes: int
    initrd_bytes: int
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    up_seconds: float | None = None
    up_cpu_seconds: float | None = None
    #: largest resident set of QEMU, in bytes
    peak_bytes: int = 0
    console_log: str = ""
    #: of the store, or of the image with all of it
    disk_bytes: int = 0


class Report(msgspec.Struct, frozen=True):
    """The whole story of one checked boot.

    ``culprit`` and ``message`` sum up ``failures``. ``guest`` is what init answered (None when it was never heard; only
    the containers, as far as their events tell, when it never answered); ``ports`` are the host's own checks of
    published ports. ``logs`` are the last lines of containers that failed, ``console`` those of the console when the
    boot failed. ``host`` is None when nothing was booted: the build failed, or the host refused.
    """

    version: int
    ok: bool
    culprit: str = ""
    message: str = ""
    failures: tuple[Failure, ...] = ()
    name: str = ""
    stages: tuple[BootStage, ...] = ()
    guest: GuestReport | None = None
    ports: tuple[CheckReport, ...] = ()
    host: HostReport | None = None
    logs: tuple[LogLine, ...] = ()
    console: tuple[str, ...] = ()


def to_json(value: Report) -> bytes:
    """Indented JSON, one newline at its end."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"


def report_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of the one document that ``hullkit run --check --json`` prints."""
    (root,), definitions = msgspec.json.schema_components((Report,), ref_template="#/$defs/{name}")
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "hullkit run report"}
    return {**head, **root, "$defs": definitions}
