"""LinuxKit's images, from a registry, in LinuxKit's layout, booted with hullkit's init."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.command import Hullkit

pytestmark = [pytest.mark.net, pytest.mark.boot]


def states(report: dict[str, Any]) -> dict[str, str]:
    return {each["name"]: each["state"] for each in report["guest"]["containers"]}


def test_images_of_a_registry_boot(hullkit: Hullkit, linuxkit_images: None) -> None:
    code, report = hullkit.report(hullkit.checkout / "examples/linuxkit.yml")
    assert (code, report["ok"]) == (0, True), report["message"]
    assert states(report) == {"sysctl": "exited", "dhcpcd": "ready", "rngd": "ready", "nginx": "ready"}


def test_both_layouts_of_the_same_components(hullkit: Hullkit) -> None:
    for layout in ("flat", "packed"):
        code, report = hullkit.report("--layout", layout, hullkit.checkout / "examples/tiny.yml")
        assert (code, report["ok"]) == (0, True), (layout, report["message"])
        assert states(report) == {"sysctl": "exited", "dhcp": "ready", "rngd": "ready"}
        assert any("root" in check["name"] and check["ok"] for check in report["guest"]["checks"])
