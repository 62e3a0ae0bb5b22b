"""hullkit against what LinuxKit made of the same input: the golden cases, if they lie beside the checkout."""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.user import CHECKOUT

CHECK = CHECKOUT.parent / "shared" / "linuxkit-golden" / "check.py"
TOOLS = ("docker-registry", "skopeo", "zstd", "git", "tar")
PORT = 5000

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHECK.is_file(), reason="the golden cases are not here"),
    pytest.mark.skipif(any(shutil.which(tool) is None for tool in TOOLS), reason=f"needs {', '.join(TOOLS)}"),
]


def test_every_case_twice(tmp_path: Path) -> None:
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", PORT)) == 0:
            pytest.skip(f"something answers on port {PORT}, and it may hold other images")
    environment = {**os.environ, "HULLKIT": f"{shlex.quote(sys.executable)} -m hullkit"}
    command = [sys.executable, CHECK, "--work", tmp_path, "--twice", "-j", str(os.cpu_count() or 1)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert "122 passed, 0 failed" in done.stdout
