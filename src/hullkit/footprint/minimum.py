"""The smallest memory that a system works in, found by bisection.

It works when all checks hold, and it is up within twice the time that it takes with 512 MiB, three times in a row.
"""

from __future__ import annotations

from collections.abc import Callable

from hullkit.errors import CheckFailed
from hullkit.machine.report import Report

ENOUGH = 512
STEP = 4
IN_A_ROW = 3
_SLOWER = 2.0

#: boots with so many MiB and gives up after so many seconds (None: as usual)
Boot = Callable[[int, float | None], Report]


def smallest_memory(boot: Boot, least: int) -> int:
    """MiB, a multiple of ``STEP``; ``least`` is known to be too little. CheckFailed when 512 MiB are not enough."""
    reference = boot(ENOUGH, None)
    if not reference.ok or reference.host is None or reference.host.up_seconds is None:
        raise CheckFailed(f"with {ENOUGH} MiB: {reference.culprit}: {reference.message}")
    limit = _SLOWER * reference.host.up_seconds
    low, high = max(0, least // STEP), ENOUGH // STEP
    while high - low > 1:
        middle = (low + high) // 2
        if all(_works(boot(middle * STEP, limit), limit) for _ in range(IN_A_ROW)):
            high = middle
        else:
            low = middle
    return high * STEP


def _works(report: Report, limit: float) -> bool:
    up = report.host.up_seconds if report.host is not None else None
    return report.ok and up is not None and up <= limit
