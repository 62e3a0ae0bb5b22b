"""hullkit cache, and builds with images from a registry, as a person calls them."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from hullkit.build.locking import codecs, image_digests
from hullkit.cache import Cache
from hullkit.config.load import load
from hullkit.context import Context
from hullkit.errors import NotFound
from hullkit.lock.lock import Pins, write_lock
from hullkit.oci.image import Image
from hullkit.oci.store import Store
from tests.oci.images import CONFIG, file, image_of, layer_of, tar_of
from tests.support.registryproxy import proxying
from tests.support.served import Served, serving


@dataclass
class World:
    """A registry with ``lab/x:v1`` for amd64 and arm64, and a directory with an empty cache."""

    served: Served
    directory: Path
    remote: Store
    amd: Image
    root: str

    @property
    def name(self) -> str:
        return f"{self.served.host}/lab/x:v1"

    def call(self, *words: str, stdin: bytes = b"", **env: str) -> tuple[int, str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("HULLKIT", "LINUXKIT"))}
        environment = {**kept, "DOCKER_CONFIG": str(self.directory), "HULLKIT_CACHE": str(self.directory / "c"), **env}
        command = [sys.executable, "-m", "hullkit", *words]
        done = subprocess.run(
            command, cwd=self.directory, env=environment, input=stdin, capture_output=True, timeout=60
        )
        return done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode()

    def ok(self, *words: str, stdin: bytes = b"", **env: str) -> str:
        code, out, err = self.call(*words, stdin=stdin, **env)
        assert code == 0, err
        return out

    def refused(self, code: int, *words: str, **env: str) -> str:
        got, out, err = self.call(*words, **env)
        assert got == code and not out, (got, out, err)
        message = err.splitlines()[-1]
        assert message.startswith("hullkit: error: ") and "Traceback" not in err
        return message

    def listed(self) -> list[dict[str, object]]:
        found: list[dict[str, object]] = json.loads(self.ok("cache", "ls", "--json"))
        return found


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    directory = tmp_path / "work"
    directory.mkdir()
    remote = Store(Cache(tmp_path / "remote"))
    with serving() as served:
        amd = image_of(remote, [file("etc/arch", b"amd64")])
        layer = layer_of(remote, tar_of([file("etc/arch", b"arm64")]))
        arm = remote.add_image({**CONFIG, "architecture": "arm64"}, [layer])
        root = served.index("lab/x", [served.image("lab/x", each) for each in (amd, arm)], "v1")
        yield World(served, directory, remote, amd, root["digest"])


def test_pull_ls_rm(world: World) -> None:
    assert world.listed() == []
    world.ok("cache", "pull", "--arch", "amd64", world.name)
    world.ok(
        "cache", "pull", "--platform", "linux/arm64", "lab/x:v1", "--mirror", f"docker.io=http://{world.served.host}"
    )
    first, second = world.listed()
    assert (first["name"], first["arch"], first["digest"]) == (world.name, "amd64", world.amd.digest)
    assert (second["name"], second["arch"], second["root"]) == ("docker.io/lab/x:v1", "arm64", world.root)
    size = sum(world.remote.blob(each).stat().st_size for each in _blobs(world.amd))
    assert first["bytes"] == size
    table = world.ok("cache", "ls").splitlines()
    assert table[0].split() == ["NAME", "ARCH", "BYTES", "ROOT", "DIGEST"] and table[1].split()[-1] == world.root
    world.ok("cache", "rm", world.name)
    assert [each["name"] for each in world.listed()] == ["docker.io/lab/x:v1"]
    assert "no image" in world.refused(3, "cache", "rm", world.name)


def _blobs(image: Image) -> list[str]:
    return [image.digest, str(image.manifest["config"]["digest"]), *(each.descriptor.digest for each in image.layers)]


def test_only_what_is_published_goes(world: World) -> None:
    world.ok("cache", "pull", "--arch", "amd64", world.name)
    world.ok("cache", "export", "--arch", "amd64", world.name, "--outfile", "x.tar")
    world.ok("cache", "import", "x.tar", "--name", f"{world.served.host}/lab/mine:v1")
    world.ok("cache", "clean", "--published-only")
    assert [each["name"] for each in world.listed()] == [f"{world.served.host}/lab/mine:v1"]
    code, _, err = world.call("cache", "clean")
    assert code == 0 and "images:" in err
    assert world.listed() == []


@pytest.mark.parametrize("variable", ["HULLKIT_MIRROR", "LINUXKIT_MIRROR"])
def test_mirrors_from_the_environment(world: World, variable: str) -> None:
    value = f"quay.io=http://127.0.0.1:1 , docker.io=http://{world.served.host}"
    world.ok("cache", "pull", "--arch", "amd64", "lab/x:v1", **{variable: value})
    world.refused(4, "cache", "pull", "lab/x:v1", "--mirror", "docker.io=http://127.0.0.1:1", **{variable: value})
    assert "--mirror" in world.refused(2, "cache", "ls", "--mirror", "nonsense")


@pytest.mark.parametrize("kind", ["oci", "docker", "filesystem"])
def test_exports(world: World, kind: str) -> None:
    words = ["cache", "export", "--arch", "amd64", world.name, "--format", kind, "--outfile"]
    assert "hullkit cache pull" in world.refused(3, *words, "x.tar")
    assert not (world.directory / "x.tar").exists()
    world.ok("cache", "pull", "--arch", "amd64", world.name)
    world.ok(*words, "x.tar", "--name", "lab/other:v2")
    with tarfile.open(world.directory / "x.tar") as tar:
        names = tar.getnames()
    expected = {"oci": "oci-layout", "docker": "manifest.json", "filesystem": "etc/arch"}[kind]
    assert expected in names
    if kind != "filesystem":
        world.ok("cache", "import", "-", stdin=(world.directory / "x.tar").read_bytes())
        assert "docker.io/lab/other:v2" in [each["name"] for each in world.listed()]


def test_export_of_several_platforms(world: World) -> None:
    world.ok("cache", "pull", "--all-platforms", world.name)
    words = [
        "cache",
        "export",
        world.name,
        "--platform",
        "linux/amd64",
        "--platform",
        "linux/arm64",
        "--outfile",
        "x.tar",
    ]
    world.ok(*words)
    assert "one platform" in world.refused(2, *words, "--format", "docker")
    assert "one image" in world.refused(2, *words, "--format", "filesystem")
    world.ok("cache", "clean")
    world.ok("cache", "import", "x.tar")
    assert [each["arch"] for each in world.listed()] == ["amd64", "arm64"]


def test_interrupted_pulls_leave_nothing_but_what_goes_on(world: World) -> None:
    image = image_of(world.remote, [file("big", random.Random(1).randbytes(3_000_000))])
    world.served.image("lab/big", image, "v1")
    with proxying(world.served.host) as proxy:
        proxy.harm(image.layers[0].descriptor.digest, "stall", 1_000_000, seconds=20)
        command = [sys.executable, "-m", "hullkit", "cache", "pull", "--arch", "amd64", f"{proxy.host}/lab/big:v1"]
        environment = {**os.environ, "HULLKIT_CACHE": str(world.directory / "c")}
        running = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        while sum(proxy.sent.values()) < 1_000_000:
            time.sleep(0.05)
        begun = time.monotonic()
        running.send_signal(signal.SIGINT)
        assert running.wait(20) == 130 and time.monotonic() - begun < 5
        assert running.stderr and running.stderr.read().splitlines()[-1] == "hullkit: interrupted"
    assert world.listed() == [] and not list((world.directory / "c/tmp").iterdir())
    assert len(list((world.directory / "c/partial").iterdir())) == 1


def test_options_that_exclude_each_other(world: World) -> None:
    world.refused(2, "cache", "pull", "x", "--platform", "linux/amd64", "--all-platforms")
    world.refused(2, "cache", "push", "x", "y", "--remote-name", "z")
    world.refused(2, "cache", "export", "x", "y", "--name", "z", "--outfile", "-")
    world.refused(2, "cache", "export", "x")
    world.refused(2, "cache", "import", "none.tar")
    world.refused(2, "cache", "pull", "x", "--cert-file", "none.pem")


def test_help_is_quick_and_whole(world: World) -> None:
    out = world.ok("cache", "--help")
    for command in ("ls", "pull", "push", "rm", "clean", "import", "export"):
        assert f"\n  {command} " in out


# -- builds


def build(world: World, *words: str) -> list[str]:
    return ["build", "--arch", "amd64", "--format", "tar", "--o", "out.tar", *words, "a.yml"]


def yml(world: World, image: str) -> None:
    (world.directory / "a.yml").write_text(f"services:\n  - name: x\n    image: {image}\n")


def content(world: World) -> bytes:
    with tarfile.open(world.directory / "out.tar") as tar:
        (name,) = (name for name in tar.getnames() if name.endswith("/etc/arch"))
        stream = tar.extractfile(name)
        assert stream
        return stream.read()


def test_a_build_pulls_once(world: World) -> None:
    yml(world, world.name)
    message = world.refused(4, *build(world, "--offline"))
    assert "a.yml:3:12: the image" in message and "--offline" in message
    assert not (world.directory / "out.tar").exists()
    world.ok(*build(world))
    assert content(world) == b"amd64"
    before = len(world.served.requests)
    world.ok(*build(world, "--offline"))
    world.ok(*build(world))
    assert len(world.served.requests) == before
    world.ok(*build(world, "--pull"))
    assert len(world.served.requests) > before


def test_a_moved_tag_is_seen_with_pull(world: World) -> None:
    yml(world, world.name)
    world.ok(*build(world))
    world.served.image("lab/x", image_of(world.remote, [file("etc/arch", b"new")]), "v1")
    world.ok(*build(world))
    assert content(world) == b"amd64"
    world.ok(*build(world, "--pull"))
    assert content(world) == b"new"


def test_an_image_that_is_not_there(world: World) -> None:
    yml(world, f"{world.served.host}/lab/none:v1")
    assert "a.yml:3:12: " in world.refused(3, *build(world))
    yml(world, "lab/none:v1")
    assert "a.yml:3:12: " in world.refused(4, *build(world, "--mirror", "docker.io=http://127.0.0.1:1"))


def test_an_image_that_fails_ends_the_others(world: World) -> None:
    image = image_of(world.remote, [file("big", random.Random(1).randbytes(3_000_000))])
    world.served.image("lab/big", image, "v1")
    with proxying(world.served.host) as proxy:
        proxy.harm(image.layers[0].descriptor.digest, "stall", 1_000_000, seconds=20)
        proxy.harm("lab/none", "delay", seconds=1.0)
        (world.directory / "a.yml").write_text(f"init:\n  - {proxy.host}/lab/big:v1\n  - {proxy.host}/lab/none:v1\n")
        begun = time.monotonic()
        assert "a.yml:3:5: " in world.refused(3, *build(world))
        assert time.monotonic() - begun < 10


def test_a_locked_build_uses_the_digest(world: World) -> None:
    yml(world, world.name)
    context = Context(Cache(world.directory / "c"), arch="amd64")
    config = load([str(world.directory / "a.yml")])
    digests = image_digests(context, config)
    assert digests == {world.name: world.root}
    write_lock(world.directory / "a.lock", "amd64", Pins(codecs=codecs()))
    assert f"the image {world.name} is not locked" in world.refused(8, *build(world, "--locked"))
    write_lock(world.directory / "a.lock", "amd64", Pins(codecs=codecs(), images=digests))
    world.served.image("lab/x", image_of(world.remote, [file("etc/arch", b"new")]), "v1")
    world.ok(*build(world, "--locked"))
    assert content(world) == b"amd64"
    world.ok(*build(world, "--locked", "--offline"))
    (world.directory / "a.lock").unlink()
    world.ok(*build(world))
    assert content(world) == b"new"


def test_locking_offline_takes_what_the_cache_has(world: World) -> None:
    yml(world, world.name)
    context = Context(Cache(world.directory / "c"), arch="amd64", offline=True)
    config = load([str(world.directory / "a.yml")])
    with pytest.raises(Exception, match="--offline"):
        image_digests(context, config)
    world.ok("cache", "pull", "--arch", "amd64", world.name)
    assert image_digests(context, config) == {world.name: world.root}
    yml(world, f"{world.name}@{world.root}")
    assert image_digests(context, load([str(world.directory / "a.yml")])) == {}
    yml(world, f"{world.served.host}/lab/none")
    with pytest.raises(NotFound, match=r"none:latest is not in the registry") as caught:
        image_digests(replace(context, offline=False), load([str(world.directory / "a.yml")]))
    assert caught.value.where
