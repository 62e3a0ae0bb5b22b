"""Disks and the metadata CD, checked by other people's tools where the host has them."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from hullkit.errors import ConfigError, NotFound
from hullkit.machine.disk import MAX_METADATA, create, metadata_image, prepare, qcow2_header
from hullkit.machine.options import MAX_DISK, Disk
from tests.machine.fakes import context


@pytest.mark.parametrize("size", [1 << 20, 512 << 20, (512 << 20) + (1 << 20), 1 << 40, MAX_DISK])
@pytest.mark.skipif(shutil.which("qemu-img") is None, reason="qemu-img is not installed")
def test_qemu_img_agrees_with_a_new_qcow2(tmp_path: Path, size: int) -> None:
    path = tmp_path / "new.qcow2"
    create(path, size, "qcow2")
    subprocess.run(["qemu-img", "check", path], check=True, capture_output=True)
    info = json.loads(
        subprocess.run(["qemu-img", "info", "--output=json", path], check=True, capture_output=True).stdout
    )
    assert info["format"] == "qcow2" and info["virtual-size"] == size
    if size <= 1 << 30:
        subprocess.run(["qemu-io", "-c", f"write {size - 65536} 64k", path], check=True, capture_output=True)
        subprocess.run(["qemu-img", "check", path], check=True, capture_output=True)


def test_a_new_qcow2_says_what_it_is() -> None:
    header = qcow2_header(10 << 30)
    assert struct.unpack(">4sI", header[:8]) == (b"QFI\xfb", 3)
    assert len(header) % 65536 == 0 and len(header) < 1 << 20
    assert qcow2_header(10 << 30) == header


def test_a_new_raw_disk_takes_no_space(tmp_path: Path) -> None:
    path = tmp_path / "new.raw"
    create(path, 8 << 30, "raw")
    assert path.stat().st_size == 8 << 30
    assert path.stat().st_blocks == 0
    assert os.listdir(tmp_path) == ["new.raw"]


def test_what_exists_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "mine"
    path.write_bytes(b"precious")
    with pytest.raises(FileExistsError):
        create(path, 1 << 20, "raw")
    with pytest.raises(ConfigError, match="not a qcow2 image"):
        prepare(context(tmp_path), [Disk.parse(f"{path},size=1G")])
    prepare(context(tmp_path), [Disk.parse(f"{path},size=1G,format=raw")])
    assert path.read_bytes() == b"precious"
    assert sorted(os.listdir(tmp_path)) == ["mine"]


def test_disks_that_cannot_be(tmp_path: Path) -> None:
    made = context(tmp_path)
    with pytest.raises(NotFound, match="size=1G makes one"):
        prepare(made, [Disk.parse(str(tmp_path / "none"))])
    with pytest.raises(NotFound, match="no directory"):
        prepare(made, [Disk.parse(f"{tmp_path}/no/where,size=1M")])
    with pytest.raises(ConfigError, match="neither a file"):
        prepare(made, [Disk.parse(f"{tmp_path},format=raw")])


def test_a_raw_disk_that_pretends_to_be_qcow2_stays_raw(tmp_path: Path) -> None:
    path = tmp_path / "guest.raw"
    path.write_bytes(qcow2_header(1 << 20))
    assert Disk.parse(str(path)).format == "raw"


@pytest.mark.parametrize("size", [0, 1, 2048, 2049, 100000])
def test_the_metadata_cd(tmp_path: Path, size: int) -> None:
    """Read back by the offsets of ECMA-119: descriptor at sector 16, root directory, the one file."""
    data = os.urandom(size)
    path = metadata_image(data, tmp_path)
    assert path is not None
    image = path.read_bytes()
    assert image[16 * 2048 :][:7] == b"\x01CD001\x01" and image[17 * 2048 :][:7] == b"\xffCD001\x01"
    descriptor = image[16 * 2048 : 17 * 2048]
    assert struct.unpack_from("<I", descriptor, 80)[0] * 2048 == len(image)
    root = struct.unpack_from("<I", descriptor, 156 + 2)[0] * 2048
    at, names = root, {}
    while length := image[at]:
        extent, total = (struct.unpack_from("<I", image, at + offset)[0] for offset in (2, 10))
        assert (extent, total) == tuple(struct.unpack_from(">I", image, at + offset)[0] for offset in (6, 14))
        names[image[at + 33 : at + 33 + image[at + 32]]] = image[extent * 2048 :][:total]
        at += length
    assert names[b"CONFIG.;1"] == data
    assert set(names) == {b"\0", b"\1", b"CONFIG.;1"}


def test_metadata_is_bounded_and_repeatable(tmp_path: Path) -> None:
    assert metadata_image(None, tmp_path) is None
    first = (metadata_image(b"x", tmp_path) or tmp_path).read_bytes()
    assert (metadata_image(b"x", tmp_path) or tmp_path).read_bytes() == first
    with pytest.raises(ConfigError, match="--data"):
        metadata_image(bytes(MAX_METADATA + 1), tmp_path)
