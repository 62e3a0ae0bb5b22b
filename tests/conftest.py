"""What all tests share: the checkout, a cache that lives from run to run, and an unprivileged user."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.user import CHECKOUT, User


@pytest.fixture(scope="session")
def checkout() -> Path:
    return CHECKOUT


@pytest.fixture(scope="session")
def user() -> Iterator[User]:
    """Somebody without privileges, with a home of their own (the same person when the tests do not run as root)."""
    somebody = User.make()
    yield somebody
    shutil.rmtree(somebody.home, ignore_errors=True)


@pytest.fixture(scope="session")
def warm_cache(user: User) -> Path:
    """A cache for tests that need real packages but no empty cache; kept between runs, owned by ``user``."""
    default = f"/var/tmp/hullkit-test-cache-{user.uid}"
    path = Path(os.environ.get("HULLKIT_TEST_CACHE") or default)
    path.mkdir(parents=True, exist_ok=True)
    if os.geteuid() == 0:
        os.chown(path, user.uid, user.uid)
    return path
