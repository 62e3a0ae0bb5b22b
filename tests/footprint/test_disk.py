"""The account of the disk: erofs images read back, compressed segments spread, sums that are exact."""

from __future__ import annotations

import random
import stat
from pathlib import Path

import pytest

from hullkit.assemble.system import Segment, System
from hullkit.cache import Cache
from hullkit.component.tools import DebianTools
from hullkit.context import Context
from hullkit.errors import TrustError
from hullkit.events import Bus
from hullkit.footprint.disk import ARCHIVE, METADATA, Cost, account, group, readable
from hullkit.footprint.erofs import stored_files
from hullkit.footprint.model import FileCost
from hullkit.footprint.owners import Owners
from hullkit.footprint.surface import surface
from hullkit.tree.entry import Bytes, Entry, EntryType, FileSlice, Owner
from hullkit.tree.erofs import make_erofs

LAYER = "sha256:" + "a" * 64


def context(tmp_path: Path) -> Context:
    return Context(cache=Cache(tmp_path), bus=Bus(), arch="amd64")


def system(*segments: Segment) -> System:
    return System("x", "amd64", "packed", Bytes(b"k" * 100), "", None, segments)


def file(path: str, data: bytes, owner: Owner = Owner(), mode: int = 0o644) -> Entry:  # noqa: B008
    return Entry(path, EntryType.FILE, mode, content=Bytes(data), owner=owner)


@pytest.fixture(scope="module")
def erofs(warm_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image of files of all sorts, made as a build makes it."""
    plain = Context(Cache(warm_cache), arch="amd64")
    tools = Context(plain.cache, arch="amd64", tools=DebianTools(plain))
    entries = [
        file("usr/bin/random", random.Random(1).randbytes(300_000)),
        Entry("usr/bin/other-name", EntryType.HARDLINK, target="usr/bin/random"),
        file("usr/bin/text", b"the same line again and again\n" * 20_000),
        file("usr/bin/small", b"x"),
        file("usr/bin/empty", b""),
        file("usr/bin/set-id", b"program", mode=0o4755),
        Entry("link", EntryType.SYMLINK, 0o777, target="usr/bin/text"),
        *(file(f"many/file-{number:03}", b"%d" % number) for number in range(500)),
    ]
    image = tmp_path_factory.mktemp("erofs") / "image.erofs"
    make_erofs(tools, entries, image)
    return image


@pytest.mark.net
def test_every_file_is_found_with_what_it_takes(erofs: Path) -> None:
    data = erofs.read_bytes()
    found = {each.path: each for each in stored_files(memoryview(data))}
    assert sum(path.startswith("many/") for path in found) == 500
    linked = [found[name] for name in ("usr/bin/random", "usr/bin/other-name") if name in found]
    assert len(linked) == 1 and linked[0].size == 300_000
    assert 300_000 <= linked[0].bytes <= 310_000
    assert found["usr/bin/text"].size == 600_000 and 0 < found["usr/bin/text"].bytes < 10_000
    assert found["usr/bin/empty"].bytes == 0
    assert stat.S_IMODE(found["usr/bin/set-id"].mode) == 0o4755
    assert stat.S_ISLNK(found["link"].mode)
    assert len(data) > sum(each.bytes for each in found.values())


@pytest.mark.parametrize("damage", [b"", b"x" * 5000])
def test_what_is_no_image_is_refused(damage: bytes) -> None:
    with pytest.raises(TrustError):
        list(stored_files(memoryview(damage)))


@pytest.mark.net
def test_a_damaged_image_is_refused_or_read_but_never_loops(erofs: Path) -> None:
    data = bytearray(erofs.read_bytes())
    generator = random.Random(2)
    for _ in range(200):
        broken = bytearray(data)
        for _ in range(20):
            broken[generator.randrange(1024, 20_000)] = generator.randrange(256)
        try:
            assert len(list(stored_files(memoryview(broken)))) < 10_000
        except TrustError:
            pass


@pytest.mark.net
def test_the_account_sums_up_and_names_the_owners(erofs: Path, tmp_path: Path) -> None:
    owners = Owners(context(tmp_path), {LAYER: "mine"}, {LAYER: ("web", "db")}, {"x": ("system",)})
    size = erofs.stat().st_size
    image = Entry("hull/store/a.erofs", EntryType.FILE, content=FileSlice(erofs, 0, size), owner=Owner("x", "", LAYER))
    boot = Segment("boot", (file("init", b"i" * 999, Owner("x", "", LAYER)), file("note", b"n")), "zstd")
    store = Segment("store", (image, file("hull.json", b"{}")))
    kernel = Cost("kernel", "linux_6", "", ("system",), FileCost("kernel", 100, 100))
    initrd = size + 2 + 321 + 40
    costs = account(system(boot, store), owners, kernel, initrd, lambda segment: 321)
    assert sum(cost.file.bytes for cost in costs) == 100 + initrd
    parts = list(group(costs))
    assert sum(part.bytes for part in parts) == 100 + initrd
    mine = [part for part in parts if part.component == "mine"]
    assert {part.package for part in mine} == {"", METADATA}
    assert {part.users for part in mine} == {("web", "db"), ("system",)}
    init = next(cost for cost in costs if cost.file.path == "init")
    assert 250 < init.file.bytes < 321 and init.users == ("system",)
    (archive,) = (cost for cost in costs if cost.package == ARCHIVE)
    assert archive.file.bytes == 40


@pytest.mark.net
def test_set_id_programs_of_image_and_configuration(erofs: Path, tmp_path: Path) -> None:
    owners = Owners(context(tmp_path), {LAYER: "mine"}, {LAYER: ("web",)})
    image = Entry(
        "s.erofs", EntryType.FILE, content=FileSlice(erofs, 0, erofs.stat().st_size), owner=Owner("x", "", LAYER)
    )
    plain = file("containers/services/db/su", b"su", mode=0o2755)
    kernel = Cost("kernel", "", "", ("system",), FileCost("kernel", 1, 1))
    costs = account(system(Segment("s", (image, plain))), owners, kernel, 10**6, lambda _: 0)
    found = surface(costs, (), frozenset({(LAYER, "usr/bin/small")}), {}, writable_root=False)
    assert [(each.component, each.path, each.mode, each.capabilities, each.users) for each in found.privileged] == [
        ("configuration", "containers/services/db/su", "2755", False, ("db",)),
        ("mine", "usr/bin/set-id", "4755", False, ("web",)),
        ("mine", "usr/bin/small", "0644", True, ("web",)),
    ]


def test_names_that_are_not_utf8_can_be_written() -> None:
    assert readable("a\udcff") == "a\\xff" and readable("ä") == "ä"
