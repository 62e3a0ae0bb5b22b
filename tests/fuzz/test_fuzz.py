"""A second of each fuzz target (``make test-hostile`` runs each for a minute), and that the driver finds anything."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from hullkit.errors import ConfigError
from tests.fuzz.driver import attempt, names
from tests.fuzz.mutate import MAX_INPUT, mutated

pytestmark = pytest.mark.hostile
CHECKOUT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize("name", names())
def test_target(name: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.fuzz.driver", name, "1", "1", str(tmp_path / "finding")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=CHECKOUT)
    assert done.returncode == 0, done.stdout + done.stderr


def _module(target: object) -> ModuleType:
    module = ModuleType("target")
    module.target = target  # type: ignore[attr-defined]
    return module


def test_an_error_of_hullkit_is_fine_and_another_is_a_finding() -> None:
    def refuses(_data: bytes) -> None:
        raise ConfigError("no")

    def breaks(data: bytes) -> None:
        raise ValueError(data)

    assert attempt(_module(refuses), b"x") is None
    finding = attempt(_module(breaks), b"x")
    assert finding is not None and finding.data == b"x" and "ValueError" in finding.what


def test_mutation_stays_bounded_and_changes_something() -> None:
    chance = random.Random(1)
    made = [mutated([b"hello 123 world" * 9, b"other"], chance) for _ in range(500)]
    assert max(map(len, made)) <= MAX_INPUT
    assert len(set(made)) > 400
