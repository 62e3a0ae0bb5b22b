"""A small repository of our own, served on loopback, as the only Debian that the tests of this folder know."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

import hullkit.debian.mirror
import hullkit.net
from hullkit.cache import Cache
from hullkit.context import Context
from hullkit.events import Bus, Event
from hullkit.net import Policy
from tests.support.debrepo import DebRepo
from tests.support.faulty import Mirror, serve


@dataclass
class World:
    """``repo`` (unpublished at first) served at ``mirror``; ``context`` uses it with an empty cache."""

    repo: DebRepo
    mirror: Mirror
    context: Context
    events: list[Event]

    def offline(self) -> Context:
        return replace(self.context, offline=True)

    def files(self) -> list[str]:
        """Everything in the cache but locks."""
        root = self.context.cache.root
        found = [path.relative_to(root) for path in root.rglob("*") if not path.is_dir()]
        return sorted(str(path) for path in found if path.parts[0] != "locks")

    def strays(self) -> list[str]:
        """What a failed run must not leave."""
        return [name for name in self.files() if name.startswith("tmp/") or "/." in name]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    quick = Policy(attempts=3, backoff=0.01, backoff_max=0.05, connect_timeout=2, read_timeout=0.4)
    monkeypatch.setattr(hullkit.net, "DEFAULT_POLICY", quick)
    monkeypatch.setattr(hullkit.debian.mirror, "APT_DIRECTORY", tmp_path / "no-apt")
    for name in ("HULLKIT_DEBIAN_MIRROR", "HULLKIT_DEBIAN_SECURITY_MIRROR", "HULLKIT_DEBIAN_SNAPSHOT"):
        monkeypatch.delenv(name, raising=False)
    repo = DebRepo(tmp_path / "repo")
    monkeypatch.setenv("HULLKIT_DEBIAN_KEYRING", str(repo.keyring))
    events: list[Event] = []
    bus = Bus()
    bus.subscribe(events.append)
    repo.root.mkdir()
    with serve(repo.root) as mirror:
        context = Context(
            Cache(tmp_path / "cache"), bus=bus, arch="amd64", debian_mirror=f"{mirror.url}/debian", jobs=4
        )
        yield World(repo, mirror, context, events)
