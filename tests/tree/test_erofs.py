"""erofs images made by the real mkfs.erofs of the tools tree, read back by fsck.erofs."""

from __future__ import annotations

import hashlib
import os
import random
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import hullkit.tree.erofs as erofs
from hullkit.cache import Cache
from hullkit.component.tools import DebianTools
from hullkit.context import Context
from hullkit.errors import ToolError, TrustError
from hullkit.hosttools.run import run
from hullkit.tree.entry import Bytes, Entry, EntryType, FileSlice
from hullkit.tree.erofs import erofs_id, make_erofs

pytestmark = pytest.mark.net
T = EntryType
CAPABILITY = b"\x01\x00\x00\x02\x00\x20" + bytes(14)


@pytest.fixture(scope="module")
def context(warm_cache: Path) -> Context:
    plain = Context(Cache(warm_cache), arch="amd64")
    return Context(plain.cache, arch="amd64", tools=DebianTools(plain))


def image(context: Context, tmp_path: Path, entries: list[Entry], **options: bool) -> Path:
    out = tmp_path / "image.erofs"
    make_erofs(context, entries, out, **options)
    run(context, context.tools.get("fsck.erofs"), [str(out)])
    return out


def extracted(context: Context, image: Path) -> Path:
    out = image.parent / "extracted"
    preserve = ["--preserve"] if os.geteuid() == 0 else []
    run(context, context.tools.get("fsck.erofs"), [f"--extract={out}", *preserve, "--xattrs", str(image)])
    return out


def file(path: str, data: bytes = b"", mode: int = 0o644, uid: int = 0, gid: int = 0) -> Entry:
    return Entry(path, T.FILE, mode, uid, gid, 1600000000, Bytes(data))


def test_everything_survives(context: Context, tmp_path: Path) -> None:
    root = os.geteuid() == 0
    devices = [Entry("dev/null", T.CHAR, 0o666, rdev=(1, 3)), Entry("dev/sda", T.BLOCK, 0o660, rdev=(300, 70000))]
    source = tmp_path / "source"
    source.write_bytes(os.urandom(1 << 20))
    entries = [
        Entry("", T.DIR, 0o750, 5, 6),
        Entry("sticky", T.DIR, 0o1777),
        file("su", b"x" * 10_000, 0o4755, uid=1000, gid=3_000_000),
        Entry("su2", T.HARDLINK, target="su"),
        Entry("big", T.FILE, 0o640, content=FileSlice(source, 11, 1_000_000)),
        *(devices if root else []),
        Entry("pipe", T.FIFO, 0o604),
        Entry("link", T.SYMLINK, 0o777, target="/somewhere/../else"),
        file("ros\udce9", b"latin1"),
        file("日本/" + "n" * 200, b"long"),
        Entry("capable", T.FILE, 0o755, content=Bytes(b"p"), xattrs=(("security.capability", CAPABILITY),)),
        Entry("user", T.FILE, 0o644, content=Bytes(b"u"), xattrs=(("user.comment", b"a\0b"),)),
        file(".wh.not-a-whiteout", b"kept"),
        file("empty"),
        file("none", b"n", 0),
    ]
    made = image(context, tmp_path, entries)
    assert CAPABILITY in made.read_bytes()
    out = extracted(context, made)
    found = {str(path.relative_to(out)): path for path in out.rglob("*")}
    assert set(found) == {entry.path for entry in entries if entry.path} | ({"dev"} if root else set()) | {"日本"}
    assert os.stat(out / "su").st_ino == os.stat(out / "su2").st_ino
    assert (out / "big").read_bytes() == source.read_bytes()[11:1_000_011]
    assert os.readlink(out / "link") == "/somewhere/../else"
    assert (out / ".wh.not-a-whiteout").read_bytes() == b"kept"
    assert (out / "ros\udce9").read_bytes() == b"latin1"
    assert os.getxattr(out / "user", "user.comment") == b"a\0b"
    assert stat.S_ISFIFO(os.stat(out / "pipe").st_mode)
    if root:
        for entry in entries:
            if entry.type not in (T.SYMLINK, T.HARDLINK):
                status = os.stat(out / entry.path)
                assert stat.S_IMODE(status.st_mode) == entry.mode, entry.path
                assert (status.st_uid, status.st_gid) == (entry.uid, entry.gid), entry.path
        for entry in devices:
            number = os.stat(out / entry.path).st_rdev
            assert (os.major(number), os.minor(number)) == entry.rdev


@pytest.mark.skipif(os.geteuid() != 0, reason="whiteouts are devices, and only root can extract them")
def test_whiteouts_take_the_overlay_form(context: Context, tmp_path: Path) -> None:
    steering = (("trusted.overlay.redirect", b"/elsewhere"), ("user.kept", b"1"))
    entries = [
        file("a/.wh.gone"),
        file("a/new", b"1"),
        Entry("opaque", T.DIR, 0o700),
        file("opaque/.wh..wh..opq"),
        file("opaque/new", b"2"),
        file("implied/.wh..wh..opq"),
        file(".wh.replaced"),
        file("replaced/inside", b"3"),
        file(".wh.file"),
        file("file", b"4"),
        Entry("steered", T.DIR, 0o755, xattrs=steering),
        file(".wh..wh.plnk/1"),
    ]
    out = extracted(context, image(context, tmp_path, entries, whiteouts=True))
    gone = os.stat(out / "a/gone")
    assert stat.S_ISCHR(gone.st_mode) and gone.st_rdev == 0
    for path, opaque in (("opaque", True), ("implied", True), ("replaced", True), ("a", False), ("steered", False)):
        attributes = os.listxattr(out / path)
        assert ("trusted.overlay.opaque" in attributes) is opaque, path
        assert "trusted.overlay.redirect" not in attributes
    assert os.getxattr(out / "opaque", "trusted.overlay.opaque") == b"y"
    assert os.getxattr(out / "steered", "user.kept") == b"1"
    assert (out / "file").read_bytes() == b"4"
    assert sorted(str(path.relative_to(out)) for path in out.rglob("*")) == [
        "a", "a/gone", "a/new", "file", "implied", "opaque", "opaque/new", "replaced", "replaced/inside", "steered",
    ]  # fmt: skip


def test_members_below_a_symlink_of_the_layer(context: Context, tmp_path: Path) -> None:
    entries = [Entry("lib", T.SYMLINK, 0o777, target="usr/lib"), file("lib/x", b"1"), file("usr/lib/y", b"2")]
    for whiteouts in (False, True):
        out = extracted(context, image(context, tmp_path, entries, whiteouts=whiteouts))
        assert (out / "usr/lib/x").read_bytes() == b"1" and os.readlink(out / "lib") == "usr/lib"
        subprocess.run(["rm", "-r", out], check=True)


def test_a_link_into_another_layer(context: Context, tmp_path: Path) -> None:
    with pytest.raises(TrustError, match=r"hard link to 'elsewhere', which does not exist.*layout: flat"):
        image(context, tmp_path, [Entry("l", T.HARDLINK, target="elsewhere")])
    assert list(tmp_path.iterdir()) == []


def test_an_empty_image(context: Context, tmp_path: Path) -> None:
    assert list(extracted(context, image(context, tmp_path, [])).iterdir()) == []


def test_failure_leaves_nothing(context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erofs, "EROFS_OPTIONS", (*erofs.EROFS_OPTIONS, "-Eno-such-thing"))
    with pytest.raises(ToolError) as caught:
        image(context, tmp_path, [file("a")])
    assert "mkfs.erofs" in caught.value.command
    assert list(tmp_path.iterdir()) == []


def test_the_id_names_tool_and_options(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    first = erofs_id(context)
    assert "mkfs.erofs" in first and "-zzstd" in first
    assert erofs_id(context, release=True) != first
    monkeypatch.setattr(erofs, "EROFS_OPTIONS", ("-zlz4",))
    assert erofs_id(context) != first


def test_a_release_is_smaller_and_holds_the_same(context: Context, tmp_path: Path) -> None:
    entries = [file("program", Path(sys.executable).read_bytes()[:4_000_000])]
    sizes, contents = [], []
    for release in (False, True):
        directory = tmp_path / str(release)
        directory.mkdir()
        made = image(context, directory, entries, release=release)
        sizes.append(made.stat().st_size)
        root = extracted(context, made)
        contents.append({path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()})
    assert sizes[1] < 0.95 * sizes[0]
    assert contents[0] == contents[1]


def material(size: int) -> list[Entry]:
    """Files that compress about as well as programs do."""
    chance = random.Random(1)
    words = [chance.randbytes(chance.randint(2, 9)) for _ in range(3000)]
    text = b" ".join(chance.choice(words) for _ in range(size // 12))
    entries: list[Entry] = []
    total = 0
    while total < size:
        start, length = chance.randrange(len(text) // 2), chance.randrange(min(len(text) // 2, 1_000_000))
        entries.append(file(f"d{len(entries) % 7}/f{len(entries)}", text[start : start + length]))
        total += length
    return entries


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("size", [3_000_000, pytest.param(120_000_000, marks=pytest.mark.slow)])
def test_same_bytes_for_any_number_of_workers(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    entries = material(size)
    options = erofs.EROFS_OPTIONS
    found = {digest(image(context, tmp_path, entries))}
    for number, workers in enumerate((1, 2)):
        monkeypatch.setattr(erofs, "EROFS_OPTIONS", (*options, f"--workers={workers}"))
        random.Random(number).shuffle(entries)
        monkeypatch.setenv("TZ", ["UTC", "Asia/Tokyo", "America/Lima"][number])
        old = os.umask(0o077 if number else 0o022)
        try:
            found.add(digest(image(context, tmp_path, entries)))
        finally:
            os.umask(old)
    assert len(found) == 1
