"""A build within its budget: what it takes is measured before anything is written."""

from __future__ import annotations

import hashlib

from hullkit.assemble.system import System
from hullkit.config.model import SystemConfig
from hullkit.context import Context
from hullkit.errors import ConfigError
from hullkit.footprint.budget import broken, of_disk
from hullkit.footprint.measure import measure_built
from hullkit.footprint.model import Footprint, from_json, to_json
from hullkit.lock.lock import Lock


def hold_to_budget(context: Context, config: SystemConfig, system: System, lock: Lock | None) -> None:
    """Raise CheckFailed, with the position of the limit, when the system breaks ``budget: disk`` or ``setuid``."""
    budget = config.budget
    if budget is None or (budget.disk is None and budget.setuid is None):
        return
    if system.kernel is None:
        raise ConfigError(
            "budget: it measures kernel and initramfs, and there is no kernel", where=config.position("budget")
        )
    from hullkit.output.initrd import write_initrd

    with context.bus.step("measure for the budget"), context.cache.temp_dir() as work:
        with open(work / "initrd", "wb") as stream:
            write_initrd(context, system, stream)
        footprint = measure_built(context, config, system, lock, (work / "initrd").stat().st_size)
    breaches = of_disk(footprint, budget, _last_within(context, footprint))
    if breaches:
        raise broken(config, breaches)
    _remember(context, footprint)


def _key(footprint: Footprint) -> str:
    return hashlib.sha256(f"{footprint.name}\0{footprint.arch}".encode()).hexdigest()[:32]


def _last_within(context: Context, footprint: Footprint) -> Footprint | None:
    """The footprint of the last build of this name that kept its budget: what grew since is to blame."""
    try:
        return from_json(context.cache.path("footprint", f"{_key(footprint)}.json").read_bytes(), "cache")
    except (OSError, ConfigError):
        return None


def _remember(context: Context, footprint: Footprint) -> None:
    with context.cache.temp_dir() as work:
        made = work / "footprint.json"
        made.write_bytes(to_json(footprint))
        context.cache.publish(made, context.cache.path("footprint", f"{_key(footprint)}.json"))
