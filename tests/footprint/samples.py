"""Footprints and reports, written by hand."""

from __future__ import annotations

from hullkit.footprint.model import (
    ContainerSurface,
    Disk,
    Executables,
    FileCost,
    Footprint,
    Part,
    Port,
    Program,
    Surface,
)
from hullkit.machine.report import (
    BootStage,
    ContainerReport,
    GuestReport,
    HostReport,
    MemoryReport,
    PortReport,
    Report,
)

MIB = 1 << 20


def part(component: str, package: str, users: tuple[str, ...], **files: int) -> Part:
    costs = tuple(FileCost(name, 2 * count, count) for name, count in files.items())
    total = sum(files.values())
    return Part(component, package, "sha256:" + "0" * 64, users, 2 * total, total, costs)


def footprint(
    *parts: Part, programs: tuple[Program, ...] = (), ports: tuple[Port, ...] | None = None, containers: int = 1
) -> Footprint:
    parts = parts or (part("web", "nginx_1", ("web",), nginx=700), part("libc", "libc6_2", ("web", "x"), libc=300))
    total = sum(each.bytes for each in parts)
    web = ContainerSurface("web", "services", "web", "0:0", ("CAP_CHOWN",), ("/run",), "default", True, False, 1)
    surface = Surface((Executables("web", 1),), programs, (web,) * containers, ("/tmp",), 2, {}, ports)
    return Footprint(1, "sample", "amd64", "packed", Disk("kernel+initrd", total, 0, total, parts), surface)


def report(*, up: float = 8.0, mem: int = 512, ok: bool = True) -> Report:
    """A boot of one service with 20 MiB; the figures of the system include the container's."""
    container = ContainerReport(
        "web",
        "service",
        "ready",
        ready_seconds=5.0,
        memory=20 * MIB,
        memory_anonymous=8 * MIB,
        memory_file=9 * MIB,
        memory_tmpfs=MIB,
        memory_kernel=3 * MIB,
    )
    memory = MemoryReport(
        total=480 * MIB,
        available=430 * MIB,
        free=400 * MIB,
        kernel=30 * MIB,
        tmpfs=11 * MIB,
        page_cache=20 * MIB,
        anonymous=12 * MIB,
    )
    port = PortReport("tcp", "0.0.0.0", 80, "web")
    guest = GuestReport(version=1, up=ok, containers=(container,), memory=memory, ports=(port,))
    stages = (
        BootStage("firmware", 0.0, 1.0),
        BootStage("kernel", 1.0, 2.0),
        BootStage("init", 3.0, 0.5),
        BootStage("services", 3.5, up - 3.5),
        BootStage("up", up, 0.0),
    )
    host = HostReport("amd64", "tcg", 2, mem, 1, 1, up_seconds=up if ok else None, up_cpu_seconds=up - 1)
    return Report(1, ok, culprit="" if ok else "web", stages=stages, guest=guest, host=host)
