"""read_tar on damaged archives: entries that stay inside, or one HullError; bounded in time and memory."""

from __future__ import annotations

import io
import random
import resource
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hullkit.errors import HullError
from hullkit.tree.tar import read_tar
from hullkit.tree.tree import Tree
from tests.tree.test_tar import MEMBERS, made


def checked(path: Path) -> None:
    try:
        entries = read_tar(path)
    except HullError:
        return
    size = path.stat().st_size
    for entry in entries:
        parts = entry.path.split("/")
        assert ".." not in parts and "." not in parts and not entry.path.startswith("/") and "\0" not in entry.path
        assert entry.size <= size and 0 <= entry.uid < 1 << 32
        if entry.content is not None:
            assert sum(map(len, entry.content.chunks())) == entry.size
    tree = Tree()
    try:
        tree.apply_layer(entries)
    except HullError:
        return
    list(tree.entries())


def fixed_sum(data: bytearray, block: int) -> None:
    """Make the checksum of a header block right again, so that the damage gets past it."""
    header = data[block : block + 512]
    header[148:156] = b" " * 8
    data[block + 148 : block + 156] = b"%06o\0 " % sum(header)


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_mutated_archives(tmp_path: Path, form: int) -> None:
    good = made(tmp_path / "good.tar", MEMBERS, form).read_bytes()
    chance = random.Random(form)
    path = tmp_path / "bad.tar"
    for _ in range(1500):
        data = bytearray(good)
        for _ in range(chance.randint(1, 6)):
            position = chance.randrange(len(data))
            data[position] = chance.choice([0, 0x20, 0x2F, 0x2E, 0x30, 0x37, 0x80, 0xFF, chance.randrange(256)])
            if chance.random() < 0.8:
                fixed_sum(data, position - position % 512)
        if chance.random() < 0.2:
            del data[chance.randrange(len(data)) :]
        path.write_bytes(data)
        checked(path)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(st.lists(st.binary(max_size=700), max_size=6))
def test_arbitrary_blocks_with_valid_checksums(tmp_path: Path, blocks: list[bytes]) -> None:
    data = bytearray(b"".join(block.ljust(-(-max(len(block), 1) // 512) * 512, b"\0") for block in blocks))
    for block in range(0, len(data), 512):
        fixed_sum(data, block)
    path = tmp_path / "x.tar"
    path.write_bytes(data)
    checked(path)


def test_an_endless_row_of_extended_headers_needs_little_memory(tmp_path: Path) -> None:
    """60 MB of GNU long names and attributes for few members, read with 200 MB of address space to spare."""
    path = tmp_path / "t.tar"
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as writer:
        info = tarfile.TarInfo("f")
        info.pax_headers = {f"SCHILY.xattr.user.{number}": "v" * 900 for number in range(900)}
        writer.addfile(info)
    one = buffer.getvalue()[: len(buffer.getvalue()) // 10240 * 10240]
    one = one.rstrip(b"\0") + bytes(-len(one.rstrip(b"\0")) % 512)
    path.write_bytes(one * 70)
    program = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from hullkit.errors import HullError\n"
        "from hullkit.tree.tar import TarLimits, read_tar\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try:\n"
        "    read_tar(Path(sys.argv[1]), limits=TarLimits(metadata=20 << 20))\n"
        "except HullError as error:\n"
        "    print(error)\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program, path], check=True, capture_output=True, text=True)
    message, grown = ended.stdout.splitlines()
    assert "bytes of names" in message
    assert int(grown) < 60, "MiB"


def test_time_is_linear(tmp_path: Path) -> None:
    """A hundred thousand headers of every kind in a few seconds."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as writer:
        for number in range(50):
            writer.addfile(tarfile.TarInfo(f"{'d/' * 100}{number}"))
    path = tmp_path / "t.tar"
    path.write_bytes(buffer.getvalue().rstrip(b"\0").ljust(50 * 1536, b"\0") * 700)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    assert len(read_tar(path)) == 35_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_utime - before < 10
