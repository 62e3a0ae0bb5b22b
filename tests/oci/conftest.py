"""A context with an empty cache of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from hullkit.cache import Cache
from hullkit.context import Context
from hullkit.oci.store import Store


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context(Cache(tmp_path / "cache"), arch="amd64", offline=True)


@pytest.fixture
def store(context: Context) -> Store:
    return Store(context.cache)
