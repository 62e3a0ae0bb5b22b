"""Reading .deb files: good ones of every compression, damaged and hostile ones."""

from __future__ import annotations

import gzip
import hashlib
import lzma
import tarfile
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hullkit.cache import Cache
from hullkit.context import Context
from hullkit.debian.deb import control_file, control_files, deb_entries, members, unpack_tar
from hullkit.debian.package import Package
from hullkit.errors import HullError, TrustError
from hullkit.tree.entry import Entry, EntryType
from tests.support.debrepo import ar_of, deb_of, tar_of

CONTROL = "Package: x\nVersion: 1\nArchitecture: all\nDescription: short\n long\n .\n longer\n"


def entries_of(tmp_path: Path, deb: bytes) -> dict[str, Entry]:
    path = tmp_path / "x.deb"
    path.write_bytes(deb)
    digest = hashlib.sha256(deb).hexdigest()
    package = Package("x", "1:2-3", "all", "trixie", "pool/x.deb", digest, len(deb), "x", "1:2-3")
    work = tmp_path / "work"
    work.mkdir(exist_ok=True)
    found = deb_entries(Context(Cache(tmp_path / "cache")), path, package, work)
    return {entry.path: entry for entry in found}


def content(entry: Entry) -> bytes:
    assert entry.content is not None
    return b"".join(entry.content.chunks())


def member(name: str, kind: bytes, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, 0o4755
    return info


@pytest.mark.parametrize("compression", ["", "xz", "gz", "zst"])
def test_every_compression(tmp_path: Path, compression: str) -> None:
    data = bytes(range(256)) * 9000
    found = entries_of(tmp_path, deb_of(CONTROL, tar_of([("usr/bin/x", data)]), compression))
    assert content(found["usr/bin/x"]) == data
    assert found["usr/bin/x"].owner.package == "x_1:2-3" and found["usr/bin/x"].mode == 0o755


def test_merged_usr(tmp_path: Path) -> None:
    tar = tar_of(
        [
            member("./bin", tarfile.DIRTYPE),
            ("bin/a", b"a"),
            ("lib/x86_64-linux-gnu/b", b"b"),
            ("lib64x/c", b"c"),
            ("library", b"d"),
            member("./sbin/hard", tarfile.LNKTYPE, "./bin/a"),
            member("./usr/bin/soft", tarfile.SYMTYPE, "../../bin/a"),
        ]
    )
    found = entries_of(tmp_path, deb_of(CONTROL, tar))
    assert set(found) == {
        "usr/bin",
        "usr/bin/a",
        "usr/lib/x86_64-linux-gnu/b",
        "lib64x/c",
        "library",
        "usr/sbin/hard",
        "usr/bin/soft",
    }
    assert found["usr/sbin/hard"].type is EntryType.HARDLINK and found["usr/sbin/hard"].target == "usr/bin/a"
    assert found["usr/bin/soft"].target == "../../bin/a"


def test_links_of_base_files_stay_links(tmp_path: Path) -> None:
    found = entries_of(tmp_path, deb_of(CONTROL, tar_of([member("./bin", tarfile.SYMTYPE, "usr/bin")])))
    assert found["bin"].type is EntryType.SYMLINK and found["bin"].target == "usr/bin"


def test_control(tmp_path: Path) -> None:
    path = tmp_path / "x.deb"
    path.write_bytes(deb_of(CONTROL, tar_of([])))
    assert control_file(path)["description"] == "short\nlong\n.\nlonger"
    assert control_files(path) == {"control": CONTROL.encode()}


@pytest.mark.parametrize("name", ["../../etc/passwd", "./../x", "usr/../../x"])
def test_names_that_lead_out(tmp_path: Path, name: str) -> None:
    info = tarfile.TarInfo(name)
    with pytest.raises(TrustError, match=r"x 1:2-3 \(all\)"):
        entries_of(tmp_path, deb_of(CONTROL, tar_of([info])))


GOOD = deb_of(CONTROL, tar_of([("usr/bin/x", b"x" * 5000)]))


@pytest.mark.parametrize(
    ("deb", "message"),
    [
        (b"", "no ar archive"),
        (b"PK\x03\x04", "no ar archive"),
        (b"!<arch>\n", "no debian-binary"),
        (GOOD[:100], "cut off|damaged"),
        (GOOD[:-400], "cut off"),
        (ar_of([("debian-binary", b"2.0\n")]), "0 data.tar members"),
        (ar_of([("debian-binary", b"2.0\n"), ("data.tar", b""), ("data.tar.xz", b"")]), "2 data.tar members"),
        (ar_of([("data.tar", b"")]), "no debian-binary"),
        (ar_of([("debian-binary", b"2.0\n"), ("data.tar.bz9", b"")]), "not known"),
        (ar_of([("debian-binary", b"2.0\n"), ("data.tar.xz", b"nonsense" * 9)]), "damaged xz"),
        (ar_of([("debian-binary", b"2.0\n"), ("data.tar.gz", b"nonsense" * 9)]), "damaged gzip"),
        (ar_of([("debian-binary", b"2.0\n"), ("data.tar.zst", b"nonsense")]), "damaged zstd"),
        (ar_of([("debian-binary", b"2.0\n")] + [("x", b"")] * 20), "more than 16 members"),
        (GOOD.replace(b"`\n", b"x\n", 1), "damaged ar header"),
    ],
)
def test_damaged(tmp_path: Path, deb: bytes, message: str) -> None:
    with pytest.raises(TrustError, match=message) as caught:
        entries_of(tmp_path, deb)
    assert "\n" not in str(caught.value)


def test_a_rotten_cache_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "x.deb"
    path.write_bytes(GOOD)
    package = Package("x", "1", "all", "trixie", "pool/x.deb", "0" * 64, len(GOOD), "x", "1")
    with pytest.raises(TrustError, match="damaged and has been removed"):
        deb_entries(Context(Cache(tmp_path / "cache")), path, package, tmp_path)
    assert not path.exists()


@pytest.mark.parametrize("compression", ["xz", "gz", "zst"])
def test_bombs(tmp_path: Path, compression: str) -> None:
    """200 MB of zeros in less than a megabyte: refused by ratio before they are on the disk."""
    zeros = b"\0" * (1 << 20)
    if compression == "xz":
        encoder = lzma.LZMACompressor(preset=0)
        bomb = b"".join([*(encoder.compress(zeros) for _ in range(200)), encoder.flush()])
    elif compression == "gz":
        bomb = gzip.compress(zeros * 200)
    else:
        bomb = zstandard.ZstdCompressor().compress(zeros * 200)
    path = tmp_path / "bomb.deb"
    path.write_bytes(ar_of([("debian-binary", b"2.0\n"), (f"data.tar.{compression}", bomb)]))
    with pytest.raises(TrustError, match="times its size"):
        unpack_tar(path, "data", tmp_path / "out.tar")
    assert (tmp_path / "out.tar").stat().st_size <= 400 * len(bomb) + (64 << 20)
    with pytest.raises(TrustError, match="more than 1000000 bytes"):
        unpack_tar(path, "data", tmp_path / "out.tar", max_size=1_000_000)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, len(GOOD) - 1), st.binary(min_size=1, max_size=8))
def test_any_damage_is_one_error_or_harmless(tmp_path: Path, offset: int, noise: bytes) -> None:
    deb = GOOD[:offset] + noise + GOOD[offset + len(noise) :]
    try:
        entries_of(tmp_path, deb)
    except HullError as error:
        assert "\n" not in str(error)


def test_members(tmp_path: Path) -> None:
    path = tmp_path / "x.deb"
    path.write_bytes(GOOD)
    with open(path, "rb") as stream:
        assert [each.name for each in members(stream, "x")] == ["debian-binary", "control.tar.xz", "data.tar.xz"]
