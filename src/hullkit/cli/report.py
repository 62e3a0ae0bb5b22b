"""The report of a checked boot as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hullkit.machine.control import printable
from hullkit.machine.report import CheckReport, ContainerReport, GuestReport, HostReport, Report


def render(report: Report) -> str:
    """Lines for a person: stages, containers, memory, checks; the verdict last."""
    lines = [report.name or "system"]
    if report.stages:
        lines += _section("boot", _boot(report))
    guest = report.guest
    if guest is not None:
        lines += _section("containers", _table(guest.containers))
        lines += _section("run by", _run_by(guest))
        lines += _section("memory", _memory(guest))
        lines += _section("addresses", (printable(address, 60) for address in guest.addresses))
    lines += _section("checks", _checks((*(guest.checks if guest else ()), *report.ports)))
    if report.host is not None:
        lines += _section("host", _host(report.host))
    if report.ok:
        lines.append("all checks hold")
    else:
        lines += [f"failed: {failure.culprit}: {failure.message}" for failure in report.failures]
    return "\n".join(lines) + "\n"


def _section(title: str, lines: Iterator[str]) -> list[str]:
    body = [f"    {line}" for line in lines]
    return [f"  {title}", *body] if body else []


def _boot(report: Report) -> Iterator[str]:
    for stage in report.stages:
        if stage.name == "up":
            yield f"{'up':12} after {stage.at:.2f} s"
        else:
            yield f"{printable(stage.name, 12):12} {stage.seconds:6.2f} s"


def _table(containers: Sequence[ContainerReport]) -> Iterator[str]:
    if not containers:
        return
    rows = [("name", "kind", "state", "exit", "restarts", "ready", "memory")]
    for one in containers:
        rows.append(
            (
                printable(one.name, 40),
                printable(one.kind, 12),
                printable(one.state, 12),
                "" if one.exit is None else str(one.exit),
                str(one.restarts),
                "" if one.ready_seconds is None else f"{one.ready_seconds:.2f} s",
                "" if one.memory is None else _megabytes(one.memory),
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _run_by(guest: GuestReport) -> Iterator[str]:
    supervisor = guest.supervisor
    if supervisor is None or supervisor.name == "direct":
        yield f"init, with {printable(guest.runtime, 60)}" if guest.runtime else "init"
        return
    name = printable(f"{supervisor.name} {supervisor.version}", 60)
    used = "" if supervisor.memory is None else f", {_megabytes(supervisor.memory)}"
    again = f", started again {supervisor.restarts} times" if supervisor.restarts else ""
    yield f"{name}, with {printable(guest.runtime, 60)}: {len(supervisor.tasks)} tasks{used}{again}"


def _memory(guest: GuestReport) -> Iterator[str]:
    if guest.memory is not None:
        memory = guest.memory
        if memory.total is not None and memory.available is not None:
            used = _megabytes(memory.total - memory.available)
            yield f"{_megabytes(memory.total)} in all, {used} used, {_megabytes(memory.available)} available"
        parts = {"kernel": memory.kernel, "tmpfs": memory.tmpfs, "page cache": memory.page_cache}
        parts["programs"] = memory.anonymous
        yield ", ".join(f"{name} {_megabytes(size)}" for name, size in parts.items() if size is not None)


def _checks(checks: Sequence[CheckReport]) -> Iterator[str]:
    for check in checks:
        name, message = printable(check.name, 100), printable(check.message, 200)
        if check.ok:
            yield f"ok      {name}"
        else:
            yield f"FAILED  {name} ({printable(check.culprit, 60)}: {message})"


def _host(host: HostReport) -> Iterator[str]:
    plural = "s" if host.cpus > 1 else ""
    yield f"{host.arch}, {host.accel}, {host.cpus} CPU{plural}, {host.mem} MiB"
    parts = {"kernel": host.kernel_bytes, "initramfs": host.initrd_bytes, "disk": host.disk_bytes}
    yield ", ".join(f"{name} {_megabytes(size)}" for name, size in parts.items() if size)
    up = "" if host.up_cpu_seconds is None else f" ({host.up_cpu_seconds:.1f} s until up)"
    yield f"{host.wall_seconds:.1f} s, {host.cpu_seconds:.1f} s of CPU{up}, peak {_megabytes(host.peak_bytes)}"


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB"
