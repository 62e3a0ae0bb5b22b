"""Other people's tools, from the tools tree."""

from __future__ import annotations

from pathlib import Path

import pytest

from hullkit.cache import Cache
from hullkit.component.tools import DebianTools
from hullkit.context import Context
from hullkit.tree.entry import Source


@pytest.fixture(scope="session")
def tooled(warm_cache: Path) -> Context:
    plain = Context(Cache(warm_cache), arch="amd64")
    return Context(plain.cache, arch="amd64", tools=DebianTools(plain))


def write(source: Source, path: Path) -> Path:
    """The bytes of a source as a file; they must be as many as it says, and the same twice."""
    data = b"".join(source.chunks())
    assert len(data) == source.size
    assert b"".join(source.chunks()) == data
    path.write_bytes(data)
    return path
