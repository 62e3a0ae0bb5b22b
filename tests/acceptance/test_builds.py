"""What a build promises: the same bytes, no traces, no network when told so, nothing lost when killed."""

from __future__ import annotations

import os
import random
import shutil
import signal
import tarfile
import time
from pathlib import Path

import pytest

from tests.support.command import Hullkit, digests, strays
from tests.support.user import CHECKOUT, User

pytestmark = [pytest.mark.net]
FORMATS = "kernel+initrd,tar,oci"
#: every format that a system with hullkit's init has; those of a disk have names of kernel+initrd's, so apart
EVERY_FORMAT = ("kernel+initrd,tar,oci,tar-kernel-initrd", "kernel+erofs,iso-efi")
EXAMPLES = sorted(path.name for path in (CHECKOUT / "examples").glob("*.yml"))


@pytest.fixture(params=EXAMPLES)
def example(request: pytest.FixtureRequest) -> str:
    """Each example; where it needs images in a registry, they are there."""
    name: str = request.param
    if name == "linuxkit.yml":
        request.getfixturevalue("linuxkit_images")
    return name


def build(hullkit: Hullkit, directory: Path, example: str, *words: str, **options: object) -> dict[str, str]:
    arguments = ["build", "--format", FORMATS, "--dir", directory, *words, hullkit.checkout / "examples" / example]
    hullkit.ok(*arguments, **options)  # type: ignore[arg-type]
    return digests(directory)


def build_all(hullkit: Hullkit, directory: Path, example: str, *words: str, **options: object) -> dict[str, str]:
    """Digests of all that an example can be built into."""
    found = {}
    for formats in EVERY_FORMAT[: 1 if example == "linuxkit.yml" else 2]:
        place = directory / formats.partition(",")[0]
        arguments = ["build", "--format", formats, "--dir", place, *words, hullkit.checkout / "examples" / example]
        hullkit.ok(*arguments, **options)  # type: ignore[arg-type]
        found.update({f"{place.name}/{name}": digest for name, digest in digests(place).items()})
    return found


def test_same_bytes_whatever_the_surroundings(hullkit: Hullkit, user: User, example: str) -> None:
    """Another directory, umask, time zone, locale, number of cores, and a cache that starts with nothing built."""
    first = build_all(hullkit, user.directory("first"), example, env={"TZ": "UTC", "LC_ALL": "C"})
    second = build_all(
        hullkit.beside(user.directory("other cache")),
        user.directory("second"),
        example,
        env={"TZ": "Asia/Kathmandu", "LC_ALL": "de_DE.UTF-8", "TMPDIR": str(user.directory("tmp"))},
        preexec_fn=lambda: (os.umask(0o077), os.sched_setaffinity(0, {0})),
    )
    assert first == second
    assert len(first) == (6 if example == "linuxkit.yml" else 11)


@pytest.mark.boot
def test_a_release_is_smaller_in_both_layouts_and_boots(hullkit: Hullkit, user: User) -> None:
    tiny = hullkit.checkout / "examples" / "tiny.yml"
    for layout, least in (("packed", 0.95), ("flat", 0.98)):
        sizes = []
        for words in ((), ("--release",)):
            out = user.directory(f"{layout} {len(words)}")
            hullkit.ok("build", "--dir", out, "--layout", layout, *words, tiny)
            sizes.append((out / "tiny-initrd.img").stat().st_size)
        assert sizes[1] < least * sizes[0], (layout, sizes)
    code, report = hullkit.report("--release", "--format", "kernel+erofs", tiny)
    assert (code, report["ok"]) == (0, True), report["message"]


def test_a_system_chooses_modules_of_its_kernel(hullkit: Hullkit, user: User) -> None:
    folder = user.directory("modules")
    tiny = hullkit.checkout / "examples" / "tiny.yml"
    one = user.write(folder / "one.yml", "kernel: {profile: virtio, modules: [bridge]}\n")
    two = user.write(folder / "two.yml", "kernel: {modules: [vfat, nowhere?]}\n")
    hullkit.ok("build", "--format", "tar", "--layout", "flat", "--dir", folder, "--name", "own", tiny, one, two)
    with tarfile.open(folder / "own.tar") as archive:
        names = {path.rpartition("/")[2].partition(".")[0] for path in archive.getnames() if ".ko" in path}
    assert {"bridge", "stp", "vfat", "fat", "virtio_net"} <= names
    assert not names & {"libata", "ahci"}  # of qemu's profile
    three = user.write(folder / "three.yml", "kernel: {modules: [nowhere]}\n")
    assert "the system wants the module nowhere" in hullkit.refused("build", "--dir", folder, tiny, three)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_same_bytes_for_another_user(hullkit: Hullkit, user: User) -> None:
    first = build_all(hullkit, user.directory("mine"), "tiny.yml")
    somebody = User.make(user.uid + 1)
    try:
        other = Hullkit(somebody, somebody.directory("cache"), hullkit.checkout)
        assert build_all(other, somebody.directory("theirs"), "tiny.yml") == first
    finally:
        shutil.rmtree(somebody.home)


def test_offline_and_locked_gives_the_same_again(hullkit: Hullkit, user: User, example: str) -> None:
    lock = user.directory("locked") / "the.lock"
    hullkit.ok("lock", "--lock-file", lock, hullkit.checkout / "examples" / example)
    locked = ("--locked", "--lock-file", str(lock))
    first = build_all(hullkit, user.directory("online"), example, *locked)
    assert first == build_all(hullkit.without_network(), user.directory("offline"), example, "--offline", *locked)


def test_killed_ten_times_then_right(hullkit: Hullkit, user: User) -> None:
    wanted = build(hullkit, user.directory("unharmed"), "web.yml")
    cache, out = user.directory("killed cache"), user.directory("killed out")
    victim = hullkit.beside(cache)
    chance = random.Random(20170418)
    words = victim.argv("build", "--format", FORMATS, "--dir", out, hullkit.checkout / "examples/web.yml")
    for _ in range(10):
        process = user.start(words, env=victim.environment(), stdout=-3, stderr=-3)
        time.sleep(chance.uniform(0.1, 4.0))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert build(victim, out, "web.yml") == wanted
    assert not strays(cache)


def test_two_builds_at_once(hullkit: Hullkit, user: User) -> None:
    wanted = build(hullkit, user.directory("alone"), "tiny.yml")
    cache = user.directory("shared cache")
    both = hullkit.beside(cache)
    started = [
        user.start(
            both.argv(
                "build", "--format", FORMATS, "--dir", user.directory(name), hullkit.checkout / "examples/tiny.yml"
            ),
            env=both.environment(),
            stdout=-3,
            stderr=-3,
        )
        for name in ("left", "right")
    ]
    assert [process.wait(timeout=900) for process in started] == [0, 0]
    assert digests(user.home / "left") == digests(user.home / "right") == wanted
    assert not strays(cache)


def test_a_full_disk_is_one_clear_error(hullkit: Hullkit, user: User) -> None:
    """The output directory is a file system of 4 MB: too small for any system."""
    script = (
        'mount -t tmpfs -o size=4m tmpfs "$1" && "$2" build --offline --dir "$1" "$3"; '
        'code=$?; ls -A "$1" >&2; exit $code'
    )
    build(hullkit, user.directory("fits"), "tiny.yml")
    mount = user.directory("full")
    done = user.run(
        [
            "unshare",
            "-rm",
            "sh",
            "-c",
            script,
            "sh",
            mount,
            hullkit.checkout / "hullkit",
            hullkit.checkout / "examples/tiny.yml",
        ],
        env=hullkit.environment(),
    )
    lines = done.stderr.strip().splitlines()
    assert done.returncode == 7, done.stderr
    assert "no space left" in lines[-1], lines


def test_a_changed_line_is_quick_in_bytes(hullkit: Hullkit, user: User) -> None:
    """A changed line of files: makes one new image; every other one is taken from the cache."""
    text = (hullkit.checkout / "examples/web.yml").read_text()
    config = user.write(user.directory("changed") / "web.yml", text)
    hullkit.ok("build", "--dir", user.directory("before"), config)
    images = set((hullkit.cache / "steps" / "erofs").iterdir())
    config.write_text(text.replace("cannot be written", f"cannot be written {time.time_ns()}"))
    hullkit.ok("build", "--dir", user.directory("after"), config)
    assert len(set((hullkit.cache / "steps" / "erofs").iterdir()) - images) == 1
    assert digests(user.home / "before")["web-initrd.img"] != digests(user.home / "after")["web-initrd.img"]
