"""The engine of guest/service against a real containerd: Go's own tests of it, with the components' files as root."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command import Hullkit
from tests.support.user import CHECKOUT

pytestmark = [pytest.mark.net, pytest.mark.slow]


@pytest.mark.skipif(os.geteuid() != 0, reason="starts containers on this host")
@pytest.mark.parametrize("component", ["containerd", "containerd-slim"])
def test_the_engine_with_a_real_containerd(hullkit: Hullkit, tmp_path: Path, component: str) -> None:
    config = hullkit.user.write(
        hullkit.user.directory("engine") / f"{component}.yml",
        f'init: ["@component:busybox", "@component:runc", "@component:{component}"]\n',
    )
    tar = config.with_suffix(".tar")
    hullkit.ok("build", "--format", "tar", "-o", tar, config)
    root = tmp_path / "root"
    root.mkdir()
    subprocess.run(["tar", "-C", root, "-xf", tar], check=True)
    done = subprocess.run(
        [sys.executable, "-P", "scripts/go.py", "guest/service", "test", "-count=1", "-v", "./engine"],
        cwd=CHECKOUT,
        env={**os.environ, "HULLKIT_CONTAINERD_ROOT": str(root), "HULLKIT_CACHE": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert "--- PASS: TestTasksSurviveContainerd" in done.stdout and "--- SKIP" not in done.stdout
