"""Run things as somebody without privileges, in a clean environment."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parent.parent.parent
#: a user id that nobody has
_UID = 64321
#: variables that tell where things are on this machine (certificates, proxies); the rest of the environment is dropped
_KEPT = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "PIP_CERT", "http_proxy", "https_proxy", "no_proxy")


@dataclass(frozen=True)
class User:
    uid: int
    home: Path

    @classmethod
    def make(cls, uid: int = _UID) -> User:
        home = Path(tempfile.mkdtemp(prefix="hullkit-user-", dir="/var/tmp"))
        home.chmod(0o755)
        if os.geteuid() != 0:
            return cls(os.geteuid(), home)
        os.chown(home, uid, uid)
        return cls(uid, home)

    def command(self, argv: Sequence[str | Path]) -> list[str]:
        words = [str(word) for word in argv]
        if os.geteuid() != 0:
            return words
        return ["setpriv", f"--reuid={self.uid}", f"--regid={self.uid}", "--clear-groups", "--no-new-privs", *words]

    def environment(self, **extra: str) -> dict[str, str]:
        kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
        path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        return {"HOME": str(self.home), "PATH": path, "LANG": "C.UTF-8", **kept, **extra}

    def run(
        self, argv: Sequence[str | Path], *, env: Mapping[str, str] | None = None, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        options.setdefault("capture_output", True)
        options.setdefault("timeout", 600)
        options.setdefault("cwd", self.home)
        return subprocess.run(self.command(argv), env=self.environment(**(env or {})), text=True, **options)

    def start(
        self, argv: Sequence[str | Path], *, env: Mapping[str, str] | None = None, **options: Any
    ) -> subprocess.Popen[str]:
        options.setdefault("cwd", self.home)
        options.setdefault("start_new_session", True)
        return subprocess.Popen(self.command(argv), env=self.environment(**(env or {})), text=True, **options)

    def directory(self, name: str) -> Path:
        """A fresh directory of this user's."""
        path = self.home / name
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
        self.own(path)
        return path

    def write(self, path: Path, text: str) -> Path:
        path.write_text(text)
        self.own(path)
        return path

    def own(self, path: Path) -> None:
        """Give a file, or a directory and all in it, to this user."""
        if os.geteuid() == 0:
            subprocess.run(["chown", "-hR", f"{self.uid}:{self.uid}", path], check=True)
