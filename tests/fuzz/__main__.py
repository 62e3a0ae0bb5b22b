"""``python -m tests.fuzz [--seconds N] [--seed N] [TARGET...]``: fuzz targets, as many at once as there are cores.

Exit status 1 when there is a finding; its input is kept. ``--again FILE TARGET`` runs one input again.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.fuzz.driver import attempt, load, names


def run(name: str, seconds: float, seed: int) -> bool:
    keep = Path(tempfile.gettempdir()) / f"hullkit-fuzz-{name}-{os.getpid()}"
    command = [sys.executable, "-P", "-m", "tests.fuzz.driver", name, str(seconds), str(seed), str(keep)]
    # -P leaves the working directory out of the path; the tests are found through it
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent.parent)}
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
    print(done.stdout.rstrip(), flush=True)
    return done.returncode == 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "big"))
    parser.add_argument("--again", type=Path, metavar="FILE")
    parser.add_argument("targets", nargs="*", default=names())
    given = parser.parse_args()
    if given.again:
        finding = attempt(load(given.targets[0]), given.again.read_bytes())
        print(finding.what if finding else "nothing is wrong with it")
        return 1 if finding else 0
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        fine = list(pool.map(lambda name: run(name, given.seconds, given.seed), given.targets))
    print(f"{sum(fine)} passed, {len(fine) - sum(fine)} failed")
    return 0 if all(fine) else 1


if __name__ == "__main__":
    sys.exit(main())
