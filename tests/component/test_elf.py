"""The ELF reader, on real programs of the host and on damaged ones."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hullkit.component.elf import ElfInfo, open_source, read_elf, read_section
from hullkit.errors import TrustError
from hullkit.tree.entry import Bytes, FileSlice


def real_program() -> Path:
    return Path("/proc/self/exe").resolve()


def read_file(path: Path) -> ElfInfo | None:
    return read_elf(FileSlice(path, 0, path.stat().st_size), str(path))


@pytest.mark.skipif(shutil.which("readelf") is None, reason="needs readelf")
@pytest.mark.parametrize("path", ["/bin/sh", "/bin/ls", "/proc/self/exe", "/bin/mount"])
def test_agrees_with_readelf(path: str) -> None:
    program = Path(path).resolve()
    info = read_file(program)
    assert info is not None
    shown = subprocess.run(["readelf", "-d", "-l", program], capture_output=True, text=True, check=True).stdout
    needed = [line.split("[")[1].split("]")[0] for line in shown.splitlines() if "(NEEDED)" in line]
    assert list(info.needed) == needed
    assert needed, "a dynamic program needs at least libc"
    assert f"program interpreter: {info.interpreter}]" in shown


def test_search_path(tmp_path: Path) -> None:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("needs a C compiler")
    source = tmp_path / "x.c"
    source.write_text("int x(void) { return 1; }\n")
    library = tmp_path / "libx.so"
    options = ["-shared", "-fPIC", "-Wl,-rpath,$ORIGIN/a:/b", "-o", str(library)]
    subprocess.run([compiler, *options, str(source)], check=True)
    info = read_file(library)
    assert info is not None
    assert info.search_path == ("$ORIGIN/a", "/b")
    assert info.interpreter == ""


def test_a_script_is_no_elf_file() -> None:
    assert read_elf(Bytes(b"#!/bin/sh\n"), "x") is None
    assert read_elf(Bytes(b""), "x") is None


def test_a_slice_is_read_from_its_offset(tmp_path: Path) -> None:
    data = real_program().read_bytes()
    path = tmp_path / "tar"
    path.write_bytes(b"x" * 777 + data + b"y" * 99)
    assert read_elf(FileSlice(path, 777, len(data)), "slice") == read_elf(Bytes(data), "whole")


def test_section_of_a_real_file() -> None:
    with open_source(Bytes(real_program().read_bytes())) as read:
        interpreter = read_section(read, ".interp", "python")
        assert interpreter is not None and interpreter.startswith(b"/lib")
        assert read_section(read, ".no-such-section", "python") is None


@pytest.mark.parametrize("length", [5, 16, 40, 63, 64, 120, 500])
def test_a_cut_off_file_is_refused(length: int) -> None:
    with pytest.raises(TrustError, match="damaged ELF file"):
        read_elf(Bytes(real_program().read_bytes()[:length]), "cut")


def test_more_headers_than_the_limit_are_refused() -> None:
    data = bytearray(real_program().read_bytes()[:64])
    struct.pack_into("<H", data, 56, 0xFFFF)
    with pytest.raises(TrustError, match="limit"):
        read_elf(Bytes(bytes(data)), "many")


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.integers(0, 1023), st.integers(0, 255)), max_size=12), st.integers(64, 4096))
def test_a_damaged_file_gives_an_answer_or_one_kind_of_error(flips: list[tuple[int, int]], length: int) -> None:
    data = bytearray(_HEAD[:length])
    for offset, value in flips:
        if offset < len(data):
            data[offset] = value
    for action in (_elf, _modinfo):
        try:
            action(bytes(data))
        except TrustError:
            pass


def _elf(data: bytes) -> None:
    read_elf(Bytes(data), "fuzz")


def _modinfo(data: bytes) -> None:
    read_section(lambda offset, size: data[offset : offset + size], ".modinfo", "fuzz")


_HEAD = real_program().read_bytes()[:4096]
