"""How a system comes up, from the reports of one or more checked boots."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from hullkit.footprint.model import Boot, Spread, Stage
from hullkit.machine.report import Report

#: the stage that containers of a kind wait for
_BEGINS_WITH = {"onboot": "onboot", "service": "services"}


def spread_of(values: Sequence[float]) -> Spread:
    return Spread(round(median(values), 3), round(min(values), 3), round(max(values), 3))


def boot_of(reports: Sequence[Report]) -> Boot | None:
    """None unless every report is of a boot that came up."""
    ups = [report.host.up_seconds for report in reports if report.host is not None]
    if not reports or len(ups) != len(reports) or None in ups:
        return None
    host = reports[0].host
    assert host is not None
    cpu = [report.host.up_cpu_seconds for report in reports if report.host and report.host.up_cpu_seconds is not None]
    return Boot(
        runs=len(reports),
        accel=host.accel,
        cpus=host.cpus,
        mem=host.mem,
        up=spread_of([value for value in ups if value is not None]),
        cpu=spread_of(cpu) if len(cpu) == len(reports) else None,
        timeline=(*_stages(reports), *_containers(reports)),
    )


def _stages(reports: Sequence[Report]) -> list[Stage]:
    names = [stage.name for stage in reports[0].stages if stage.name != "up"]
    found = []
    for name in names:
        same = [stage for report in reports for stage in report.stages if stage.name == name]
        found.append(
            Stage(name, "stage", spread_of([each.at for each in same]), spread_of([each.seconds for each in same]))
        )
    return found


def _containers(reports: Sequence[Report]) -> list[Stage]:
    """From the beginning of the stage that starts them to the time when they are ready (onboot: have ended)."""
    times: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for report in reports:
        stages = {stage.name: stage for stage in report.stages}
        if report.guest is None or "kernel" not in stages:
            continue
        for container in report.guest.containers:
            begins = stages.get(_BEGINS_WITH.get(container.kind, ""))
            if begins is None or container.ready_seconds is None:
                continue
            ready = stages["kernel"].at + container.ready_seconds
            times.setdefault((container.name, container.kind), []).append((begins.at, max(0.0, ready - begins.at)))
    return [
        Stage(name, kind, spread_of([begin for begin, _ in each]), spread_of([seconds for _, seconds in each]))
        for (name, kind), each in times.items()
    ]
