"""Systems whose root lies on a disk or CD: real builds, real boots, and what becomes of a store that was changed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.command import Hullkit, digests

pytestmark = [pytest.mark.net, pytest.mark.boot]
DISK = "kernel+erofs"
ISO = "iso-efi"


@pytest.fixture(scope="module")
def built(hullkit: Hullkit) -> Path:
    directory = hullkit.user.directory("on disk")
    hullkit.ok("build", "--format", f"{DISK},{ISO}", "--dir", directory, hullkit.checkout / "examples" / "tiny.yml")
    return directory


def test_the_same_bytes_again(hullkit: Hullkit, built: Path) -> None:
    again = hullkit.user.directory("on disk again")
    environment = {"TZ": "Asia/Kathmandu", "LC_ALL": "C"}
    words = ["build", "--format", f"{ISO},{DISK}", "--dir", again, hullkit.checkout / "examples" / "tiny.yml"]
    hullkit.ok(*words, env=environment)
    names = {"-kernel", "-initrd.img", "-cmdline", "-erofs.img", "-efi.iso"}
    assert digests(built) == digests(again) and set(digests(built)) == {"tiny" + name for name in names}


def test_one_name_for_two_formats_is_refused(hullkit: Hullkit) -> None:
    words = ["build", "--format", f"kernel+initrd,{DISK}", "--dir", hullkit.user.directory("twice")]
    assert "both write" in hullkit.refused(*words, hullkit.checkout / "examples" / "tiny.yml", code=2)


@pytest.mark.parametrize("words", [[], ["--mem", "88"]], ids=["as it is", "little memory"])
def test_the_root_is_a_virtio_disk(hullkit: Hullkit, built: Path, words: list[str]) -> None:
    code, report = hullkit.report(*words, built / "tiny")
    assert (code, report["ok"]) == (0, True), report
    assert report["host"]["disk_bytes"] == (built / "tiny-erofs.img").stat().st_size
    # what was the store is not in memory
    assert report["host"]["initrd_bytes"] < 2_000_000


@pytest.mark.parametrize("words", [[], ["--as-disk"]], ids=["CD", "disk"])
def test_the_iso_boots_by_efi(hullkit: Hullkit, built: Path, words: list[str]) -> None:
    code, report = hullkit.report(*words, built / "tiny-efi.iso")
    assert (code, report["ok"]) == (0, True), report


def changed(built: Path, directory: Path, position: int) -> Path:
    """The same system with one bit of its store flipped."""
    for name in ("-kernel", "-initrd.img", "-cmdline", "-erofs.img"):
        shutil.copy(built / f"tiny{name}", directory / f"changed{name}")
    with open(directory / "changed-erofs.img", "r+b") as stream:
        stream.seek(position)
        byte = stream.read(1)[0]
        stream.seek(position)
        stream.write(bytes([byte ^ 1]))
    return directory / "changed"


def test_a_changed_store_is_refused(hullkit: Hullkit, built: Path) -> None:
    """The superblock of the first image: it is read at every boot."""
    prefix = changed(built, hullkit.user.directory("changed data"), 1100)
    code, report = hullkit.report(prefix)
    assert code != 0 and not report["ok"]
    assert "damaged" in report["message"]
    assert any("verity" in line and "corrupted" in line for line in report["console"])


def test_a_changed_hash_tree_is_refused(hullkit: Hullkit, built: Path) -> None:
    size = (built / "tiny-erofs.img").stat().st_size
    cmdline = (built / "tiny-cmdline").read_text()
    blocks = int(cmdline.split("hullkit.verity=")[1].split(":")[1])
    assert size > (blocks + 1) * 4096
    prefix = changed(built, hullkit.user.directory("changed tree"), (blocks + 1) * 4096 + 5)
    code, report = hullkit.report(prefix)
    assert code != 0 and not report["ok"]
    assert any("verity" in line and "corrupted" in line for line in report["console"])


def test_without_its_store_it_is_not_started(hullkit: Hullkit, built: Path) -> None:
    directory = hullkit.user.directory("no store")
    for name in ("-kernel", "-initrd.img", "-cmdline"):
        shutil.copy(built / f"tiny{name}", directory / f"tiny{name}")
    assert "tiny-erofs.img" in hullkit.refused("run", "--check", directory / "tiny")
