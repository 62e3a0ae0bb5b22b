"""Source packages: the signed index, their tarballs laid out as dpkg-source(1) does, and their patches."""

from __future__ import annotations

import gzip
import hashlib
import lzma
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from hullkit.debian.archive import Archive
from hullkit.debian.fetch import fetch
from hullkit.debian.package import Package
from hullkit.debian.source import SourceArchive, is_packaging, patch_series, source_entries
from hullkit.errors import ConfigError, NetworkError, NotFound, TrustError
from hullkit.tree.entry import Entry
from tests.debian.conftest import World
from tests.support.debrepo import tar_of

UPSTREAM = {
    "thing-1.2/main.c": b"int main;\n",
    "thing-1.2/debian/rules": b"upstream's",
    "thing-1.2/usr/share/doc/x": b"",
}
PACKAGING = {
    "debian/patches/series": b"# first\none.patch -p1\n\n  sub/two.patch # why\n",
    "debian/patches/one.patch": b"1",
    "debian/patches/sub/two.patch": b"2",
    "debian/rules": b"debian's",
    "main.c": b"not its business",
}


def xz(files: dict[str, bytes]) -> bytes:
    return lzma.compress(tar_of(files.items()), preset=0)


def quilt(**more: bytes) -> dict[str, bytes]:
    return {
        "thing_1.2-3.dsc": b"dsc",
        "thing_1.2.orig.tar.gz": gzip.compress(tar_of(UPSTREAM.items()), mtime=0),
        "thing_1.2.orig.tar.gz.asc": b"signature",
        "thing_1.2-3.debian.tar.xz": xz(PACKAGING),
        **more,
    }


def unpacked(world: World, tmp_path: Path, name: str = "thing", upstream_only: bool = False) -> dict[str, Entry]:
    files = SourceArchive.open(world.context).find(name)
    if upstream_only:
        files = tuple(file for file in files if not is_packaging(file))
    fetched = fetch(world.context, files)
    return {e.path: e for e in source_entries([(file, fetched[file.sha256]) for file in files], tmp_path)}


def text(entry: Entry) -> bytes:
    assert entry.content is not None
    return b"".join(entry.content.chunks())


def test_the_newest_version_of_all_suites(world: World) -> None:
    world.repo.add("thing", "1.2-3")
    world.repo.add_source("thing", "1.2-3", quilt())
    world.repo.add_source("thing", "1.2-3+deb13u1", {"thing_1.2.orig.tar.gz": b"x"}, suite="trixie-security")
    world.repo.publish_all()
    archive = SourceArchive.open(world.context)
    (file,) = archive.find("thing")
    assert (file.version, file.suite, file.arch) == ("1.2-3+deb13u1", "trixie-security", "source")
    assert file.path == "pool/main/t/thing/thing_1.2.orig.tar.gz"
    assert file.sha256 == hashlib.sha256(b"x").hexdigest()
    assert Package.from_json(file.to_json()) == file
    assert SourceArchive.open(replace(world.context, offline=True)).id == archive.id
    assert Archive.open(world.context, "amd64").id != archive.id
    with pytest.raises(NotFound, match="no source package thin"):
        archive.find("thin")


def test_upstream_and_packaging_become_one_tree(world: World, tmp_path: Path) -> None:
    extra = {"thing_1.2.orig-vendor.tar.xz": xz({"vendor-9/lib/a.c": b"a"})}
    world.repo.add_source("thing", "1.2-3", quilt(**extra))
    world.repo.publish_all()
    found = unpacked(world, tmp_path)
    assert text(found["main.c"]) == b"int main;\n"
    assert text(found["debian/rules"]) == b"debian's"
    assert text(found["vendor/lib/a.c"]) == b"a"
    assert "usr/share/doc/x" in found
    assert not [path for path in found if path.startswith("thing-1.2")]
    assert patch_series(found.values()) == ["debian/patches/one.patch", "debian/patches/sub/two.patch"]
    assert found["main.c"].owner.package == "thing_1.2-3"
    assert sorted(path.suffix for path in (world.context.cache.root / "debian" / "pool").iterdir()) == [".src"] * 3


def test_without_the_packaging_upstream_is_as_it_was(world: World, tmp_path: Path) -> None:
    world.repo.add_source("thing", "1.2-3", quilt())
    world.repo.publish_all()
    found = unpacked(world, tmp_path, upstream_only=True)
    assert text(found["debian/rules"]) == b"upstream's"
    assert patch_series(found.values()) == []


def test_a_native_package(world: World, tmp_path: Path) -> None:
    world.repo.add_source("thing", "7", {"thing_7.tar.xz": xz({"thing/a": b"1", "thing/debian/rules": b"r"})})
    world.repo.publish_all()
    assert set(unpacked(world, tmp_path)) >= {"a", "debian/rules"}


def test_hard_links_stay_inside(world: World, tmp_path: Path) -> None:
    link = tarfile.TarInfo("thing-1.2/b")
    link.type, link.linkname = tarfile.LNKTYPE, "thing-1.2/a"
    tar = tar_of([("thing-1.2/a", b"x"), link])
    world.repo.add_source("thing", "1.2", {"thing_1.2.orig.tar.gz": gzip.compress(tar)})
    world.repo.publish_all()
    assert unpacked(world, tmp_path)["b"].target == "a"


@pytest.mark.parametrize(
    ("files", "error", "message"),
    [
        ({"thing_1.2.orig.tar.gz": b"x", "thing_1.2-3.diff.gz": b"y"}, ConfigError, "old format 1.0"),
        ({"thing_1.2-3.dsc": b"x"}, TrustError, "names no tarball"),
        ({"../../../etc/cron.d/x_1.tar.gz": b"x"}, TrustError, "describes 'thing' badly"),
        ({"thing_1.2.orig.tar.gz": b"no gzip"}, TrustError, "compressed data"),
        ({"thing_1.2.orig.tar.lz4": b"x"}, TrustError, "compression 'lz4' is not known"),
        ({"thing_1.2.orig.tar.xz": xz({"../up": b"x"})}, TrustError, "up"),
        ({"thing_1.2.debian.tar.xz": xz({"debian/patches/series": b"gone.patch\n"})}, TrustError, "gone.patch"),
    ],
)
def test_what_is_refused(
    world: World, tmp_path: Path, files: dict[str, bytes], error: type[Exception], message: str
) -> None:
    (world.repo.base("trixie") / "pool/main/t/thing").mkdir(parents=True)
    sums = [f" {hashlib.sha256(data).hexdigest()} {len(data)} {name}" for name, data in files.items()]
    for name, data in files.items():
        if ".." not in name:
            (world.repo.base("trixie") / "pool/main/t/thing" / name).write_bytes(data)
    lines = ["Package: thing", "Version: 1.2-3", "Directory: pool/main/t/thing", "Checksums-Sha256:", *sums, ""]
    world.repo.sources["trixie"] = ["\n".join(lines)]
    world.repo.publish_all()
    with pytest.raises(error, match=message) as caught:
        patch_series(unpacked(world, tmp_path).values())
    assert "\n" not in str(caught.value)


def test_a_source_that_was_tampered_with_is_refused(world: World, tmp_path: Path) -> None:
    directory = world.repo.add_source("thing", "1.2-3", quilt())
    world.repo.publish_all()
    right = (directory / "thing_1.2.orig.tar.gz").read_bytes()
    (directory / "thing_1.2.orig.tar.gz").write_bytes(right[:-1] + b"!")
    with pytest.raises(TrustError, match="SHA-256"):
        unpacked(world, tmp_path)
    (directory / "thing_1.2.orig.tar.gz").write_bytes(right)
    unpacked(world, tmp_path)
    for rotten in (world.context.cache.root / "debian" / "pool").iterdir():
        rotten.write_bytes(b"!" * rotten.stat().st_size)
    with pytest.raises(TrustError, match="was damaged and has been removed"):
        unpacked(world, tmp_path)


def test_offline_without_the_index(world: World) -> None:
    with pytest.raises(NetworkError, match="Debian index for source is not in the cache"):
        SourceArchive.open(replace(world.context, offline=True))
