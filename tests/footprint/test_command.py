"""``hullkit footprint`` of real systems: sums, planted costs under the right component, budgets that they break."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.support.command import Hullkit, strays

pytestmark = [pytest.mark.net, pytest.mark.boot]

COMPONENT = """name: planted
summary: Costs something
licence: Apache-2.0
role: service
version: "1"
base: [busybox]
files:
  - {path: usr/bin/planted, source: planted, mode: "4755"}
"""
SERVICE = """  - name: planted
    image: "@component:./planted"
    command: ["/bin/nc", "-l", "-p", "4444"]
    net: host
"""


@pytest.fixture(scope="module")
def tiny(hullkit: Hullkit) -> dict[str, Any]:
    """The footprint of the example, measured once."""
    return footprint(hullkit, hullkit.checkout / "examples" / "tiny.yml", "--runs", "1")


def footprint(hullkit: Hullkit, *words: str | Path) -> dict[str, Any]:
    return json.loads(hullkit.ok("footprint", "--json", "-", *words).stdout)  # type: ignore[no-any-return]


def planted(hullkit: Hullkit, name: str, budget: str = "") -> Path:
    """The example with a component of 10 MB whose program is setuid, in a service that listens."""
    folder = hullkit.user.directory(name)
    recipe = folder / "planted"
    recipe.mkdir()
    (recipe / "planted").write_bytes(os.urandom(10_000_000))
    (recipe / "component.yml").write_text(COMPONENT)
    text = (hullkit.checkout / "examples" / "tiny.yml").read_text()
    (folder / "tiny.yml").write_text(text + SERVICE + budget)
    hullkit.user.own(folder)
    return folder / "tiny.yml"


def bytes_of(measured: dict[str, Any], component: str) -> int:
    return sum(part["bytes"] for part in measured["disk"]["parts"] if part["component"] == component)


def test_the_sums_of_tiny_hold(hullkit: Hullkit, tiny: dict[str, Any]) -> None:
    disk, memory = tiny["disk"], tiny["memory"]
    assert sum(part["bytes"] for part in disk["parts"]) == disk["bytes"] == disk["kernel"] + disk["initrd"]
    for part in disk["parts"]:
        assert part["bytes"] == sum(file["bytes"] for file in part["files"]) and part["bytes"] >= 0
    out = hullkit.user.directory("built")
    hullkit.ok("build", "--dir", out, hullkit.checkout / "examples" / "tiny.yml")
    assert disk["kernel"] == (out / "tiny-kernel").stat().st_size
    assert disk["initrd"] == (out / "tiny-initrd.img").stat().st_size
    known = sum(share["bytes"] for share in memory["shares"] if share["kind"] != "rest")
    assert abs(known - memory["total"]) <= 0.03 * memory["total"]
    assert {"dhcp", "rngd"} <= {share["name"] for share in memory["shares"] if share["kind"] == "container"}
    assert all(share["bytes"] >= 0 for share in memory["shares"])
    shared = [part for part in disk["parts"] if part["component"] == "daemons"]
    assert shared and all({"dhcp", "rngd", "sysctl"} <= set(part["users"]) for part in shared)
    assert {each["component"] for each in tiny["surface"]["containers"]} == {"dhcp", "rng", "sysctl"}
    ports = [(port["container"], port["protocol"], port["port"]) for port in tiny["surface"]["ports"]]
    assert ports == []  # the client's is open while it renews a lease
    jsonschema.validate(tiny, json.loads(hullkit.ok("schema", "--footprint").stdout))


def test_what_is_planted_is_shown_under_its_component(hullkit: Hullkit, tiny: dict[str, Any]) -> None:
    folder = hullkit.user.directory("compared")
    before = hullkit.user.write(folder / "before.json", json.dumps(tiny))
    after = hullkit.user.write(folder / "after.json", json.dumps(footprint(hullkit, planted(hullkit, "grown"))))
    found = json.loads(hullkit.ok("footprint", "diff", "--json", before, after).stdout)
    first = found["components"][0]
    assert first["component"] == "planted" and 10_000_000 <= first["after"] - first["before"] <= 10_100_000
    assert first["files"][0]["path"] == "usr/bin/planted"
    (program,) = found["programs_added"]
    assert (program["component"], program["path"], program["mode"]) == ("planted", "usr/bin/planted", "4755")
    assert [(each["component"], each["port"]["port"]) for each in found["ports_added"]] == [("planted", 4444)]
    text = hullkit.ok("footprint", "diff", before, after).stdout
    assert "planted" in text and "4444" in text and "+10.0" in text
    assert not strays(hullkit.cache)


def test_a_build_breaks_its_disk_budget_and_writes_nothing(hullkit: Hullkit) -> None:
    config = planted(hullkit, "large", "budget: {disk: 25M}\n")
    out = hullkit.user.directory("refused")
    plain = config.with_name("plain").joinpath("tiny.yml")
    plain.parent.mkdir()
    plain.write_text(config.read_text().replace(SERVICE, ""))
    hullkit.user.own(plain.parent)
    hullkit.ok("build", "--dir", out, plain)
    for path in out.iterdir():
        path.unlink()
    message = hullkit.refused("build", "--dir", out, config, code=1)
    assert "budget.disk: planted: " in message and "tiny.yml:" in message and "planted +10.0 MB" in message
    assert not list(out.iterdir())


def test_a_build_breaks_its_setuid_budget(hullkit: Hullkit) -> None:
    message = hullkit.refused("build", "--dir", "out", planted(hullkit, "setuid", "budget: {setuid: 0}\n"), code=1)
    assert "budget.setuid: planted: " in message and "/usr/bin/planted" in message


@pytest.mark.parametrize(
    ("budget", "expected"),
    [
        ("budget: {ports: [68]}\n", ["budget.ports"]),
        ("budget: {ports: [68/udp, 4444/tcp], memory: 20M, boot: 100ms}\n", ["budget.memory", "budget.boot"]),
        ("budget: {ports: [68, 4444], memory: 400M, boot: 10m, disk: 100M, setuid: 1}\n", []),
    ],
)
def test_budgets_of_a_checked_boot(hullkit: Hullkit, budget: str, expected: Sequence[str]) -> None:
    code, report = hullkit.report(planted(hullkit, "running", budget))
    assert (code, report["ok"]) == ((1, False) if expected else (0, True)), report["message"]
    assert [failure["message"].split(":")[0] for failure in report["failures"]] == expected
    if "budget.ports" in expected:
        assert report["culprit"] == "planted" and "4444" in report["message"]


def test_the_command_writes_its_report_and_then_fails_the_budget(hullkit: Hullkit) -> None:
    config = planted(hullkit, "both", "budget: {disk: 1M}\n")
    out = hullkit.user.directory("reports")
    done = hullkit.run("footprint", "--no-boot", "--html", out / "x.html", "--json", out / "x.json", config)
    assert done.returncode == 1 and "budget.disk: " in done.stderr.splitlines()[-1]
    assert "planted" in done.stdout
    assert (out / "x.html").read_text().startswith("<!doctype html>")
    assert bytes_of(json.loads((out / "x.json").read_text()), "planted") > 10_000_000
