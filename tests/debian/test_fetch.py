"""Fetching packages from mirrors that fail: always right or one clear error, and nothing left behind."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from hullkit.cache import Cache
from hullkit.debian.archive import Archive
from hullkit.debian.fetch import fetch
from hullkit.debian.package import Package
from hullkit.errors import ConfigError, HostError, NetworkError, NotFound, TrustError
from tests.debian.conftest import World

BIG = random.Random(2).randbytes(600_000)


def packages(world: World, count: int = 3) -> tuple[Package, ...]:
    world.repo.add("big", files={"usr/lib/big": BIG})
    for i in range(count - 1):
        world.repo.add(f"small{i}", files={f"usr/lib/small{i}": random.Random(i).randbytes(20_000)})
    world.repo.publish_all()
    return Archive.open(world.context, "amd64").resolve(["big", *(f"small{i}" for i in range(count - 1))])


def complete(found: dict[str, Path], wanted: tuple[Package, ...]) -> bool:
    import hashlib

    return all(hashlib.sha256(found[p.sha256].read_bytes()).hexdigest() == p.sha256 for p in wanted)


def pool(world: World) -> list[str]:
    return [name for name in world.files() if name.startswith("debian/pool/")]


def test_fetch_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = packages(world)
    assert complete(fetch(world.context, wanted, what="a thing"), wanted)
    last = [event for event in world.events if event.kind == "progress"][-1]
    assert last.step == "fetch 3 Debian packages of a thing"
    assert last.current == last.total == sum(p.size for p in wanted)
    monkeypatch.setattr(socket, "socket", None)
    assert complete(fetch(world.context, wanted), wanted)
    assert complete(fetch(world.offline(), wanted), wanted)
    assert fetch(world.offline(), []) == {}


def test_offline_and_missing(world: World) -> None:
    wanted = packages(world)
    with pytest.raises(NetworkError, match=r"big 1\.0 \(amd64\) is not in the cache \(3 packages"):
        fetch(world.offline(), wanted)


def test_a_lock_needs_no_index(world: World, tmp_path: Path) -> None:
    wanted = tuple(Package.from_json(p.to_json()) for p in packages(world))
    elsewhere = replace(world.context, cache=Cache(tmp_path / "other"))
    world.mirror.requests.clear()
    assert complete(fetch(elsewhere, wanted), wanted)
    assert not any("/dists/" in path for path in world.mirror.paths())


@pytest.mark.parametrize(
    ("kind", "value", "times"),
    [
        ("drop", 150_000, 4),
        ("drop", 0, 2),
        ("stall", 200_000, 2),
        ("corrupt", 1000, 1),
        ("status", 503, 2),
        ("shorter", 100, 1),
        ("longer", 100, 1),
    ],
)
def test_passing_faults(world: World, kind: str, value: int, times: int) -> None:
    wanted = packages(world)
    world.mirror.fail("/big_", kind, value, times=times, seconds=0.9)
    if kind in ("shorter", "longer"):
        # A length that contradicts the signed index is no passing fault.
        with pytest.raises(TrustError):
            fetch(world.context, wanted)
        assert not [name for name in pool(world) if wanted[0].sha256 in name]
    else:
        assert complete(fetch(world.context, wanted), wanted)
    assert not world.strays()


@pytest.mark.parametrize(
    ("kind", "value", "error", "message"),
    [
        ("drop", 5000, NetworkError, "given up"),
        ("stall", 0, NetworkError, "given up"),
        ("corrupt", 1000, TrustError, "SHA-256"),
        ("status", 500, NetworkError, "500"),
        ("status", 403, NetworkError, "403"),
        ("status", 404, NotFound, "big 1.0"),
    ],
)
def test_lasting_faults(world: World, kind: str, value: int, error: type[Exception], message: str) -> None:
    wanted = packages(world)
    world.mirror.fail("/big_", kind, value, seconds=0.9)
    with pytest.raises(error, match=message) as caught:
        fetch(world.context, wanted)
    assert "\n" not in str(caught.value)
    assert not world.strays() and not [name for name in pool(world) if wanted[0].sha256 in name]
    # What came whole stays, and the next try gets the rest.
    world.mirror.faults.clear()
    assert complete(fetch(world.context, wanted), wanted)


def test_tampered_package(world: World) -> None:
    wanted = packages(world)
    path = world.repo.base("trixie") / wanted[0].path
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    with pytest.raises(TrustError, match="SHA-256"):
        fetch(world.context, wanted)
    assert not world.strays() and not [name for name in pool(world) if wanted[0].sha256 in name]


def test_snapshot_has_what_the_mirror_dropped(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = packages(world)
    (world.repo.base("trixie") / wanted[0].path).rename(world.repo.root / "kept.deb")
    monkeypatch.setenv("HULLKIT_DEBIAN_SNAPSHOT", f"{world.mirror.url}/archive")
    import time

    moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(wanted[0].time + 86400))
    kept = world.repo.root / "archive" / "debian" / moment / wanted[0].path
    kept.parent.mkdir(parents=True)
    (world.repo.root / "kept.deb").rename(kept)
    assert complete(fetch(world.context, wanted), wanted)
    fetched = [path for path in world.mirror.paths() if "/big_" in path]
    assert fetched[0].startswith("/debian/pool") and fetched[1].startswith("/archive/debian/")


def test_gone_everywhere(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = packages(world)
    (world.repo.base("trixie") / wanted[0].path).unlink()
    for snapshot in (f"{world.mirror.url}/archive", "http://127.0.0.1:1/unreachable"):
        monkeypatch.setenv("HULLKIT_DEBIAN_SNAPSHOT", snapshot)
        with pytest.raises(NotFound, match=r"big 1\.0 \(amd64\) is gone") as caught:
            fetch(world.context, wanted)
        assert "hullkit lock" in (caught.value.hint or "")


def test_security_packages_come_from_their_own_archive(world: World) -> None:
    world.repo.add("fixed", "2", suite="trixie-security")
    world.repo.publish_all()
    wanted = Archive.open(world.context, "amd64").resolve(["fixed"])
    fetch(world.context, wanted)
    assert world.mirror.paths()[-1].startswith("/debian-security/pool/")


def test_a_truncated_file_in_the_pool_is_fetched_again(world: World) -> None:
    wanted = packages(world)
    path = fetch(world.context, wanted)[wanted[0].sha256]
    path.write_bytes(path.read_bytes()[:100])
    assert complete(fetch(world.context, wanted), wanted)


def test_two_builds_fetch_each_package_once(world: World) -> None:
    wanted = packages(world, 6)
    world.mirror.requests.clear()
    threads = [threading.Thread(target=fetch, args=(world.context, wanted)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert complete(fetch(world.context, wanted), wanted)
    assert len(world.mirror.requests) == 6


@pytest.mark.parametrize("field", ["sha256", "path", "name", "size", "suite"])
def test_hostile_locks(world: World, field: str) -> None:
    good = packages(world)[0].to_json()
    values: list[object] = ["../../etc/passwd", "", "a/../../b", "x\ny", -5, None, 1.5, [], "/etc/passwd", ".hidden/x"]
    for bad in values:
        with pytest.raises(ConfigError):
            Package.from_json({**good, field: bad})
    with pytest.raises(ConfigError):
        Package.from_json({**good, "extra": 1})
    with pytest.raises(ConfigError):
        Package.from_json({key: value for key, value in good.items() if key != field})


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small file system")
def test_full_disk(world: World, tmp_path: Path) -> None:
    wanted = packages(world)
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(small)], capture_output=True)
    if mounted.returncode:
        pytest.skip("cannot mount here")
    try:
        context = replace(world.context, cache=Cache(small / "cache"))
        with pytest.raises(HostError, match="no space left"):
            fetch(context, wanted)
        left = [path for path in (small / "cache").rglob("*") if path.is_file() and "locks" not in path.parts]
        assert all(path.parent.name == "pool" for path in left)
        assert not list((small / "cache/tmp").iterdir())
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_killed_in_the_middle(world: World) -> None:
    """SIGKILL during a transfer: the next run sweeps what was left and succeeds."""
    wanted = packages(world)
    world.mirror.fail("/big_", "stall", 300_000, times=1, seconds=3)
    program = (
        "import sys, json; from pathlib import Path\n"
        "from hullkit.cache import Cache; from hullkit.context import Context\n"
        "from hullkit.debian.fetch import fetch; from hullkit.debian.package import Package\n"
        "cache, mirror, packages = json.loads(sys.argv[1])\n"
        "fetch(Context(Cache(Path(cache)), debian_mirror=mirror), [Package.from_json(p) for p in packages])\n"
    )
    import json
    import time

    argument = json.dumps(
        [str(world.context.cache.root), world.context.debian_mirror, [package.to_json() for package in wanted]]
    )
    child = subprocess.Popen([sys.executable, "-c", program, argument])
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and not any(path.stat().st_size for path in partials(world)):
        time.sleep(0.02)
    child.kill()
    child.wait()
    assert partials(world)
    again = replace(world.context, cache=Cache(world.context.cache.root))
    assert complete(fetch(again, wanted), wanted)
    assert not world.strays()


def partials(world: World) -> list[Path]:
    return list((world.context.cache.root / "tmp").glob("*/partial"))
