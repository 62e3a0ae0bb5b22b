"""containerd mode, as an unprivileged user would use it: real packages, real boots."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.support.command import Hullkit

pytestmark = [pytest.mark.net, pytest.mark.boot]

SLIM = '"@component:containerd-slim"'
#: looks at all processes, and may kill them; nothing of it is kept but /run/probe, so that it crashes once only
PROBE = """
  - name: probe
    image: "@component:busybox"
    command: [sh, -c, "test -e /run/probe/been || { touch /run/probe/been; kill -9 $$; }; exec tail -f /dev/null"]
    pid: host
    capabilities: [CAP_KILL]
    binds: ["/run/probe:/run/probe"]
    runtime: {mkdir: [/run/probe]}
    restart: on-failure
"""
KILL_CONTAINERD = """
  - name: containerd is killed
    exec: {container: probe, command: [sh, -c, "kill -9 $(pidof containerd)"]}
"""


def minimal(hullkit: Hullkit, name: str, *changes: tuple[str, str]) -> Path:
    """The example with some of its text replaced."""
    text = (hullkit.checkout / "examples" / "minimal.yml").read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    return hullkit.user.write(hullkit.user.directory(name) / f"{name}.yml", text)


def containers(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in report["guest"]["containers"]}


def expect_minimal(code: int, report: dict[str, Any], versions: str) -> None:
    """What the announced system has to show."""
    assert (code, report["ok"]) == (0, True), report["message"]
    guest = report["guest"]
    supervisor = guest["supervisor"]
    assert supervisor["name"] == "containerd" and supervisor["version"].startswith(versions)
    assert supervisor["restarts"] == 0 and supervisor["memory"] > supervisor["memory_anonymous"] > 0
    assert guest["runtime"].startswith("runc ")
    assert {task["id"]: task["state"] for task in supervisor["tasks"]} == {"dhcp": "running", "rngd": "running"}
    found = containers(report)
    assert found["sysctl"]["exit"] == 0
    assert found["rngd"]["state"] == "ready" and found["rngd"]["restarts"] == 1 and found["rngd"]["signal"] == 9
    assert found["dhcp"]["state"] == "ready" and found["dhcp"]["restarts"] == 0
    assert all(found[name]["memory"] > 0 for name in ("dhcp", "rngd"))
    assert guest["addresses"] == ["eth0 10.0.2.15/24"]
    names = {check["name"] for check in guest["checks"] if check["ok"]}
    assert {
        "containerd runs the services",
        "the root cannot be written",
        "rngd cannot write its root",
        "rngd is started again when it is killed",
    } <= names


def test_minimal_boots_and_all_its_checks_hold(hullkit: Hullkit) -> None:
    code, report = hullkit.report(hullkit.checkout / "examples" / "minimal.yml")
    expect_minimal(code, report, "2.")
    jsonschema.validate(report, json.loads(hullkit.ok("schema", "--report").stdout))


def test_the_same_with_the_containerd_of_debian(hullkit: Hullkit) -> None:
    code, report = hullkit.report(minimal(hullkit, "debian", (SLIM, '"@component:containerd"')))
    expect_minimal(code, report, "1.7.")


def test_containerd_may_die_and_services_may_crash(hullkit: Hullkit) -> None:
    changes = (
        ("services:\n", "services:" + PROBE),
        ("checks:\n", "checks:" + KILL_CONTAINERD),
    )
    code, report = hullkit.report(minimal(hullkit, "dies", *changes))
    assert (code, report["ok"]) == (0, True), report["message"]
    found = containers(report)
    # the crash before it was ready; and nothing that ran noticed the end of containerd
    assert found["probe"]["restarts"] == 1 and found["dhcp"]["restarts"] == 0
    # killed and started again by the new containerd
    assert found["rngd"]["restarts"] == 1
    assert report["guest"]["supervisor"]["restarts"] == 1
    assert len(report["guest"]["supervisor"]["tasks"]) == 3


def test_a_service_that_exits_is_named_with_its_output(hullkit: Hullkit) -> None:
    rngd = 'image: "@component:rng"\n'
    exits = 'image: "@component:busybox"\n    command: [sh, -c, "echo out of luck >&2; exit 3"]\n'
    code, report = hullkit.report(minimal(hullkit, "exits", (rngd, exits)))
    assert code == 1 and report["ok"] is False
    assert report["culprit"] == "rngd" and "exited with 3" in report["message"]
    assert {"container": "rngd", "line": "out of luck"} in report["logs"]


def test_a_containerd_that_does_not_run_is_named(hullkit: Hullkit) -> None:
    broken = "files: [{path: usr/bin/containerd, contents: broken, mode: '0755'}]\nchecks:\n"
    code, report = hullkit.report(minimal(hullkit, "broken", ("checks:\n", broken)))
    assert code == 1
    assert "containerd does not run" in report["message"] and "exec format error" in report["message"]
