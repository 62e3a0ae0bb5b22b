"""The configuration must not be felt: each command reads it. What that takes in time is measured by ``make bench``."""

from __future__ import annotations

import subprocess
import sys

from tests.config.corpus import CHECKOUT, EVERYTHING

#: what other floors need and a configuration does not; each costs more to import than all of hullkit.config
HEAVY = {"urllib3", "ssl", "http", "asyncio", "rich", "pysequoia", "zstandard", "isal", "multiprocessing", "subprocess"}
PROGRAM = """
import sys
import hullkit.config.load
hullkit.config.load.load(["-"], stdin=TEXT)
print(*sys.modules)
"""


def test_a_configuration_is_read_without_what_other_floors_need() -> None:
    program = PROGRAM.replace("TEXT", repr(EVERYTHING.encode()))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=CHECKOUT)
    imported = done.stdout.split()
    assert "hullkit.config.load" in imported
    assert not HEAVY & set(imported)
