"""The configuration that a person writes: a problem has a place, and nothing else is raised."""

from __future__ import annotations

from tests.config.test_fuzz import TEXTS, check

SEEDS = tuple(text.encode() for text in TEXTS)
target = check
