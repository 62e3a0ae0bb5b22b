"""The signed index: what is believed, what is refused, and when no socket is opened."""

from __future__ import annotations

import json
import lzma
import os
import socket
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

import hullkit.debian.archive
from hullkit.debian.archive import Archive
from hullkit.errors import ConfigError, HullError, NetworkError, NotFound, TrustError
from hullkit.events import Bus
from tests.debian.conftest import World
from tests.support.debrepo import DAY, Key

ONE = ("trixie",)


def simple(world: World) -> World:
    world.repo.add("hello", "1.0", depends="libhello (>= 1)")
    world.repo.add("libhello", "1:1.2-3", source="hello-src (1.2)")
    world.repo.publish_all()
    return world


def no_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object, **_kwargs: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)


def refused(world: World, error: type[HullError], match: str, suites: tuple[str, ...] = ONE) -> HullError:
    """Opening fails with one clear error and leaves nothing but what was there."""
    before = world.files()
    with pytest.raises(error, match=match) as caught:
        Archive.open(world.context, "amd64", suites, refresh=True)
    assert "\n" not in str(caught.value)
    # A signed Release counts as seen, and an index that was verified may stay, whatever goes wrong with the next one.
    left = set(world.files()) - set(before)
    assert not [name for name in left if not name.startswith(("debian/releases/", "debian/index/"))]
    assert not [name for name in left if name.startswith("debian/index/")] or len(suites) > 1
    return caught.value


def test_resolve(world: World) -> None:
    archive = Archive.open(simple(world).context, "amd64")
    hello, lib = archive.resolve(["hello"])
    assert (hello.name, hello.version, hello.arch, hello.suite) == ("hello", "1.0", "amd64", "trixie")
    assert (lib.source, lib.source_version, lib.version) == ("hello-src", "1.2", "1:1.2-3")
    assert lib.path == "pool/main/l/libhello/libhello_1.2-3_amd64.deb"
    assert abs(archive.time - time.time()) < 60 and lib.time <= archive.time
    assert archive.mirrors["trixie-security"] == f"{world.mirror.url}/debian-security"
    assert not archive.unverified


def test_newest_over_the_suites(world: World) -> None:
    world.repo.add("hello", "1.0-1")
    world.repo.add("hello", "1.0-1+deb13u1", suite="trixie-security")
    world.repo.add("other", "2")
    world.repo.add("other", "1", suite="trixie-updates")
    world.repo.publish_all()
    found = Archive.open(world.context, "amd64").resolve(["hello", "other"])
    assert [(p.version, p.suite) for p in found] == [("1.0-1+deb13u1", "trixie-security"), ("2", "trixie")]


def test_fetched_by_hash(world: World) -> None:
    simple(world)
    Archive.open(world.context, "amd64")
    assert sum("/by-hash/SHA256/" in path for path in world.mirror.paths()) == 2  # two are equal: empty
    assert not any(path.endswith("Packages.xz") for path in world.mirror.paths())


def test_without_by_hash(world: World) -> None:
    world.repo.add("hello")
    world.repo.publish("trixie", by_hash=False)
    assert len(Archive.open(world.context, "amd64", ONE).resolve(["hello"])) == 1


def test_a_fresh_index_opens_no_socket(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Archive.open(simple(world).context, "amd64")
    no_socket(monkeypatch)
    again = Archive.open(world.context, "amd64")
    assert again.id == first.id and again.resolve(["hello"]) == first.resolve(["hello"])
    assert Archive.open(world.offline(), "amd64").id == first.id


def test_the_id_changes_with_the_packages_only(world: World) -> None:
    first = Archive.open(simple(world).context, "amd64")
    world.repo.publish_all(date=time.time() + 5)
    second = Archive.open(world.context, "amd64", refresh=True)
    assert second.id == first.id and second.time > first.time
    world.repo.add("more")
    world.repo.publish_all(date=time.time() + 9)
    assert Archive.open(world.context, "amd64", refresh=True).id != first.id


def test_an_unchanged_index_is_not_fetched_again(world: World) -> None:
    Archive.open(simple(world).context, "amd64")
    world.mirror.requests.clear()
    Archive.open(world.context, "amd64", refresh=True)
    assert [path.rsplit("/", 1)[1] for path in world.mirror.paths()] == ["InRelease"] * 3


def test_an_old_index_is_asked_for_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    Archive.open(simple(world).context, "amd64")
    world.mirror.requests.clear()
    monkeypatch.setattr(hullkit.debian.archive, "FRESH", -1)
    Archive.open(world.context, "amd64")
    assert world.mirror.requests
    Archive.open(world.offline(), "amd64")


def test_offline_without_an_index(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    no_socket(monkeypatch)
    with pytest.raises(NetworkError, match="offline"):
        Archive.open(world.offline(), "amd64")


def test_offline_uses_an_expired_index(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.repo.add("hello")
    world.repo.publish("trixie", valid_for=3)
    Archive.open(world.context, "amd64", ONE)
    later = time.time() + DAY
    monkeypatch.setattr(time, "time", lambda: later)
    assert Archive.open(world.offline(), "amd64", ONE).resolve(["hello"])
    refused(world, TrustError, "expired")


def test_unknown_architecture(world: World) -> None:
    with pytest.raises(ConfigError, match="amd46"):
        Archive.open(world.context, "amd46")
    simple(world)
    with pytest.raises(NotFound, match="no packages for arm64"):
        Archive.open(world.context, "arm64")


def test_tampered_release(world: World) -> None:
    simple(world)
    path = world.repo.base("trixie") / "dists/trixie/InRelease"
    path.write_bytes(path.read_bytes().replace(b"Components: main", b"Components: pain"))
    refused(world, TrustError, "no good signature")


def test_signed_by_somebody_else(world: World) -> None:
    world.repo.add("hello")
    world.repo.publish("trixie", key=Key())
    refused(world, TrustError, "no good signature")


def test_unsigned(world: World) -> None:
    simple(world)
    path = world.repo.base("trixie") / "dists/trixie/InRelease"
    path.write_bytes(b"<html>Welcome to our hotspot</html>")
    refused(world, TrustError, "not a signed index")


@pytest.mark.parametrize("place", ["before", "after"])
def test_only_the_signed_text_counts(world: World, place: str) -> None:
    """Unsigned text around the signed part must not be read."""
    world.repo.add("hello")
    path = world.repo.publish("trixie")
    evil = b"SHA256:\n " + b"0" * 64 + b" 1 main/binary-amd64/Packages.xz\n"
    if place == "after":
        path.write_bytes(path.read_bytes() + b"\n" + evil)
        assert Archive.open(world.context, "amd64", ONE).resolve(["hello"])
    else:
        path.write_bytes(evil + path.read_bytes())
        refused(world, TrustError, "not a signed index")


def test_expired(world: World) -> None:
    world.repo.add("hello")
    world.repo.publish("trixie", date=time.time() - 10 * DAY, valid_for=7 * DAY)
    refused(world, TrustError, "expired 3.0 days ago")


def test_from_the_future(world: World) -> None:
    world.repo.add("hello")
    world.repo.publish("trixie", date=time.time() + 3 * DAY)
    refused(world, TrustError, "future")


def test_another_suite_in_its_place(world: World) -> None:
    world.repo.add("hello")
    world.repo.publish("trixie", codename="sid")
    refused(world, TrustError, "index of 'sid', not of 'trixie'")


def test_an_older_release_is_refused(world: World) -> None:
    simple(world)
    Archive.open(world.context, "amd64", ONE)
    world.repo.publish("trixie", date=time.time() - 2 * DAY)
    error = refused(world, TrustError, "older than the one")
    # The hint names the file that makes hullkit forget.
    path = next((world.context.cache.root / "debian/releases").glob("*-trixie.json"))
    assert str(path) in (error.hint or "")
    path.unlink()
    Archive.open(world.context, "amd64", ONE, refresh=True)


def test_an_older_release_is_refused_for_another_architecture_too(world: World) -> None:
    simple(world)
    Archive.open(world.context, "amd64", ONE)
    world.repo.arch = "arm64"
    world.repo.publish("trixie", date=time.time() - 2 * DAY)
    with pytest.raises(TrustError, match="older"):
        Archive.open(world.context, "arm64", ONE)


@pytest.mark.parametrize("how", ["corrupt", "longer", "shorter"])
def test_tampered_packages(world: World, how: str) -> None:
    simple(world)
    for file in (world.repo.base("trixie") / "dists/trixie/main/binary-amd64").rglob("*"):
        if file.is_file():
            data = file.read_bytes()
            changed = bytes([data[0] ^ 1]) + data[1:]
            file.write_bytes({"corrupt": changed, "longer": data + b"x", "shorter": data[:-1]}[how])
    refused(world, TrustError, "SHA-256|must have")


def test_packages_that_unpack_to_something_else(world: World) -> None:
    """The compressed file matches its digest, the content not the digest of the uncompressed one."""
    world.repo.add("hello")
    world.repo.publish("trixie", by_hash=False)
    release = world.repo.base("trixie") / "dists/trixie/InRelease"
    text = release.read_text().split("\n\n", 1)[1].split("-----BEGIN")[0]
    lines = [
        ("0" * 64 + line[65:]).join(" \0").rstrip("\0") if line.endswith("/Packages") else line
        for line in text.split("\n")
    ]
    release.write_bytes(world.repo.key.clearsign("\n".join(lines)))
    refused(world, TrustError, "uncompressed SHA-256")


def test_a_missing_suite_is_never_dropped(world: World) -> None:
    world.repo.add("hello")
    world.repo.publish("trixie")
    world.repo.publish("trixie-updates")
    error = refused(world, NotFound, "trixie-security is not at", hullkit.debian.archive.DEFAULT_SUITES)
    assert "HULLKIT_DEBIAN_SECURITY_MIRROR" in (error.hint or "")


def test_security_mirror_from_the_environment(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    simple(world)
    (world.repo.root / "debian-security").rename(world.repo.root / "elsewhere")
    monkeypatch.setenv("HULLKIT_DEBIAN_SECURITY_MIRROR", f"{world.mirror.url}/elsewhere/")
    archive = Archive.open(world.context, "amd64")
    assert archive.mirrors["trixie-security"] == f"{world.mirror.url}/elsewhere"


def mid_sync(world: World) -> None:
    """The index is newer than the Release that lists it, and by-hash does not have the old one."""
    world.repo.add("hello")
    world.repo.publish("trixie")
    directory = world.repo.base("trixie") / "dists/trixie/main/binary-amd64"
    for file in (directory / "by-hash/SHA256").iterdir():
        file.unlink()
    plain = (directory / "Packages").read_bytes().replace(b"Version: 1.0", b"Version: 1.1")
    (directory / "Packages").write_bytes(plain)
    (directory / "Packages.xz").write_bytes(lzma.compress(plain))


def test_a_mirror_in_mid_sync(world: World) -> None:
    mid_sync(world)
    error = refused(world, TrustError, "must (have|be)")
    assert "--allow-unverified-index amd64" in (error.hint or "")


def test_an_unverified_index_only_where_allowed_and_loudly(world: World) -> None:
    mid_sync(world)
    other = replace(world.context, unverified_indexes=frozenset({"arm64"}))
    with pytest.raises(TrustError):
        Archive.open(other, "amd64", ONE)
    allowed = replace(world.context, unverified_indexes=frozenset({"amd64"}))
    for run in (allowed, replace(allowed, bus=Bus([world.events.append]))):  # the second one from the cache
        world.events.clear()
        for _ in range(2):
            archive = Archive.open(run, "amd64", ONE)
            assert archive.unverified and archive.resolve(["hello"])[0].version == "1.1"
        assert sum(event.kind == "warning" for event in world.events) == 1, "once a run"
    # Without the option the cached one is not used, online or offline.
    with pytest.raises(TrustError):
        Archive.open(world.context, "amd64", ONE)
    with pytest.raises(NetworkError):
        Archive.open(world.offline(), "amd64", ONE)


def test_the_option_does_not_open_the_signature(world: World) -> None:
    world.repo.add("hello")
    world.repo.publish("trixie", key=Key())
    allowed = replace(world.context, unverified_indexes=frozenset({"amd64"}))
    with pytest.raises(TrustError, match="no good signature"):
        Archive.open(allowed, "amd64", ONE)


def test_a_verified_index_stays_verified_under_the_option(world: World) -> None:
    simple(world)
    allowed = replace(world.context, unverified_indexes=frozenset({"amd64"}))
    assert not Archive.open(allowed, "amd64", ONE).unverified
    assert not [event for event in world.events if event.kind == "warning"]


@pytest.mark.parametrize(
    "paragraph",
    [
        "Package: evil\nVersion: 1\nArchitecture: amd64\nFilename: ../../../etc/passwd\nSize: 1\nSHA256: " + "0" * 64,
        "Package: evil\nVersion: 1\nArchitecture: amd64\nFilename: /etc/passwd\nSize: 1\nSHA256: " + "0" * 64,
        "Package: evil\nVersion: 1\nArchitecture: amd64\nFilename: pool/x.deb\nSize: -1\nSHA256: " + "0" * 64,
        "Package: evil\nVersion: 1\nArchitecture: amd64\nFilename: pool/x.deb\nSize: 1\nSHA256: ../" + "0" * 61,
        "Package: evil\nVersion: 1\nArchitecture: amd64\nSize: 1",
    ],
)
def test_hostile_paragraphs(world: World, paragraph: str) -> None:
    world.repo.paragraphs["trixie"] = [paragraph + "\n"]
    world.repo.publish("trixie")
    archive = Archive.open(world.context, "amd64", ONE)
    with pytest.raises(TrustError, match="describes 'evil' badly"):
        archive.resolve(["evil"])


@pytest.mark.parametrize("text", ["no colon here", "Package: x\n", "Version: 1\n", "Package: \xff\nVersion: 1\n"])
def test_not_a_package_index(world: World, text: str) -> None:
    world.repo.paragraphs["trixie"] = [text]
    world.repo.publish("trixie")
    if text == "no colon here":
        assert Archive.open(world.context, "amd64", ONE).find("x") is None
    else:
        refused(world, TrustError, "not a package index")


def test_an_empty_index(world: World) -> None:
    world.repo.publish("trixie")
    archive = Archive.open(world.context, "amd64", ONE)
    with pytest.raises(NotFound, match="'nginx'"):
        archive.resolve(["nginx"])


def test_a_misspelt_package_gets_a_suggestion(world: World) -> None:
    with pytest.raises(NotFound) as caught:
        Archive.open(simple(world).context, "amd64").resolve(["helo"])
    assert "did you mean hello" in (caught.value.hint or "")


@pytest.mark.parametrize("fault", ["drop", "stall", "status"])
@pytest.mark.parametrize("where", ["InRelease", "by-hash"])
def test_a_mirror_that_breaks_off(world: World, fault: str, where: str) -> None:
    simple(world)
    world.mirror.fail(where, fault, 503 if fault == "status" else 10, seconds=0.8)
    refused(world, NetworkError, "given up")
    world.mirror.faults.clear()
    assert Archive.open(world.context, "amd64", ONE).resolve(["hello"])


def test_a_damaged_state_file_is_made_again(world: World) -> None:
    Archive.open(simple(world).context, "amd64", ONE)
    state = next((world.context.cache.root / "debian/state").iterdir())
    for text in ("", "{}", "[]", "null", '{"arch": "amd64"}', json.dumps({"suites": [{}]})):
        state.write_text(text)
        assert Archive.open(world.context, "amd64", ONE).resolve(["hello"])


def test_a_damaged_index_is_one_clear_error(world: World) -> None:
    Archive.open(simple(world).context, "amd64", ONE)
    names = next((world.context.cache.root / "debian/index").rglob("names"))
    names.write_bytes(names.read_bytes()[:-5])
    with pytest.raises(HullError, match="damaged"):
        Archive.open(world.context, "amd64", ONE).resolve(["hello"])


def test_unused_indexes_are_swept(world: World) -> None:
    Archive.open(simple(world).context, "amd64", ONE)
    old = next((world.context.cache.root / "debian/index").glob("*/*"))
    os.utime(old, (0, 0))
    world.repo.add("new")
    world.repo.publish("trixie", date=time.time() + 5)
    Archive.open(world.context, "amd64", ONE, refresh=True).resolve(["new"])
    assert not old.exists()
    # One that is in use but looks old is kept, whatever happens.
    kept = next((world.context.cache.root / "debian/index").glob("*/*"))
    os.utime(kept, (0, 0))
    assert Archive.open(world.context, "amd64", ONE, refresh=True).resolve(["new"])


def test_private_mirror_needs_a_readable_keyring(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    simple(world)
    monkeypatch.setenv("HULLKIT_DEBIAN_KEYRING", str(tmp_path / "none.gpg"))
    with pytest.raises(ConfigError, match=r"none\.gpg"):
        Archive.open(world.context, "amd64", ONE)
    (tmp_path / "bad.gpg").write_bytes(b"nonsense")
    monkeypatch.setenv("HULLKIT_DEBIAN_KEYRING", str(tmp_path / "bad.gpg"))
    with pytest.raises(ConfigError, match="not OpenPGP"):
        Archive.open(world.context, "amd64", ONE)
    # Debian's own keys say nothing about this mirror, and what another keyring verified is not used.
    monkeypatch.delenv("HULLKIT_DEBIAN_KEYRING")
    with pytest.raises(TrustError, match="no good signature"):
        Archive.open(world.context, "amd64", ONE)


def test_two_builds_ask_once(world: World) -> None:
    simple(world)
    ids: list[str] = []
    threads = [threading.Thread(target=lambda: ids.append(Archive.open(world.context, "amd64").id)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids) == 4 and len(set(ids)) == 1
    assert sum(path.endswith("InRelease") for path in world.mirror.paths()) == 3


def test_a_mirror_on_a_disk(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    simple(world)
    no_socket(monkeypatch)
    context = replace(world.context, debian_mirror=f"file://{world.repo.root}/debian")
    assert len(Archive.open(context, "amd64").resolve(["hello"])) == 2
