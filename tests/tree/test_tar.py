"""write_tar and read_tar against each other, and against tarfile and GNU tar as independent readers and writers."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from hullkit.errors import ConfigError, TrustError
from hullkit.tree.entry import Bytes, Entry, EntryType, FileSlice
from hullkit.tree.tar import TarLimits, read_tar, write_tar
from tests.tree.strategies import archives

T = EntryType


def read(entry: Entry) -> bytes:
    assert entry.content is not None
    return b"".join(entry.content.chunks())


def in_memory(entries: list[Entry]) -> list[Entry]:
    return [replace(entry, content=Bytes(read(entry))) if entry.content else entry for entry in entries]


def written(entries: list[Entry]) -> bytes:
    stream = io.BytesIO()
    write_tar(entries, stream)
    return stream.getvalue()


def archive(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(archives())
def test_round_trip(tmp_path: Path, entries: list[Entry]) -> None:
    data = written(entries)
    assert len(data) % 512 == 0
    assert in_memory(read_tar(archive(tmp_path / "t.tar", data))) == entries


@settings(deadline=None, max_examples=100)
@given(archives())
def test_tarfile_reads_the_same(entries: list[Entry]) -> None:
    with tarfile.open(fileobj=io.BytesIO(written(entries)), errors="surrogateescape") as reader:
        members = reader.getmembers()
        kinds = {
            tarfile.REGTYPE: T.FILE,
            tarfile.LNKTYPE: T.HARDLINK,
            tarfile.SYMTYPE: T.SYMLINK,
            tarfile.CHRTYPE: T.CHAR,
            tarfile.BLKTYPE: T.BLOCK,
            tarfile.DIRTYPE: T.DIR,
            tarfile.FIFOTYPE: T.FIFO,
        }
        assert len(members) == len(entries)
        for member, entry in zip(members, entries, strict=True):
            assert member.name == entry.path
            assert kinds[member.type] is entry.type
            assert (member.mode, member.uid, member.gid) == (entry.mode, entry.uid, entry.gid)
            assert int(member.mtime) == entry.mtime
            assert member.linkname == entry.target
            if entry.type in (T.CHAR, T.BLOCK):
                assert (member.devmajor, member.devminor) == entry.rdev
            if entry.type is T.FILE:
                extracted = reader.extractfile(member)
                assert extracted is not None and extracted.read() == read(entry)


def member(
    name: str, kind: bytes = tarfile.REGTYPE, data: bytes = b"", **fields: object
) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, len(data)
    for key, value in fields.items():
        setattr(info, key, value)
    return info, data


def made(path: Path, members: list[tuple[tarfile.TarInfo, bytes]], form: int = tarfile.PAX_FORMAT) -> Path:
    with tarfile.open(path, "w", format=form, errors="surrogateescape") as writer:
        for info, data in members:
            writer.addfile(info, io.BytesIO(data))
    return path


MEMBERS = [
    member("./", tarfile.DIRTYPE, mode=0o750),
    member("./plain", data=b"hello", mode=0o4711, uid=1000, gid=33, mtime=1600000000),
    member("/absolute", data=b"a"),
    member("double//slash/./dot", data=b"d"),
    member("long/" + "l" * 150, data=b"1"),
    member("deep/" + "/".join(["b" * 60] * 6), data=b"2"),
    member("sym", tarfile.SYMTYPE, linkname="../" + "t" * 150),
    member("hard", tarfile.LNKTYPE, linkname="./plain"),
    member("dir", tarfile.DIRTYPE, mode=0o1777),
    member("null", tarfile.CHRTYPE, devmajor=1, devminor=3),
    member("disk", tarfile.BLKTYPE, devmajor=300, devminor=70000),
    member("pipe", tarfile.FIFOTYPE),
    member("cont", tarfile.CONTTYPE, data=b"c"),
    member("old", tarfile.AREGTYPE, data=b"o"),
    member("ros\udce9", data=b"latin1"),
    member("日本", data=b"unicode"),
    member("big-ids", data=b"i", uid=3000000, gid=4294967294),
    member("after", data=b"z" * 1000),
]


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_reads_what_tarfile_writes(tmp_path: Path, form: int) -> None:
    members = MEMBERS
    entries = {entry.path: entry for entry in read_tar(made(tmp_path / "t.tar", members, form))}
    assert len(entries) == len(members)
    assert entries[""].mode == 0o750
    plain = entries["plain"]
    assert (plain.mode, plain.uid, plain.gid, plain.mtime, read(plain)) == (0o4711, 1000, 33, 1600000000, b"hello")
    assert isinstance(plain.content, FileSlice) and plain.content.path == tmp_path / "t.tar"
    assert read(entries["absolute"]) == b"a"
    assert read(entries["double/slash/dot"]) == b"d"
    assert read(entries["long/" + "l" * 150]) == b"1"
    assert read(entries["deep/" + "/".join(["b" * 60] * 6)]) == b"2"
    assert (entries["sym"].type, entries["sym"].target) == (T.SYMLINK, "../" + "t" * 150)
    assert (entries["hard"].type, entries["hard"].target, entries["hard"].content) == (T.HARDLINK, "plain", None)
    assert (entries["dir"].type, entries["dir"].mode) == (T.DIR, 0o1777)
    assert (entries["null"].type, entries["null"].rdev) == (T.CHAR, (1, 3))
    assert (entries["disk"].type, entries["disk"].rdev) == (T.BLOCK, (300, 70000))
    assert entries["pipe"].type is T.FIFO
    assert entries["cont"].type is T.FILE and read(entries["old"]) == b"o"
    assert read(entries["ros\udce9"]) == b"latin1"
    assert read(entries["日本"]) == b"unicode"
    assert (entries["big-ids"].uid, entries["big-ids"].gid) == (3000000, 4294967294)
    assert read(entries["after"]) == b"z" * 1000


def test_pax_records(tmp_path: Path) -> None:
    capability = b"\x01\x00\x00\x02\x00\x20" + bytes(14)
    path = made(
        tmp_path / "t.tar",
        [
            member(
                "x",
                data=b"1",
                pax_headers={
                    "mtime": "1500000000.987",
                    "SCHILY.xattr.security.capability": capability.decode(),
                    "SCHILY.xattr.user.text": "hé=llo\nx",
                    "LIBARCHIVE.xattr.user.z%20y": "ZZ==",
                    "comment": "ignored",
                },
            ),
            member("neg", pax_headers={"mtime": "-1.5"}),
            member("huge", pax_headers={"mtime": "9000000000"}),
        ],
    )
    entries = {entry.path: entry for entry in read_tar(path)}
    assert entries["x"].mtime == 1500000000
    assert entries["x"].xattrs == (
        ("security.capability", capability),
        ("user.text", "hé=llo\nx".encode()),
        ("user.z y", b"e"),
    )
    assert (entries["neg"].mtime, entries["huge"].mtime) == (-2, 9000000000)


def test_global_pax_records(tmp_path: Path) -> None:
    path = tmp_path / "t.tar"
    with tarfile.open(
        path, "w", format=tarfile.PAX_FORMAT, pax_headers={"mtime": "77", "comment": "for all"}
    ) as writer:
        writer.addfile(member("one")[0])
        info, _ = member("two")
        info.pax_headers = {"mtime": "88"}
        writer.addfile(info)
    assert [(entry.path, entry.mtime) for entry in read_tar(path)] == [("one", 77), ("two", 88)]


def test_size_beyond_octal(tmp_path: Path) -> None:
    """A sparse host file of 9 GB: GNU writes base-256, pax a size record, we too."""
    big = tmp_path / "big"
    with open(big, "wb") as stream:
        stream.truncate(9 << 30)
    for form in ("gnu", "pax"):
        path = tmp_path / f"{form}.tar"
        with open(path, "wb") as out:
            header = tarfile.TarInfo("big")
            header.size = 9 << 30
            out.write(header.tobuf(tarfile.GNU_FORMAT if form == "gnu" else tarfile.PAX_FORMAT))
            out.seek((9 << 30) + 1024, os.SEEK_CUR)
            out.truncate()
        (entry,) = read_tar(path)
        assert entry.size == 9 << 30


def test_host_tar_reads_the_same(tmp_path: Path) -> None:
    """GNU tar lists and extracts what write_tar wrote, and its archive of that gives the same entries."""
    source = tmp_path / "data"
    source.write_bytes(os.urandom(700_000))
    entries = [
        Entry("d", T.DIR, 0o700, mtime=5),
        Entry("d/" + "n" * 120, T.FILE, 0o640, mtime=6, content=FileSlice(source, 100, 600_000)),
        Entry("d/small", T.FILE, 0o600, mtime=7, content=FileSlice(source, 5, 1000)),
        Entry("d/é", T.SYMLINK, 0o777, mtime=8, target="t" * 140),
        Entry("d/z", T.HARDLINK, 0o600, mtime=7, target="d/small"),
    ]
    entries = [replace(entry, uid=os.getuid(), gid=os.getgid()) for entry in entries]
    path = tmp_path / "t.tar"
    with open(path, "wb") as stream:
        write_tar(entries, stream)
    out = tmp_path / "out"
    out.mkdir()
    subprocess.run(["tar", "-xpf", path, "-C", out], check=True, env={**os.environ, "LC_ALL": "C.UTF-8"})
    assert (out / ("d/" + "n" * 120)).read_bytes() == source.read_bytes()[100:600_100]
    assert os.stat(out / "d/z").st_ino == os.stat(out / "d/small").st_ino
    again = tmp_path / "again.tar"
    for form in ("gnu", "posix"):
        subprocess.run(["tar", f"--format={form}", "--sort=name", "-cf", again, "-C", out, "d"], check=True)
        found = {entry.path: entry for entry in read_tar(again)}
        for entry in entries:
            if entry.type is T.FILE:
                assert read(found[entry.path]) == read(entry)
            assert found[entry.path].mtime == entry.mtime


@pytest.mark.skipif(not shutil.which("bsdtar"), reason="no bsdtar")
def test_bsdtar_lists_the_same(tmp_path: Path) -> None:
    entries = [entry for entry in read_tar(made(tmp_path / "a.tar", MEMBERS)) if entry.path.isascii() and entry.path]
    path = archive(tmp_path / "t.tar", written(entries))
    listed = subprocess.run(["bsdtar", "-tf", path], check=True, capture_output=True, text=True).stdout.splitlines()
    assert [line.rstrip("/") for line in listed] == [entry.path for entry in entries]


def test_pax_only_where_needed() -> None:
    plain = [Entry("a" * 80 + "/" + "b" * 90, T.FILE, 0o644, content=Bytes(b"x"), mtime=1)]
    assert len(written(plain)) == 512 + 512 + 1024
    assert len(written([replace(plain[0], xattrs=(("user.a", b"1"),))])) == 1024 + 512 + 512 + 1024


def test_extra_records() -> None:
    stream = io.BytesIO()
    write_tar([Entry("f", T.FILE)], stream, records={"LINUXKIT.source": "from f é"})
    stream.seek(0)
    with tarfile.open(fileobj=stream) as reader:
        assert reader.getmembers()[0].pax_headers == {"LINUXKIT.source": "from f é"}


def test_a_changed_host_file_is_noticed(tmp_path: Path) -> None:
    source = archive(tmp_path / "f", b"short")
    for size in (10, 1 << 20):
        with pytest.raises(OSError, match="shorter than expected"), open(tmp_path / "t.tar", "wb") as stream:
            write_tar([Entry("f", T.FILE, content=FileSlice(source, 0, size))], stream)


def test_device_numbers_out_of_range() -> None:
    with pytest.raises(ConfigError, match="does not fit"):
        written([Entry("d", T.CHAR, rdev=(1 << 30, 0))])


def test_empty_archives(tmp_path: Path) -> None:
    assert read_tar(archive(tmp_path / "a", b"")) == []
    assert read_tar(archive(tmp_path / "b", bytes(512))) == []
    assert read_tar(archive(tmp_path / "c", written([]))) == []


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("../../etc/passwd", "not safe"),
        ("a/../../b", "not safe"),
        ("a/..", "not safe"),
        ("/../x", "not safe"),
        ("a" * 5000, "longer than"),
        ("/".join("d" * 600), "directories"),
        ("./", "without a name"),
    ],
)
def test_hostile_names(tmp_path: Path, name: str, why: str) -> None:
    path = made(tmp_path / "evil.tar", [member("fine"), member(name)])
    with pytest.raises(TrustError, match=why) as caught:
        read_tar(path)
    assert "evil.tar" in str(caught.value)


@pytest.mark.parametrize("target", ["../../etc/shadow", "a/../../b", ""])
def test_hostile_hard_links(tmp_path: Path, target: str) -> None:
    with pytest.raises(TrustError, match="layer 3: 'link'"):
        read_tar(made(tmp_path / "t", [member("link", tarfile.LNKTYPE, linkname=target)]), name="layer 3")


def raw_header(**changes: bytes) -> bytes:
    """A ustar header with raw fields, its checksum right."""
    fields = {
        "name": b"file",
        "mode": b"0000644",
        "uid": b"0000000",
        "gid": b"0000000",
        "size": b"00000000000",
        "mtime": b"00000000000",
        "sum": b" " * 8,
        "type": b"0",
        "link": b"",
        "magic": b"ustar\x0000",
        "names": b"",
        "major": b"0000000",
        "minor": b"0000000",
        "prefix": b"",
        **changes,
    }
    sizes = (100, 8, 8, 8, 12, 12, 8, 1, 100, 8, 64, 8, 8, 167)
    block = b"".join(value.ljust(size, b"\0")[:size] for value, size in zip(fields.values(), sizes, strict=True))
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def pax_member(body: bytes, kind: bytes = b"x", size: int | None = None) -> bytes:
    stated = len(body) if size is None else size
    return raw_header(type=kind, size=b"%011o" % stated) + body + bytes(-len(body) % 512)


END = bytes(1024)
HOSTILE = {
    "truncated content": (raw_header(size=b"00000001000") + b"x" * 100, "truncated"),
    "truncated header": (raw_header()[:300], "truncated"),
    "size beyond the file": (raw_header(size=b"77777777777") + END, "truncated, or a size"),
    "negative size": (raw_header(size=b"\xff" * 11 + b"\x00") + END, "truncated, or a size"),
    "absurd base-256 size": (raw_header(size=b"\x80" + b"\x7f" * 11) + END, "absurd"),
    "size that is no number": (raw_header(size=b"9z") + END, "not a number"),
    "signed number": (raw_header(uid=b"-000001") + END, "not a number"),
    "underscored number": (raw_header(uid=b"0_0_0_1") + END, "not a number"),
    "uid beyond 32 bits": (raw_header(uid=b"\x80\0\0\1\0\0\0\0") + END, "owner number"),
    "device out of range": (raw_header(type=b"3", major=b"7777777") + END, "device number"),
    "not a tar": (b"this is not a tar archive" * 100, "not a tar header"),
    "wrong checksum": (b"X" + raw_header()[1:] + END, "checksum"),
    "garbage after the end": (bytes(512) + b"x" * 512, "damaged"),
    "unknown type": (raw_header(type=b"Q") + END, "unknown type"),
    "GNU sparse": (raw_header(type=b"S") + END, "sparse"),
    "pax sparse": (pax_member(b"22 GNU.sparse.major=1\n") + raw_header() + END, "sparse"),
    "pax bomb": (pax_member(b"", size=1 << 32) + END, "an extended header of"),
    "pax negative": (raw_header(type=b"x", size=b"\xff" * 12) + END, "an extended header of"),
    "pax truncated": (pax_member(b"99 path=x\n") + raw_header() + END, "damaged extended header"),
    "pax no equals": (pax_member(b"8 pathx\n") + raw_header() + END, "damaged extended header"),
    "pax zero length": (pax_member(b"0 path=x\n") + raw_header() + END, "damaged extended header"),
    "pax huge length": (pax_member(b"9" * 30 + b" path=x\n") + raw_header() + END, "damaged extended header"),
    "pax path escapes": (pax_member(b"18 path=../../etc\n") + raw_header() + END, "not safe"),
    "pax path with NUL": (pax_member(b"12 path=a\0b\n") + raw_header() + END, "not safe"),
    "pax size lies": (pax_member(b"17 size=99999999\n") + raw_header() + END, "truncated, or a size"),
    "pax size negative": (pax_member(b"11 size=-5\n") + raw_header() + END, "truncated, or a size"),
    "pax number of many digits": (pax_member(b"1010 uid=" + b"1" * 1000 + b"\n") + raw_header() + END, "not a number"),
    "xattr without a name": (pax_member(b"18 SCHILY.xattr.=\n") + raw_header() + END, "attribute name"),
    "two pax headers": (pax_member(b"10 a=bcde\n") * 2 + raw_header() + END, "two extended headers"),
    "pax header at the end": (pax_member(b"10 a=bcde\n") + END, "ends after an extended header"),
    "GNU name bomb": (raw_header(type=b"L", size=b"77777777777") + END, "an extended header of"),
    "GNU name too long": (pax_member(b"n" * 5000, b"L") + raw_header() + END, "longer than"),
    "empty symlink": (raw_header(type=b"2") + END, "a link whose target"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_archives(tmp_path: Path, case: str) -> None:
    data, why = HOSTILE[case]
    with pytest.raises(TrustError, match=why) as caught:
        read_tar(archive(tmp_path / "bad.tar", data))
    assert "bad.tar" in str(caught.value) and "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_limits(tmp_path: Path) -> None:
    path = made(tmp_path / "t.tar", [member(f"file-{number}") for number in range(20)])
    with pytest.raises(TrustError, match="more than 10 members"):
        read_tar(path, limits=TarLimits(entries=10))
    with pytest.raises(TrustError, match="bytes of names"):
        read_tar(path, limits=TarLimits(metadata=50))
    heavy = made(
        tmp_path / "x.tar", [member("f", pax_headers={f"SCHILY.xattr.user.{n}": "v" * 1000 for n in range(50)})]
    )
    with pytest.raises(TrustError, match="bytes of names"):
        read_tar(heavy, limits=TarLimits(metadata=50_000))
    with pytest.raises(TrustError, match="global records"):
        with tarfile.open(tmp_path / "g.tar", "w", pax_headers={f"k{number}": "v" for number in range(100)}) as writer:
            writer.addfile(tarfile.TarInfo("f"))
        read_tar(tmp_path / "g.tar")


def test_old_signed_checksum(tmp_path: Path) -> None:
    header = raw_header(name="ros\xe9".encode("latin-1"))
    unsigned = int(header[148:154], 8)
    header = header[:148] + b"%06o\0 " % (unsigned - 256) + header[156:]
    assert [entry.path for entry in read_tar(archive(tmp_path / "t", header + END))] == ["ros\udce9"]


def test_gnu_times_are_not_a_prefix(tmp_path: Path) -> None:
    header = raw_header(magic=b"ustar  \0", prefix=b"14717235402\x00")
    assert [entry.path for entry in read_tar(archive(tmp_path / "t", header + END))] == ["file"]
