"""From a configuration to a running system, as an unprivileged user would do it: real packages, real boots."""

from __future__ import annotations

import json
import os
import select
import socket
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import Hullkit, strays

pytestmark = [pytest.mark.net, pytest.mark.boot]


def containers(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in report["guest"]["containers"]}


def test_tiny_boots_and_all_its_checks_hold(hullkit: Hullkit) -> None:
    code, report = hullkit.report(hullkit.checkout / "examples" / "tiny.yml")
    assert (code, report["ok"]) == (0, True), report
    found = containers(report)
    assert {"dhcp", "rngd", "sysctl"} <= set(found)
    assert found["rngd"]["state"] in ("running", "ready") and found["rngd"]["restarts"] == 0
    assert found["sysctl"]["exit"] == 0
    assert all(found[name]["memory"] > 0 for name in ("dhcp", "rngd"))
    names = " ".join(check["name"] for check in report["guest"]["checks"])
    assert all(word in names for word in ("address", "root", "rngd")), names
    assert report["guest"]["memory"]["total"] > report["guest"]["memory"]["available"] > 0
    assert not strays(hullkit.cache)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_web_is_served_to_the_host_while_it_runs(hullkit: Hullkit) -> None:
    port = free_port()
    process = hullkit.user.start(
        hullkit.argv(
            "run", "--check", "--hold", "20", "--publish", f"{port}:80", hullkit.checkout / "examples" / "web.yml"
        ),
        env=hullkit.environment(),
        stdout=-1,
        stderr=-1,
    )
    page = b""
    deadline = time.monotonic() + 400  # a run that does not come up ends before, and says why
    while time.monotonic() < deadline and process.poll() is None and not page:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
                page = answer.read()
        except OSError:
            time.sleep(0.5)
    out, err = process.communicate(timeout=300)
    assert b"served by nginx" in page, err[-2000:]
    assert process.returncode == 0, out + err


def mutated(hullkit: Hullkit, name: str, old: str, new: str, example: str = "tiny.yml") -> Path:
    text = (hullkit.checkout / "examples" / example).read_text()
    assert old in text
    return hullkit.user.write(hullkit.user.directory(name) / f"{name}.yml", text.replace(old, new))


def blamed(report: dict[str, Any]) -> str:
    assert report["ok"] is False
    return " ".join(f"{each['culprit']}: {each['message']}" for each in report["failures"])


def test_a_service_that_exits_is_named(hullkit: Hullkit) -> None:
    rngd = 'image: "@component:rng"\n'
    config = mutated(hullkit, "exits", rngd, rngd + '    command: ["/bin/sh", "-c", "exit 1"]\n')
    config.write_text(config.read_text().replace("@component:rng", "@component:busybox"))
    code, report = hullkit.report(config)
    assert code == 1
    assert "rngd" in blamed(report) and "1" in blamed(report)


IDLE_RNGD = """\
name: rngd
summary: Its main program is replaced by one that only ends well
licence: MIT
role: service
version: "1"
base: [libc, busybox]
files:
  - {path: usr/sbin/rngd, mode: "0755", contents: "#!/bin/true\\n"}
config: {command: [/usr/sbin/rngd]}
"""


def test_a_component_whose_program_does_nothing_is_named(hullkit: Hullkit) -> None:
    config = mutated(hullkit, "idle", "@component:rng", "@component:./rngd")
    folder = config.parent / "rngd"
    folder.mkdir()
    (folder / "component.yml").write_text(IDLE_RNGD)
    hullkit.user.own(folder)
    code, report = hullkit.report(config)
    assert code == 1 and "rngd" in blamed(report)


def test_a_wrong_http_status_is_named(hullkit: Hullkit) -> None:
    config = mutated(hullkit, "status", "status: 200", "status: 204", "web.yml")
    code, report = hullkit.report(config)
    assert code == 1
    assert "the page is served" in blamed(report) or "200" in blamed(report)


def test_a_writable_root_is_named(hullkit: Hullkit) -> None:
    config = mutated(hullkit, "rw", "quiet", "quiet hullkit.root=rw")
    code, report = hullkit.report(config)
    assert code == 1 and "root" in blamed(report)


def test_a_missing_lease_is_named(hullkit: Hullkit) -> None:
    code, report = hullkit.report("--networking", "none", hullkit.checkout / "examples" / "tiny.yml")
    assert code == 1
    assert "dhcp" in blamed(report) or "address" in blamed(report)


def test_the_console_is_interactive_and_the_terminal_is_restored(hullkit: Hullkit) -> None:
    import pty
    import termios

    main, side = pty.openpty()
    os.chown(os.ttyname(side), hullkit.user.uid, -1) if os.geteuid() == 0 else None
    before = termios.tcgetattr(side)
    process = hullkit.user.start(
        hullkit.argv("run", hullkit.checkout / "examples" / "tiny.yml"),
        env=hullkit.environment(),
        stdin=side,
        stdout=side,
        stderr=side,
    )
    seen = b""
    deadline = time.monotonic() + 400
    while time.monotonic() < deadline and b"to leave" not in seen:
        if select.select([main], [], [], 1)[0]:
            seen += os.read(main, 65536)
    assert b"rngd" in seen and b"10.0.2.15" in seen, seen[-3000:]
    os.write(main, b"\x01x")
    while process.poll() is None and time.monotonic() < deadline:
        if select.select([main], [], [], 0.2)[0]:
            os.read(main, 65536)
    assert process.poll() is not None
    assert termios.tcgetattr(side) == before


def test_the_report_follows_its_schema(hullkit: Hullkit) -> None:
    import jsonschema

    schema = json.loads(hullkit.ok("schema", "--report").stdout)
    _, report = hullkit.report(hullkit.checkout / "examples" / "tiny.yml")
    jsonschema.validate(report, schema)
