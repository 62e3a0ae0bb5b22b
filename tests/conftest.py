"""What all tests share: the checkout, a cache that lives from run to run, and an unprivileged user."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command import Hullkit
from tests.support.user import CHECKOUT, User


@pytest.fixture(scope="session")
def user() -> Iterator[User]:
    """Somebody without privileges, with a home of their own (the same person when the tests do not run as root)."""
    somebody = User.make()
    yield somebody
    shutil.rmtree(somebody.home, ignore_errors=True)


@pytest.fixture(scope="session")
def warm_cache(user: User) -> Path:
    """A cache for tests that need real packages but no empty cache; kept between runs, owned by ``user``."""
    path = Path(os.environ.get("HULLKIT_TEST_CACHE") or f"/var/tmp/hullkit-test-cache-{user.uid}")
    path.mkdir(parents=True, exist_ok=True)
    user.own(path)
    return path


@pytest.fixture(scope="session")
def hullkit(user: User, warm_cache: Path) -> Hullkit:
    """The command of this checkout's files, in a copy that belongs to ``user``, on the warm cache."""
    copy = user.directory("checkout")
    files = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate"],
        cwd=CHECKOUT,
        check=True,
        capture_output=True,
    ).stdout
    for name in files.decode().split("\0"):
        if name and (CHECKOUT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(CHECKOUT / name, copy / name)
    user.own(copy)
    ready = Hullkit(user, warm_cache, copy)
    ready.ok("version")
    return ready
