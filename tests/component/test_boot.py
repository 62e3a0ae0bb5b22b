"""Every component of the catalogue, used in a booted system: one system with all of them, one check after the other."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from hullkit.component.catalogue import catalogue_names
from tests.support.command import Hullkit

pytestmark = [pytest.mark.boot, pytest.mark.net]

#: what runs the services of a system, one or the other
SUPERVISORS = ("containerd", "containerd-slim")
#: not in the one system; dhcp and dhcpcd would both want the interface
APART = {"runc", "dhcp", *SUPERVISORS}


def failed(report: dict[str, Any]) -> list[str]:
    return [f"{each['name']}: {each['message']}" for each in report["guest"]["checks"] if not each["ok"]]


def checked(report: dict[str, Any]) -> set[str]:
    """The components that the checks are about."""
    return {each["name"].partition(":")[0] for each in report["guest"]["checks"]}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def remote(key: Path, port: int, *command: str) -> subprocess.CompletedProcess[str]:
    """Log in as somebody would: with a terminal."""
    options = ["-tt", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "ConnectTimeout=10"]
    return subprocess.run(
        ["ssh", *options, "-i", key, "-p", str(port), "root@127.0.0.1", *command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=180,
    )


@pytest.mark.skipif(shutil.which("ssh") is None, reason="needs an SSH client")
def test_every_component_does_its_work(hullkit: Hullkit, tmp_path: Path) -> None:
    """The checks of all components hold; and meanwhile somebody logs in by SSH."""
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    public = json.dumps(key.with_suffix(".pub").read_text())
    login = f"files: [{{path: root/.ssh/authorized_keys, mode: '0600', contents: {public}}}]\n"
    catalogue = hullkit.checkout / "catalogue"
    tests = [path for path in sorted(catalogue.glob("*/test.yml")) if path.parent.name not in APART]
    extra = hullkit.user.write(hullkit.user.directory("components") / "login.yml", login)
    port = free_port()
    process = hullkit.user.start(
        hullkit.argv(
            *("run", "--check", "--json", "--hold", "30", "--publish", f"{port}:22", "--name", "components"),
            *(catalogue / "test-base.yml", *tests, extra),
        ),
        env=hullkit.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + 400  # a run that does not come up ends before, and says why
    session = None
    while time.monotonic() < deadline and process.poll() is None and (session is None or session.returncode):
        session = remote(key, port, "tty; touch /x; id -u")
        time.sleep(0.5)
    out, err = process.communicate(timeout=300)
    report = json.loads(out or "{}")
    assert report, err[-3000:]
    assert (process.returncode, failed(report)) == (0, [])
    assert set(catalogue_names()) - APART <= checked(report)
    assert session is not None
    assert session.stdout.splitlines() == ["/dev/pts/0", "touch: /x: Read-only file system", "0"], session


@pytest.mark.parametrize("supervisor", SUPERVISORS)
def test_every_supervisor_runs_services(hullkit: Hullkit, supervisor: str) -> None:
    catalogue = hullkit.checkout / "catalogue"
    tests = [catalogue / name / "test.yml" for name in ("runc", "nginx", "dhcp", supervisor)]
    code, report = hullkit.report("--name", supervisor, catalogue / "test-base.yml", *tests)
    assert (code, failed(report)) == (0, [])
    assert {"runc", "nginx", "dhcp", supervisor} <= checked(report)
    assert report["guest"]["supervisor"]["name"] == "containerd"
    assert {task["id"] for task in report["guest"]["supervisor"]["tasks"]} == {"probe", "nginx", "dhcp"}


@pytest.mark.parametrize(("runtime", "more"), [("crun", ()), ("runc", ("containerd-slim",))])
def test_a_static_runtime_in_the_place_of_the_other(hullkit: Hullkit, runtime: str, more: tuple[str, ...]) -> None:
    """Then nothing in the root needs the C library, and it has none."""
    catalogue = hullkit.checkout / "catalogue"
    text = (catalogue / "test-base.yml").read_text().replace('"@component:crun"', f'"@component:{runtime}-static"')
    no_library = f"""
checks:
  - name: "{runtime}-static: the system has no C library"
    exec: {{container: probe, command: [sh, -c, "! ls /host/usr/lib/*/libc.so.6"]}}
"""
    folder = hullkit.user.directory("static")
    base = hullkit.user.write(folder / "base.yml", text)
    # the network card's driver is a module, and so found although nothing links /lib to /usr/lib
    tests = [catalogue / name / "test.yml" for name in (f"{runtime}-static", "dhcp", *more)]
    extra = hullkit.user.write(folder / "extra.yml", no_library)
    if runtime == "crun":
        tests.append(catalogue / "crun" / "test.yml")
    code, report = hullkit.report("--name", "static", base, *tests, extra)
    assert (code, failed(report)) == (0, [])
    assert {f"{runtime}-static", "dhcp", *more} <= checked(report)
    assert report["guest"]["runtime"].startswith(f"{runtime} ")
