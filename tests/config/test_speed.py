"""The configuration must not be felt: each command reads it (docs/architecture.md, numbers of the design)."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.config.corpus import CHECKOUT, EVERYTHING

#: CPU milliseconds; the best of several runs, since the machine has other things to do
IMPORT_LIMIT = 60.0
LOAD_LIMIT = 15.0

PROGRAM = """
import time
begun = time.process_time()
import hullkit.config.load
imported = time.process_time()
hullkit.config.load.load(["-"], stdin=TEXT)
print((imported - begun) * 1000, (time.process_time() - imported) * 1000)
"""


def test_importing_and_first_load() -> None:
    program = PROGRAM.replace("TEXT", repr(EVERYTHING.encode()))
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    runs = []
    for _ in range(6):
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=CHECKOUT, env=environment
        )
        runs.append([float(each) for each in done.stdout.split()])
    assert min(run[0] for run in runs) < IMPORT_LIMIT
    assert min(run[1] for run in runs) < LOAD_LIMIT
