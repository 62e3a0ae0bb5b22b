"""The command under test, as a user would start it from the checkout."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.support.user import CHECKOUT, User


@dataclass(frozen=True)
class Hullkit:
    """``./hullkit`` of a checkout, run by a user on a cache."""

    user: User
    cache: Path
    checkout: Path = CHECKOUT
    #: what the command is started through
    through: tuple[str, ...] = ()

    def argv(self, *words: str | Path) -> list[str | Path]:
        return [*self.through, self.checkout / "hullkit", *words]

    def without_network(self) -> Hullkit:
        """The same in a network namespace that has nothing."""
        return replace(self, through=("unshare", "-rn"))

    def environment(self, env: Mapping[str, str] | None = None) -> dict[str, str]:
        return {"HULLKIT_CACHE": str(self.cache), **(env or {})}

    def beside(self, cache: Path) -> Hullkit:
        """The same on another cache that has the downloads of this one, and nothing made from them."""
        for kept in ("debian", "tools"):
            (self.cache / kept).mkdir(exist_ok=True)
            self.user.own(self.cache / kept)
            (cache / kept).symlink_to(self.cache / kept)
        return Hullkit(self.user, cache, self.checkout)

    def run(
        self, *words: str | Path, env: Mapping[str, str] | None = None, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        return self.user.run(self.argv(*words), env=self.environment(env), **options)

    def ok(self, *words: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
        done = self.run(*words, **options)
        assert done.returncode == 0, f"{words}: exit {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done

    def refused(self, *words: str | Path, code: int | None = None, **options: Any) -> str:
        """The one message of a command that must fail cleanly."""
        done = self.run(*words, **options)
        assert done.returncode != 0, f"{words} must fail and did not"
        assert "Traceback" not in done.stderr
        message = done.stderr.strip().splitlines()[-1]
        assert message.startswith("hullkit: error: "), done.stderr
        assert len(message) <= 400
        if code is not None:
            assert done.returncode == code, f"exit {done.returncode}, not {code}: {message}"
        return message

    def report(self, *words: str | Path, **options: Any) -> tuple[int, dict[str, Any]]:
        """Exit status and report of ``run --check --json``."""
        done = self.run("run", "--check", "--json", *words, **options)
        assert done.stdout.strip(), done.stderr[-3000:]
        return done.returncode, json.loads(done.stdout)


def digests(directory: Path) -> dict[str, str]:
    """SHA-256 of every file of a directory by name."""
    found = {}
    for path in sorted(directory.iterdir()):
        with open(path, "rb") as stream:
            found[path.name] = hashlib.file_digest(stream, "sha256").hexdigest()
    return found


def strays(cache: Path) -> list[Path]:
    """What must not be left in a cache when nothing runs."""
    return sorted((cache / "tmp").glob("*")) if (cache / "tmp").exists() else []
