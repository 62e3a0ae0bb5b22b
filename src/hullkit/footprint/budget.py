"""Limits of a configuration (``budget:``), and who breaks them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from hullkit.config.model import Budget, SystemConfig
from hullkit.errors import CheckFailed
from hullkit.footprint.boot import boot_of
from hullkit.footprint.diff import components
from hullkit.footprint.memory import memory_of
from hullkit.footprint.model import Boot, Footprint, Memory, Port
from hullkit.machine.report import Failure, Report

#: how many are named of what is too much
_NAMED = 3


@dataclass(frozen=True, slots=True)
class Breach:
    """A limit that is broken: its key below ``budget``, who is to blame first, and what is said about it."""

    key: str
    culprit: str
    message: str


def megabytes(count: float) -> str:
    return f"{count / 1e6:.1f} MB"


def of_disk(footprint: Footprint, budget: Budget, before: Footprint | None = None) -> list[Breach]:
    """``disk`` and ``setuid``; with a footprint from ``before`` what grew since is to blame, else what is largest."""
    found = []
    if budget.disk is not None and footprint.disk.bytes > budget.disk:
        grown = [each for each in components(before, footprint) if each.after > each.before] if before else []
        if grown:
            blamed = [(each.component, f"{each.component} +{megabytes(each.after - each.before)}") for each in grown]
            how = "grown since it was kept"
        else:
            blamed = [(name, f"{name} {megabytes(size)}") for name, size in by_component(footprint)]
            how = "largest"
        named = ", ".join(text for _, text in blamed[:_NAMED])
        sizes = f"{footprint.disk.bytes} bytes, and {budget.disk} are allowed"
        found.append(Breach("disk", blamed[0][0], f"the system takes {sizes}; {how}: {named}"))
    if budget.setuid is not None and len(footprint.surface.privileged) > budget.setuid:
        programs = footprint.surface.privileged
        names = ", ".join(f"/{each.path} of {each.component}" for each in programs[:_NAMED])
        count = f"{len(programs)} programs raise privileges, and {budget.setuid} may"
        found.append(Breach("setuid", programs[0].component, f"{count}: {names}"))
    return found


def by_component(footprint: Footprint) -> list[tuple[str, int]]:
    """Bytes of each component, the largest first."""
    sizes: Counter[str] = Counter()
    for part in footprint.disk.parts:
        sizes[part.component] += part.bytes
    return sizes.most_common()


def of_run(memory: Memory | None, boot: Boot | None, ports: Iterable[Port], budget: Budget) -> list[Breach]:
    """``memory``, ``boot`` and ``ports``; what was not measured breaks nothing."""
    found = []
    if memory is not None and budget.memory is not None and memory.used > budget.memory:
        shares = sorted((each for each in memory.shares if each.kind != "free"), key=lambda share: -share.bytes)
        largest = ", ".join(f"{each.name} {megabytes(each.bytes)}" for each in shares[:_NAMED])
        message = f"{memory.used} bytes of memory in use, and {budget.memory} are allowed; largest: {largest}"
        found.append(Breach("memory", shares[0].name, message))
    if boot is not None and budget.boot is not None and boot.up.median > budget.boot:
        slowest = sorted(boot.timeline, key=lambda stage: -stage.seconds.median)
        named = ", ".join(f"{each.name} {each.seconds.median:.1f} s" for each in slowest[:_NAMED])
        culprit = slowest[0].name if slowest else "boot"
        message = f"up after {boot.up.median:.1f} s, and {budget.boot:g} s are allowed; longest: {named}"
        found.append(Breach("boot", culprit, message))
    if budget.ports is not None:
        found += [
            Breach("ports", port.container or "system", f"{port.protocol} port {port.port} of {port.address} is open")
            for port in ports
            if not port.private and not _allowed(port, budget.ports)
        ]
    return found


def _allowed(port: Port, allowed: Sequence[int | str]) -> bool:
    names = (port.port, str(port.port), f"{port.port}/{port.protocol.removesuffix('6')}")
    return any(name in allowed for name in names)


def of_report(report: Report, budget: Budget) -> list[Breach]:
    """``memory``, ``boot`` and ``ports`` of one checked boot."""
    guest = report.guest
    ports = (
        [Port(each.container, each.protocol, each.address, each.port, each.private) for each in guest.ports]
        if guest
        else []
    )
    return of_run(memory_of(report), boot_of([report]), ports, budget)


def judged(report: Report, budget: Budget) -> Report:
    """The report with what it breaks of the budget among its failures."""
    breaches = of_report(report, budget)
    if not breaches:
        return report
    failures = (*report.failures, *(Failure(each.culprit, f"budget.{each.key}: {each.message}") for each in breaches))
    return msgspec.structs.replace(
        report,
        ok=False,
        culprit=", ".join(dict.fromkeys(failure.culprit for failure in failures)),
        message="; ".join(failure.message for failure in failures),
        failures=failures,
    )


def broken(config: SystemConfig, breaches: Sequence[Breach]) -> CheckFailed:
    """The error of a budget that is broken, at the place of the first limit."""
    first = breaches[0]
    message = "; ".join(f"budget.{each.key}: {each.culprit}: {each.message}" for each in breaches)
    return CheckFailed(message, where=config.position("budget", first.key))
