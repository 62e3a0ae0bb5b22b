"""The report with pictures: complete, self-contained, safe against what names may hold, and drawn by a browser."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hullkit.footprint.boot import boot_of
from hullkit.footprint.html.page import page
from hullkit.footprint.html.treemap import Box, squarify
from hullkit.footprint.memory import memory_of
from hullkit.footprint.model import Footprint, Port
from tests.footprint.samples import footprint, part, report

VOID = ("meta", "rect")


def whole() -> Footprint:
    ports = (Port("web", "tcp", "0.0.0.0", 80, False),)
    measured = footprint(ports=ports)
    return msgspec.structs.replace(measured, memory=memory_of(report()), boot=boot_of([report(), report(up=9.0)]))


class Checker(HTMLParser):
    """Tags are closed in order; ids, links and what would be loaded are noted."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            elif name == "href":
                self.links.append(value or "")
            elif name in ("src", "srcset", "data", "action") or name.startswith("on"):
                self.loaded.append(f"{tag} {name}")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, f"</{tag}>"


def checked(text: str) -> Checker:
    checker = Checker()
    checker.feed(text)
    checker.close()
    assert not checker.open
    return checker


def test_the_page_loads_nothing_and_its_links_lead_somewhere() -> None:
    text = page(whole())
    found = checked(text)
    assert not found.loaded and not {"script", "link", "iframe", "img"} & set(found.tags)
    assert "url(" not in text and "@import" not in text and "http:" not in text and "https:" not in text
    assert len(found.ids) == len(set(found.ids))
    assert {link.removeprefix("#") for link in found.links} <= set(found.ids)
    assert all(f"#component-{index}" in found.links for index in range(2))
    assert {"svg", "details", "summary", "table", "main", "nav"} <= set(found.tags)
    assert "prefers-color-scheme: dark" in text and ":focus-visible" in text


def test_names_cannot_write_into_the_page() -> None:
    evil = '"><script>alert(1)</script>'
    text = page(footprint(part(evil, evil, (evil,), **{evil: 10})))
    assert "<script>" not in text and "&lt;script&gt;" in text
    checked(text)
    text.encode()


def test_what_was_not_measured_is_said() -> None:
    text = page(footprint())
    assert text.count("was not booted") == 3


@given(st.lists(st.integers(1, 10**8), min_size=1, max_size=60), st.floats(1, 2000), st.floats(1, 2000))
def test_boxes_fill_the_map_in_proportion(sizes: list[int], width: float, height: float) -> None:
    boxes = squarify(sorted(sizes, reverse=True), Box(0, 0, width, height))
    whole_area = width * height
    for size, box in zip(sorted(sizes, reverse=True), boxes, strict=True):
        assert box.width * box.height == pytest.approx(whole_area * size / sum(sizes), rel=1e-6, abs=1e-6 * whole_area)
        assert -1e-6 * width <= box.x and box.x + box.width <= width * (1 + 1e-6)
        assert -1e-6 * height <= box.y and box.y + box.height <= height * (1 + 1e-6)


def test_empty_maps() -> None:
    assert squarify([], Box(0, 0, 10, 10)) == []
    assert all(box.width == 0 for box in squarify([0, 0], Box(0, 0, 10, 10)))
    assert all(box.width == 0 for box in squarify([3, 1], Box(0, 0, 0, 10)))


def picture_bytes(png: Path) -> int:
    """How many bytes the picture has; an empty page compresses to next to nothing."""
    data = png.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", data[16:24]) == (1000, 1600)
    return len(data)


@pytest.mark.slow
def test_a_browser_draws_it(tmp_path: Path) -> None:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no chromium")
    report_file = tmp_path / "report.html"
    report_file.write_text(page(whole()))
    command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    url = f"{report_file.as_uri()}#component-1"
    shot = tmp_path / "shot.png"
    picture = [*command, "--window-size=1000,1600", f"--screenshot={shot}", report_file.as_uri()]
    subprocess.run(picture, check=True, capture_output=True, timeout=300)
    assert picture_bytes(shot) > 20_000
    dumped = subprocess.run(
        [*command, "--dump-dom", url], check=True, capture_output=True, timeout=300, text=True
    ).stdout
    assert "<h1>Footprint of sample</h1>" in dumped
    # a box of the map opens its component in the list
    assert len(re.findall(r"<details open", dumped)) == 1
