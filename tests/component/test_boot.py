"""Every component of the catalogue, used in a booted system: one system with all of them, one check after the other."""

from __future__ import annotations

import pytest

from hullkit.component.catalogue import catalogue_names
from tests.support.command import Hullkit

pytestmark = [pytest.mark.boot, pytest.mark.net]


def test_every_component_does_its_work(hullkit: Hullkit) -> None:
    catalogue = hullkit.checkout / "catalogue"
    files = [catalogue / "test-base.yml", *sorted(catalogue.glob("*/test.yml"))]
    code, report = hullkit.report("--name", "components", *files, timeout=300)
    failed = [f"{each['name']}: {each['message']}" for each in report["guest"]["checks"] if not each["ok"]]
    assert (code, failed) == (0, [])
    checked = {each["name"].partition(":")[0] for each in report["guest"]["checks"]}
    assert set(catalogue_names()) <= checked
