"""FAT, GPT, ISO 9660 and unified kernel images, read by other people's tools."""

from __future__ import annotations

import random
import struct
import uuid
from pathlib import Path

import pytest

from hullkit.context import Context
from hullkit.disk.fat import FatImage
from hullkit.disk.gpt import ESP, HEAD, STORE, TAIL, Partition, partition_table
from hullkit.disk.iso9660 import IsoFile, IsoImage
from hullkit.disk.uki import UkiImage
from hullkit.errors import ConfigError, TrustError
from hullkit.hosttools.run import run
from hullkit.tree.entry import Bytes, Source
from tests.disk.conftest import write

PROGRAM = Bytes(random.Random(3).randbytes(3_000_001))
FILES: dict[str, Source] = {
    "EFI/BOOT/BOOTX64.EFI": PROGRAM,
    "EFI/BOOT/EMPTY": Bytes(b""),
    "README.TXT": Bytes(b"twice"),
    "EFI/README.TXT": Bytes(b"twice"),
}


class Large:
    """Content of any size, never read."""

    def __init__(self, size: int) -> None:
        self.size = size

    def chunks(self):  # type: ignore[no-untyped-def]
        raise AssertionError


def says(context: Context, program: str, *words: str | Path) -> str:
    """What a program writes; an exit status but 0 is an error."""
    done = run(context, context.tools.get(program), list(map(str, words)))
    return done.stdout.decode() + done.stderr


@pytest.mark.net
@pytest.mark.parametrize("size", [0, 511, 3_000_001, 40_000_000])
def test_fsck_and_mtools_read_fat(tooled: Context, tmp_path: Path, size: int) -> None:
    program = Bytes(random.Random(size).randbytes(size))
    path = write(FatImage({**FILES, "EFI/BOOT/BOOTX64.EFI": program}), tmp_path / "fat")
    assert "16 bit entries" in says(tooled, "fsck.fat", "-n", "-v", path)
    for name, content in {"EFI/BOOT/BOOTX64.EFI": program, "EFI/README.TXT": Bytes(b"twice")}.items():
        out = tmp_path / "out"
        says(tooled, "mtools", "-c", "mcopy", "-n", "-i", path, f"::{name}", out)
        assert out.read_bytes() == content.data
        out.unlink()


def test_fat_refuses_what_it_cannot_hold() -> None:
    for bad in ("lower", "TOOLONGNAME", "A.LONG", "", "A/../B", "A B"):
        with pytest.raises(ValueError):
            _ = FatImage({bad: Bytes(b"")}).size
    with pytest.raises(ConfigError):
        _ = FatImage({"BIG": Large(3 << 30)}).size
    assert FatImage({"BIG": Large(2_000_000_000)}).size < 2_001_000_000


def iso() -> IsoImage:
    fat = FatImage({"EFI/BOOT/BOOTX64.EFI": PROGRAM})
    store = Bytes(random.Random(5).randbytes(100_000))
    files = (IsoFile("EFI.IMG", fat, ESP, "EFI system"), IsoFile("STORE.IMG", store, STORE, "hullkit store"))
    return IsoImage(files, "HULLKIT", b"identity")


@pytest.mark.net
@pytest.mark.parametrize("boots", [True, False])
def test_xorriso_reads_the_iso(tooled: Context, tmp_path: Path, boots: bool) -> None:
    image = iso() if boots else IsoImage([IsoFile("CONFIG.", PROGRAM), IsoFile("EMPTY.X", Bytes(b""))], "HULLKIT")
    path = write(image, tmp_path / "image.iso")
    text = says(tooled, "xorriso", "-indev", path, "-report_el_torito", "plain", "-pvd_info")
    assert ("UEFI" in text) == boots and "HULLKIT" in text
    for file in image.files:
        out = tmp_path / file.name
        says(tooled, "xorriso", "-osirrox", "on", "-indev", path, "-extract", f"/{file.name.rstrip('.')}", out)
        assert out.read_bytes() == b"".join(file.content.chunks())


@pytest.mark.net
def test_sgdisk_verifies_the_table(tooled: Context, tmp_path: Path) -> None:
    image = iso()
    path = write(image, tmp_path / "image.iso")
    assert "No problems found" in says(tooled, "sgdisk", "-v", path)
    second = says(tooled, "sgdisk", "-i", "2", path)
    assert str(STORE).upper() in second and "hullkit store" in second
    assert f"First sector: {image.offsets[1] // 512} " in second


def test_the_same_disk_has_the_same_table() -> None:
    partitions = [Partition(ESP, "EFI system", 1 << 20, 1 << 20)]
    first = partition_table(4 << 20, partitions, b"one")
    assert first == partition_table(4 << 20, partitions, b"one") != partition_table(4 << 20, partitions, b"two")
    assert (len(first[0]), len(first[1])) == (HEAD, TAIL)
    assert uuid.UUID(bytes_le=first[0][1024 + 16 : 1024 + 32]).version == 4


def test_iso_refuses_files_of_four_gigabytes() -> None:
    with pytest.raises(ConfigError):
        _ = IsoImage((IsoFile("EFI.IMG", Large(1 << 32), ESP, "x"),), "V", b"").size


def stub(headers: int = 1024) -> bytes:
    """A PE file with one section and room for (headers - 0x188) / 40 more."""
    optional = struct.pack("<H14xIIQII16xIII172x", 0x20B, 4096, 4096, 0, 4096, 512, 8192, headers, 0xFFFF)
    assert len(optional) == 240
    section = struct.pack("<8sIIII12xI", b".text", 100, 4096, 512, headers, 0x60000020)
    head = b"MZ".ljust(0x3C, b"\0") + struct.pack("<I", 0x40) + b"PE\0\0"
    head += struct.pack("<HH12xHH", 0x8664, 1, 240, 0x22E) + optional + section
    return head.ljust(headers, b"\0") + b"\xc3".ljust(512, b"\0")


def test_uki_sections(tmp_path: Path) -> None:
    contents = {".cmdline": b"quiet", ".initrd": bytes(range(256)) * 20, ".linux": b"MZ" + bytes(5000)}
    data = write(
        UkiImage(stub(), [(name, Bytes(each)) for name, each in contents.items()]), tmp_path / "uki"
    ).read_bytes()
    (count,) = struct.unpack_from("<H", data, 0x46)
    (image_size,) = struct.unpack_from("<I", data, 0x58 + 56)
    assert count == 4
    last = 4096 + 100
    for number, (name, content) in enumerate(contents.items(), 1):
        at = 0x58 + 240 + 40 * number
        found, size, address, raw, offset = struct.unpack_from("<8sIIII", data, at)
        assert found.rstrip(b"\0").decode() == name and size == len(content)
        assert address % 4096 == 0 and address >= last and raw % 512 == 0 and offset % 512 == 0
        assert data[offset : offset + size] == content
        last = address + size
    assert image_size >= last and image_size % 4096 == 0


def test_uki_refuses_what_is_no_stub() -> None:
    for bad in (b"", b"MZ", stub()[:100], b"ELF" + stub()[3:], stub().replace(b"PE\0\0", b"NE\0\0")):
        with pytest.raises(TrustError):
            _ = UkiImage(bad, [(".linux", Bytes(b"x"))]).size
    with pytest.raises(TrustError):
        _ = UkiImage(stub(512), [(f".s{number}", Bytes(b"x")) for number in range(5)]).size
