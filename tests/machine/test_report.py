"""The report as data (with its schema) and as text."""

from __future__ import annotations

import json

import jsonschema
import pytest

from hullkit.cli.report import render
from hullkit.machine.report import (
    BootStage,
    CheckReport,
    ContainerReport,
    Failure,
    GuestReport,
    HostReport,
    MemoryReport,
    Report,
    report_schema,
    to_json,
)

GOOD = Report(
    version=1,
    ok=True,
    name="tiny",
    stages=(BootStage("firmware", 0.0, 0.7), BootStage("kernel", 0.7, 2.0), BootStage("up", 2.7, 0.0)),
    guest=GuestReport(
        version=1,
        containers=(
            ContainerReport("dhcpcd", "service", "ready", ready_seconds=3.25, memory=2_100_000),
            ContainerReport("evil\x1b[31m", "service", "failed", exit=1, restarts=5),
        ),
        memory=MemoryReport(485_000_000, 421_000_000, 20_000_000, 1_000_000, 12_000_000),
        addresses=("eth0 10.0.2.15/24",),
        checks=(CheckReport("root refuses writes", True), CheckReport("page", False, "web", "404")),
    ),
    ports=(CheckReport("port 8080", True),),
    host=HostReport("amd64", "tcg", 2, 1024, 11_700_000, 9_000_000, 9.5, 8.4, 7.0, 8.0, 300_000_000, "/x.log"),
)
BAD = Report(1, False, "network", "no route", (Failure("network", "no route"),))


@pytest.mark.parametrize("report", [GOOD, BAD])
def test_it_follows_its_schema(report: Report) -> None:
    jsonschema.Draft202012Validator.check_schema(report_schema())
    document = json.loads(to_json(report))
    jsonschema.validate(document, report_schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**document, "ok": "yes"}, report_schema())


def test_text() -> None:
    text = render(GOOD)
    for words in (
        "firmware",
        "0.70 s",
        "after 2.70 s",
        "dhcpcd",
        "3.25 s",
        "2.1 MB",
        "64.0 MB used",
        "eth0 10.0.2.15/24",
    ):
        assert words in text
    assert "ok      root refuses writes" in text
    assert "FAILED  page (web: 404)" in text
    assert text.endswith("all checks hold\n")
    assert "\x1b" not in text
    assert "failed: network: no route" in render(BAD)
