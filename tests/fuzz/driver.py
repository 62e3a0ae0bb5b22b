"""Run one target on mutated inputs for some time, in a process of its own, within bounds of time and memory."""

from __future__ import annotations

import importlib
import pkgutil
import random
import resource
import signal
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, ModuleType
from typing import NoReturn

from hullkit.errors import HullError
from tests.fuzz import targets
from tests.fuzz.mutate import mutated

#: what one input may take: seconds, and bytes of address space beyond what the process has before the first
MAX_SECONDS = 5
MAX_BYTES = 300 << 20


class TookTooLong(BaseException):
    """Not an Exception, so that no handler of the parser swallows it."""


@dataclass(frozen=True)
class Finding:
    """``data`` made the target do what it must not; ``what`` says what."""

    data: bytes
    what: str


def names() -> list[str]:
    return sorted(module.name for module in pkgutil.iter_modules(targets.__path__))


def load(name: str) -> ModuleType:
    return importlib.import_module(f"tests.fuzz.targets.{name}")


def _late(_number: int, _frame: FrameType | None) -> NoReturn:
    raise TookTooLong(f"more than {MAX_SECONDS} s")


def _bound_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MAX_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))


def attempt(module: ModuleType, data: bytes) -> Finding | None:
    """What is wrong with how the target takes one input."""
    signal.alarm(MAX_SECONDS)
    try:
        module.target(data)
    except HullError:
        return None
    except (Exception, TookTooLong) as error:
        return Finding(data, "".join(traceback.format_exception(error)[-6:]))
    finally:
        signal.alarm(0)
    return None


def fuzz(name: str, seconds: float, seed: int) -> tuple[int, Finding | None]:
    """Try inputs until the time is over or one is a finding; returns how many were tried. Changes the process's limits.

    Every seed must be taken without an error, or the target tests nothing.
    """
    module = load(name)
    for valid in module.SEEDS:
        module.target(valid)
    _bound_memory()
    signal.signal(signal.SIGALRM, _late)
    chance = random.Random(seed)
    tried, until = 0, time.monotonic() + seconds
    while time.monotonic() < until:
        tried += 1
        if finding := attempt(module, mutated(module.SEEDS, chance)):
            return tried, finding
    return tried, None


def main(name: str, seconds: str, seed: str, keep: str) -> int:
    """One target, as a process: prints a line; a finding is kept as the file ``keep``."""
    tried, finding = fuzz(name, float(seconds), int(seed))
    if finding is None:
        print(f"{name}: {tried} inputs")
        return 0
    Path(keep).write_bytes(finding.data)
    print(f"{name}: after {tried} inputs (seed {seed}), kept as {keep}:\n{finding.what}")
    return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
