"""What is known of an archive between runs: small JSON files that cost a millisecond to read.

``debian/state/KEY.json``: the verified indexes of one architecture, set of suites, mirror and keyring.
``debian/releases/KEYRING-SUITE.json``: the newest Release seen, against replayed old ones.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from hullkit.cache import atomic_write
from hullkit.context import Context
from hullkit.debian.keys import keyring_id
from hullkit.errors import TrustError

_FORMAT = 1
#: part of the cache path: change it with the layout that ``index.build_index`` writes
INDEX_FORMAT = "1"


@dataclass(frozen=True, slots=True)
class SuiteState:
    """``base``: URL of the mirror; ``date``: of its Release; ``index``: SHA-256 of its uncompressed Packages file."""

    suite: str
    base: str
    date: int
    valid_until: int
    index: str
    verified: bool


@dataclass(frozen=True, slots=True)
class State:
    """``arch`` is Debian's name; ``checked``: Unix time when the mirror was last asked."""

    arch: str
    checked: int
    suites: tuple[SuiteState, ...]

    @property
    def id(self) -> str:
        content = [self.arch, [(suite.suite, suite.index) for suite in self.suites]]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def state_path(context: Context, arch: str, suites: tuple[str, ...]) -> Path:
    settings = [
        _FORMAT,
        arch,
        suites,
        context.debian_mirror,
        os.environ.get("HULLKIT_DEBIAN_SECURITY_MIRROR"),
        keyring_id(),
    ]
    key = hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:32]
    return context.cache.path("debian", "state", f"{key}.json")


def index_path(context: Context, digest: str) -> Path:
    """Where the index made from the Packages file of that SHA-256 is (see ``index``)."""
    return context.cache.path("debian", "index", INDEX_FORMAT, digest)


def load_state(path: Path) -> State | None:
    """The state of an earlier run; None when there is none that can be read."""
    try:
        data = json.loads(path.read_bytes())
        suites = tuple(SuiteState(**suite) for suite in data["suites"])
        return State(data["arch"], data["checked"], suites)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def save_state(path: Path, state: State) -> None:
    atomic_write(path, json.dumps(asdict(state)).encode())


def refuse_older(context: Context, suite: str, date: int, url: str) -> None:
    """Remember the date of a suite's Release. Raises TrustError when a newer one was seen before (a replay)."""
    path = context.cache.path("debian", "releases", f"{keyring_id()}-{suite}.json")
    with context.cache.lock(f"debian release {path.name}"):
        try:
            seen = int(json.loads(path.read_bytes())["date"])
        except (OSError, ValueError, KeyError, TypeError):
            seen = 0
        if date < seen:
            dates = [time.strftime("%Y-%m-%d %H:%M", time.gmtime(moment)) for moment in (date, seen)]
            raise TrustError(
                f"{url}: its index of {dates[0]} is older than the one of {dates[1]} seen before",
                hint=f"the mirror is behind: use another one, or remove {path} to accept it",
            )
        if date > seen:
            atomic_write(path, json.dumps({"date": date}).encode())
