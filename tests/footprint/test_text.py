"""What the terminal shows."""

from __future__ import annotations

import msgspec

from hullkit.cli.footprint_text import render, render_difference
from hullkit.footprint.boot import boot_of
from hullkit.footprint.diff import difference
from hullkit.footprint.memory import memory_of
from hullkit.footprint.model import Port, Program
from tests.footprint.samples import footprint, part, report


def test_everything_that_was_measured_is_shown() -> None:
    ports = (Port("web", "tcp", "0.0.0.0", 80, False),)
    program = Program("web", "usr/bin/su", "4755", False, ("web",))
    measured = msgspec.structs.replace(
        footprint(ports=ports, programs=(program,)), memory=memory_of(report()), boot=boot_of([report()])
    )
    text = render(measured, depth=1)
    for words in (
        "1.0 kB",
        "shared by web, x",
        "nginx_1",
        "web (service)",
        "listens: tcp 80",
        "4755 /usr/bin/su of web",
    ):
        assert words in text, text
    assert "not known without a boot" in render(footprint(), 0)


def test_a_long_path_shows_its_end_and_nothing_steers_the_terminal() -> None:
    text = render(
        footprint(part("web\x1b[31m", "", ("web",), **{"usr/" + "long/" * 20 + "end": 5, "\x1b]0;x\x07": 4})), 5
    )
    assert "long/end" in text and "\x1b" not in text and "\x07" not in text


def test_a_difference_is_shown_under_its_component() -> None:
    after = footprint(part("mine", "", ("web",), big=5_000_000))
    text = render_difference(difference(footprint(), after), 3)
    lines = [line.split() for line in text.splitlines()]
    assert ["mine", "+5.00", "MB"] in lines and ["big", "+5.00", "MB"] in lines
    assert ["web", "-700", "B"] in lines
