"""write_cpio against a small independent reader, GNU cpio and bsdcpio; segments against their codecs."""

from __future__ import annotations

import gzip
import io
import os
import shutil
import stat
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings

from hullkit.errors import ConfigError
from hullkit.tree.cpio import write_cpio
from hullkit.tree.entry import Bytes, Entry, EntryType, FileSlice
from hullkit.tree.segment import write_segment
from tests.tree.strategies import archives

T = EntryType
BITS = {
    T.FILE: stat.S_IFREG,
    T.DIR: stat.S_IFDIR,
    T.SYMLINK: stat.S_IFLNK,
    T.CHAR: stat.S_IFCHR,
    T.BLOCK: stat.S_IFBLK,
    T.FIFO: stat.S_IFIFO,
}


@dataclass
class Member:
    name: str
    ino: int
    mode: int
    uid: int
    gid: int
    nlink: int
    mtime: int
    rdev: tuple[int, int]
    data: bytes


def members(archive: bytes) -> list[Member]:
    """Read a newc archive as the kernel does (buffer-format.rst)."""
    found: list[Member] = []
    position = 0
    while True:
        assert position % 4 == 0 and archive[position : position + 6] == b"070701"
        fields = [int(archive[position + 6 + 8 * n : position + 14 + 8 * n], 16) for n in range(13)]
        ino, mode, uid, gid, nlink, mtime, size, major, minor, rmajor, rminor, namesize, check = fields
        assert (major, minor, check) == (0, 0, 0)
        name = archive[position + 110 : position + 110 + namesize]
        assert name.endswith(b"\0") and b"\0" not in name[:-1]
        start = -(-(position + 110 + namesize) // 4) * 4
        assert not archive[position + 110 + namesize : start].strip(b"\0")
        data = archive[start : start + size]
        assert len(data) == size
        position = -(-(start + size) // 4) * 4
        assert not archive[start + size : position].strip(b"\0")
        text = name[:-1].decode("utf-8", "surrogateescape")
        if text == "TRAILER!!!":
            assert (ino, mode, size) == (0, 0, 0) and position == len(archive)
            return found
        found.append(Member(text, ino, mode, uid, gid, nlink, mtime, (rmajor, rminor), data))


def written(entries: list[Entry]) -> bytes:
    stream = io.BytesIO()
    write_cpio(entries, stream)
    return stream.getvalue()


@settings(deadline=None, max_examples=150)
@given(archives())
def test_every_entry_comes_back(entries: list[Entry]) -> None:
    found = members(written(entries))
    files = {entry.path: entry for entry in entries}
    assert [member.name for member in found] == [entry.path for entry in entries]
    inodes = {member.name: member.ino for member in found}
    for member, entry in zip(found, entries, strict=True):
        real = files[entry.target] if entry.type is T.HARDLINK else entry
        assert member.mode == BITS[real.type] | real.mode
        assert (member.uid, member.gid, member.rdev) == (real.uid, real.gid, real.rdev)
        assert member.mtime == min(max(real.mtime, 0), 0xFFFFFFFF)
        group = [
            each.path
            for each in entries
            if each.path == real.path or (each.target == real.path and each.type is T.HARDLINK)
        ]
        assert member.nlink == (2 if entry.type is T.DIR else len(group) if real.type is T.FILE else 1)
        assert {inodes[path] for path in group} == {member.ino}
        if entry.type is T.FILE:
            assert entry.content is not None and member.data == b"".join(entry.content.chunks())
        elif entry.type is T.SYMLINK:
            assert member.data == entry.target.encode("utf-8", "surrogateescape")
        else:
            assert member.data == b""


@pytest.mark.parametrize("reader", ["cpio", "bsdcpio"])
def test_other_readers_extract_it(tmp_path: Path, reader: str) -> None:
    if not shutil.which(reader):
        pytest.skip(f"no {reader}")
    source = tmp_path / "source"
    source.write_bytes(os.urandom(900_000))
    entries = [
        Entry("", T.DIR, 0o755),
        Entry("d", T.DIR, 0o750, mtime=3),
        Entry("d/big", T.FILE, 0o640, mtime=4, content=FileSlice(source, 7, 800_001)),
        Entry("d/link", T.SYMLINK, 0o777, target="../nowhere"),
        Entry("d/one", T.FILE, 0o4755, mtime=1 << 40, content=Bytes(b"one")),
        Entry("d/two", T.HARDLINK, target="d/one"),
        Entry("d/three", T.HARDLINK, target="d/one"),
        Entry("pipe", T.FIFO, 0o600),
        Entry("é\udcff", T.FILE, 0o600, content=Bytes(b"latin")),
    ]
    entries = [replace(entry, uid=os.getuid(), gid=os.getgid()) for entry in entries]
    archive = tmp_path / "a.cpio"
    with open(archive, "wb") as stream:
        write_cpio(entries, stream)
    out = tmp_path / "out"
    out.mkdir()
    with open(archive, "rb") as stream:
        subprocess.run(
            [reader, "-id", "--quiet"] if reader == "cpio" else [reader, "-id"], stdin=stream, cwd=out, check=True
        )
    assert (out / "d/big").read_bytes() == source.read_bytes()[7:800_008]
    assert (out / "d/three").read_bytes() == b"one"
    assert len({os.stat(out / "d" / name).st_ino for name in ("one", "two", "three")}) == 1
    assert os.readlink(out / "d/link") == "../nowhere"
    assert stat.S_ISFIFO(os.stat(out / "pipe").st_mode)
    assert (out / "é\udcff").read_bytes() == b"latin"


def test_a_link_out_of_the_archive_is_refused() -> None:
    with pytest.raises(ConfigError, match="not in the archive"):
        written([Entry("l", T.HARDLINK, target="elsewhere")])


def test_too_large_for_an_initramfs(tmp_path: Path) -> None:
    big = tmp_path / "big"
    with open(big, "wb") as stream:
        stream.truncate(1 << 32)
    with pytest.raises(ConfigError, match=r"'disk.img' has 4294967296 bytes.*4 GiB"):
        written([Entry("disk.img", T.FILE, content=FileSlice(big, 0, 1 << 32))])
    with pytest.raises(ConfigError, match="too long"):
        written([Entry("n" * 5000, T.DIR)])


TEXT = Entry("text", T.FILE, 0o644, content=Bytes(b"some text to compress " * 9999))
ODD = [Entry(f"f{number}", T.FILE, 0o644, content=Bytes(bytes(number))) for number in range(7)]


@pytest.mark.parametrize("compression", ["none", "zstd", "gzip"])
def test_segments(tmp_path: Path, compression: str) -> None:
    plain = written([TEXT, *ODD])
    path = tmp_path / "segment"
    write_segment([TEXT, *ODD], path, compression, 9)  # type: ignore[arg-type]
    data = path.read_bytes()
    assert len(data) % 4 == 0
    if compression == "zstd":
        assert zstandard.ZstdDecompressor().decompressobj().decompress(data) == plain
        assert len(data) < len(plain) // 20
    elif compression == "gzip":
        assert data[:10] == b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03", "no name, no time"
        assert gzip.decompress(data) == plain
    else:
        assert data == plain
    again = tmp_path / "again"
    write_segment([TEXT, *ODD], again, compression, 9)  # type: ignore[arg-type]
    assert again.read_bytes() == data
