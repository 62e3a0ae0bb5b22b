"""The README's promise: from a fresh clone, as a new user with an empty home, to a running system."""

from __future__ import annotations

import json
import subprocess

import pytest

from tests.support.command import Hullkit
from tests.support.user import CHECKOUT, User

pytestmark = [pytest.mark.net, pytest.mark.boot, pytest.mark.slow]


def test_from_clone_to_a_running_system(user: User) -> None:
    home = user.directory("newcomer")
    clone = home / "hullkit"
    # what is committed, as a newcomer would get it
    subprocess.run(["git", "clone", "-q", CHECKOUT, clone], check=True)
    if user.uid:
        subprocess.run(["chown", "-R", f"{user.uid}:{user.uid}", clone], check=True)
    fresh = Hullkit(user, home / "cache", clone)
    done = fresh.ok("run", "--check", "--json", "examples/tiny.yml", cwd=clone, timeout=900)
    assert json.loads(done.stdout)["ok"] is True
    left = subprocess.run(
        ["git", "-c", "safe.directory=*", "status", "--porcelain"], cwd=clone, capture_output=True, text=True
    )
    assert left.stdout == "", "running left files in the checkout that git does not ignore"
