"""What only the acceptance tests share."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator

import pytest

from tests.support.command import Hullkit


@pytest.fixture(scope="package")
def linuxkit_images(hullkit: Hullkit) -> Iterator[None]:
    """The images of examples/linuxkit.yml in a registry on 127.0.0.1:5000, as long as these tests run."""
    # a cache of its own: what it works with lies in the cache as long as it serves
    own = hullkit.beside(hullkit.user.directory("registry cache"))
    process = hullkit.user.start(
        [hullkit.checkout / "scripts" / "linuxkit-images"], env=own.environment(), stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    told = []
    for line in process.stderr:
        told.append(line)
        if "serving" in line:
            break
    assert "serving" in told[-1], "".join(told)
    # the warm cache may hold what these tags meant in an earlier run
    example = (hullkit.checkout / "examples/linuxkit.yml").read_text()
    hullkit.ok("cache", "pull", *sorted(set(re.findall(r"127\.0\.0\.1:5000/\S+", example))))
    yield
    os.killpg(process.pid, signal.SIGTERM)
    process.wait(30)
