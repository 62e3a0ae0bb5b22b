"""The packed layout less mkfs.erofs, which is no business of assembly: archives stand in for its images."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from hullkit.assemble import packed
from hullkit.assemble.system import System
from hullkit.context import Context
from hullkit.tree.entry import Entry, Source
from hullkit.tree.tar import write_tar
from tests.assemble.systems import add_image, base, context_in, system_of

SYSTEM = """
init: ["test/init", "test/root"]
services:
  - {name: one, image: test/one}
  - {name: two, image: test/two}
"""


@pytest.fixture(autouse=True)
def archives(monkeypatch: pytest.MonkeyPatch) -> None:
    def make(_context: Context, entries: Iterable[Entry], out: Path, **_: Any) -> None:
        with open(out, "wb") as stream:
            write_tar(entries, stream)
            stream.write(bytes(-stream.tell() % 4096))

    monkeypatch.setattr(packed, "make_erofs", make)
    monkeypatch.setattr(packed, "erofs_id", lambda _context, *, release: f"release={release}")


def assembled(directory: Path) -> System:
    context = context_in(directory)
    shared, other = base("shared"), [("f", "etc/other", b"other")]
    run = {"Cmd": ["/bin/sh"]}
    add_image(context, "test/init", [("f", "init", b"init")], config={"Labels": {"org.hullkit.role": "init"}})
    add_image(context, "test/root", shared)
    add_image(context, "test/one", shared, other, config=run)
    add_image(context, "test/two", other, shared, other, config=run)
    return system_of(context, directory, SYSTEM)


def content(entries: Iterable[Entry], path: str) -> Source:
    (found,) = [entry.content for entry in entries if entry.path == path]
    assert found is not None
    return found


def hull_json(entries: Iterable[Entry]) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(b"".join(content(entries, "hull.json").chunks()))
    return document


def test_a_layer_is_one_image_and_comes_once_in_each_root(tmp_path: Path) -> None:
    system = assembled(tmp_path)
    assert system.layout == "packed"
    document = hull_json(system.entries())
    places = {each["id"]: each["file"] for each in document["layers"]}
    assert len(places) == 3  # two layers, and what the configuration adds
    assert all(content(system.entries(), path).size for path in places.values())
    generated = list(places)[-1]
    (root, shared), one, two = document["root"]["layers"], *(each["layers"] for each in document["services"])
    (other,) = set(places) - {generated, shared}
    assert root == f"{generated}/root"
    assert one == [f"{generated}/containers/services/one", other, shared]
    # the image has it twice; overlayfs takes a directory once, and its upper place is the one that shows
    assert two == [f"{generated}/containers/services/two", other, shared]


def test_on_a_disk_it_is_the_same_but_for_the_table(tmp_path: Path) -> None:
    system = assembled(tmp_path)
    assert system.on_disk is not None
    in_ram = hull_json(system.entries())
    on_disk = hull_json(entry for segment in system.on_disk.initramfs["disk"] for entry in segment.entries)
    store = b"".join(system.on_disk.store.chunks())
    for ram, disk in zip(in_ram.pop("layers"), on_disk.pop("layers"), strict=True):
        image = b"".join(content(system.entries(), ram["file"]).chunks())
        assert ram["id"] == disk["id"]
        assert store[disk["offset"] :][: disk["size"]] == image
    assert in_ram == on_disk
