"""Pulling and pushing with Debian's docker-registry, checked by skopeo; and through a proxy that does harm."""

from __future__ import annotations

import base64
import hashlib
import json
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hullkit.cache import Cache
from hullkit.component.tools import DebianTools
from hullkit.context import Context, Registries
from hullkit.errors import ConfigError, HullError, NetworkError, NotFound, TrustError
from hullkit.hosttools.run import Finished, run
from hullkit.net import Policy
from hullkit.oci.image import LAYER, Image, Layer
from hullkit.oci.index import Platform
from hullkit.oci.layers import flatten
from hullkit.oci.pull import pull, pull_platforms
from hullkit.oci.push import push
from hullkit.oci.reference import Reference
from hullkit.oci.registry import Client
from hullkit.oci.store import Store
from tests.oci.images import CONFIG, file, image_of, layer_of, tar_of
from tests.support.registry import PASSWORD, USER, Registry, make_certificate, registry
from tests.support.registryproxy import Proxy, proxying
from tests.support.tokens import Tokens

pytestmark = pytest.mark.net
QUICK = Policy(attempts=4, backoff=0.01, backoff_max=0.05, connect_timeout=2, read_timeout=1, deadline=60)
BIG = 3_000_000


@pytest.fixture(scope="module")
def tooled(warm_cache: Path) -> Context:
    plain = Context(Cache(warm_cache), arch="amd64")
    return replace(plain, tools=DebianTools(plain))


@pytest.fixture(scope="module")
def plain(tooled: Context, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry for everybody; each test uses repositories of its own."""
    with registry(tooled, tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture(autouse=True)
def no_logins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context(Cache(tmp_path / "cache"), arch="amd64", jobs=4)


@pytest.fixture
def other(context: Context) -> Context:
    """Another empty cache."""
    return replace(context, cache=Cache(context.cache.root.parent / "other"))


@pytest.fixture
def repository(request: pytest.FixtureRequest) -> str:
    return "lab/" + hashlib.sha256(request.node.name.encode()).hexdigest()[:12]


def log_in(tmp_path: Path, host: str, user: str = USER, password: str = PASSWORD) -> None:
    (tmp_path / "docker").mkdir(exist_ok=True)
    auth = base64.b64encode(f"{user}:{password}".encode()).decode()
    (tmp_path / "docker/config.json").write_text(json.dumps({"auths": {host: {"auth": auth}}}))


def named(context: Context, name: str, *layers: list[Any]) -> Image:
    """An image of the store with a name."""
    image = image_of(Store(context.cache), *layers)
    Store(context.cache).tag(str(Reference.parse(name)), "amd64", image.digest)
    return image


def noise(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def sent(context: Context, name: str, remote: str = "", **options: bool) -> str | None:
    with Client(context, policy=QUICK) as client:
        return push(client, Reference.parse(name), Reference.parse(remote or name), **options)


def fetched(context: Context, name: str, arch: str = "amd64") -> Image:
    with Client(context, policy=QUICK) as client:
        return pull(client, Reference.parse(name), arch)


def content(context: Context, image: Image) -> dict[str, bytes]:
    tree = flatten(context, image.store, image)
    return {each.path: b"".join(each.content.chunks()) for each in tree.entries() if each.content}


def skopeo(tooled: Context, *words: str, check: bool = True) -> Finished:
    return run(tooled, tooled.tools.get("skopeo"), [*words], check=check)


def strays(context: Context) -> list[Path]:
    return [path for part in ("tmp", "partial") for path in (context.cache.root / part).glob("*")]


# -- with an honest registry


def test_push_and_pull(tooled: Context, plain: Registry, context: Context, other: Context, repository: str) -> None:
    name = f"{plain.host}/{repository}:v1"
    image = named(context, name, [file("a", noise(100_000))], [file("b", b"2")])
    assert sent(context, name, arch_tags=True) == image.digest
    told = json.loads(skopeo(tooled, "inspect", "--tls-verify=false", f"docker://{name}").stdout)
    assert told["Digest"] == image.digest and told["Architecture"] == "amd64"
    assert set(told["RepoTags"]) == {"v1", "v1-amd64"}
    copy = other.cache.path("copy", "x").parent
    skopeo(tooled, "copy", "--insecure-policy", "--src-tls-verify=false", f"docker://{name}", f"dir:{copy}")
    got = fetched(other, name)
    assert got.digest == image.digest
    assert content(other, got) == {"a": noise(100_000), "b": b"2"}
    assert not strays(context) and not strays(other)


def test_what_skopeo_pushes(
    tooled: Context, plain: Registry, context: Context, other: Context, repository: str
) -> None:
    image = named(context, "x", [file("a", b"1")])
    from hullkit.oci.export import export_layout

    archive = context.cache.path("layout.tar")
    with open(archive, "wb") as stream:
        export_layout([("x", image)], stream)
    for form in ("oci", "v2s2"):
        name = f"{plain.host}/{repository}:{form}"
        words = ["copy", "--insecure-policy", "--dest-tls-verify=false", "--format", form]
        skopeo(tooled, *words, f"oci-archive:{archive}", f"docker://{name}")
        assert content(other, fetched(other, name)) == {"a": b"1"}


def test_a_second_push_sends_no_blob(plain: Registry, context: Context, repository: str) -> None:
    with proxying(plain.host) as proxy:
        name = f"{proxy.host}/{repository}:v1"
        named(context, name, [file("a", noise(100_000))])
        sent(context, name)
        before = sum(proxy.received.values())
        sent(context, name, f"{proxy.host}/{repository}:v2")
        assert sum(proxy.received.values()) - before < 2000


def test_blobs_are_mounted_from_another_repository(plain: Registry, context: Context, repository: str) -> None:
    with proxying(plain.host) as proxy:
        name = f"{proxy.host}/{repository}:v1"
        named(context, name, [file("a", noise(100_000))])
        sent(context, name)
        before = sum(proxy.received.values())
        sent(context, name, f"{proxy.host}/{repository}-copy:v1")
        assert sum(proxy.received.values()) - before < 2000
        assert any("mount=" in path for _, path, _ in proxy.requests)


def test_an_index(tooled: Context, plain: Registry, context: Context, other: Context, repository: str) -> None:
    name = f"{plain.host}/{repository}:v1"
    store = Store(context.cache)
    images = {}
    for arch in ("amd64", "arm64"):
        layer = layer_of(store, tar_of([file("arch", arch.encode())]))
        images[arch] = store.add_image({**CONFIG, "architecture": arch}, [layer])
        store.tag(name, arch, images[arch].digest)
    root = sent(context, name, arch_tags=True)
    raw = json.loads(skopeo(tooled, "inspect", "--raw", "--tls-verify=false", f"docker://{name}").stdout)
    assert [each["platform"]["architecture"] for each in raw["manifests"]] == ["amd64", "arm64"]
    for arch, image in images.items():
        assert fetched(other, name, arch).digest == image.digest
        assert fetched(other, f"{name}-{arch}", arch).digest == image.digest
    assert {each.root for each in Store(other.cache).names() if each.name == name} == {root}
    # All of the index is there now: it goes on with its digest.
    assert sent(other, name, f"{plain.host}/{repository}:copy") == root


def test_pull_all_platforms_and_push_them(plain: Registry, context: Context, other: Context, repository: str) -> None:
    name = f"{plain.host}/{repository}:v1"
    store = Store(context.cache)
    for arch in ("amd64", "riscv64"):
        layer = layer_of(store, tar_of([file("arch", arch.encode())]))
        store.tag(name, arch, store.add_image({**CONFIG, "architecture": arch}, [layer]).digest)
    root = sent(context, name)
    with Client(other, policy=QUICK) as client:
        assert pull_platforms(client, Reference.parse(name), [Platform.parse("linux/riscv64")]).digest == root
        assert [each.arch for each in Store(other.cache).names()] == ["riscv64"]
        pull_platforms(client, Reference.parse(name), None)
    assert [each.arch for each in Store(other.cache).names()] == ["amd64", "riscv64"]


def test_a_tag_that_exists(plain: Registry, context: Context, other: Context, repository: str) -> None:
    name = f"{plain.host}/{repository}:v1"
    first = named(context, name, [file("a", b"1")])
    assert sent(context, name) == first.digest
    assert sent(context, name) == first.digest, "the same again is no conflict"
    second = named(context, name, [file("a", b"2")])
    assert sent(context, name) is None
    assert fetched(other, name).digest == first.digest
    assert sent(context, name, override=True) == second.digest
    assert fetched(other, name).digest == second.digest


def test_override_keeps_images_of_other_platforms(
    plain: Registry, context: Context, other: Context, repository: str
) -> None:
    name = f"{plain.host}/{repository}:v1"
    store = Store(context.cache)
    digests = {}
    for arch in ("amd64", "arm64"):
        layer = layer_of(store, tar_of([file("arch", arch.encode())]))
        digests[arch] = store.add_image({**CONFIG, "architecture": arch}, [layer]).digest
        store.tag(name, arch, digests[arch])
    sent(context, name)
    new = named(other, name, [file("new")])
    sent(other, name, override=True)
    third = replace(context, cache=Cache(context.cache.root.parent / "third"))
    assert fetched(third, name).digest == new.digest
    assert fetched(third, name, "arm64").digest == digests["arm64"]


@pytest.mark.parametrize("remote", ["x@sha256:" + "0" * 64, "x:v1@sha256:" + "0" * 64])
def test_only_tags_are_pushed_to(context: Context, remote: str) -> None:
    named(context, "x", [file("a")])
    with pytest.raises(ConfigError, match="to a tag"):
        sent(context, "x", remote)
    with pytest.raises(NotFound, match="no image docker"):
        sent(context, "other")


# -- who may


def test_login(tooled: Context, context: Context, other: Context, tmp_path: Path) -> None:
    with registry(tooled, tmp_path / "registry", login=True) as locked:
        name = f"{locked.host}/a/b:v1"
        image = named(context, name, [file("a")])
        with pytest.raises(NetworkError, match="wants a login"):
            sent(context, name)
        log_in(tmp_path, locked.host, password="wrong")
        with pytest.raises(NetworkError, match=f"refuses the login of {USER}") as caught:
            sent(context, name)
        assert "wrong" not in str(caught.value)
        log_in(tmp_path, locked.host)
        assert sent(context, name) == image.digest
        assert fetched(other, name).digest == image.digest


def test_tls(tooled: Context, context: Context, other: Context, tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)
    with registry(tooled, tmp_path / "registry", tls=(certificate, key)) as secure:
        name = f"{secure.host}/a/b:v1"
        image = named(context, name, [file("a")])
        with pytest.raises(NetworkError, match=r"not trusted.*--cert-file"):
            sent(context, name)
        trusting = Registries({"docker.io": f"https://{secure.host}"}, (certificate,))
        assert sent(replace(context, registries=trusting), name) == image.digest
        assert fetched(replace(other, registries=trusting), name).digest == image.digest
        assert fetched(replace(other, registries=trusting), "a/b:v1").digest == image.digest


def test_tokens(plain: Registry, context: Context, other: Context, tmp_path: Path, repository: str) -> None:
    tokens = Tokens(uses=4, logins={USER: PASSWORD})
    with proxying(plain.host, tokens) as proxy:
        name = f"{proxy.host}/{repository}:v1"
        image = named(context, name, *([file(letter, noise(50_000, ord(letter)))] for letter in "abcdef"))
        with pytest.raises(NetworkError):
            sent(replace(context, jobs=1), name)
        log_in(tmp_path, proxy.host)
        assert sent(replace(context, jobs=1), name) == image.digest
        assert any(user == USER and f"repository:{repository}:pull,push" in scopes for user, scopes in tokens.asked)
        (tmp_path / "docker/config.json").unlink()
        assert fetched(replace(other, jobs=1), name).digest == image.digest
        assert tokens.asked[-1][0] == "", "anybody may pull"


# -- harm on the way


@pytest.fixture
def harmed(plain: Registry, context: Context, repository: str) -> Iterator[tuple[Proxy, str, Image]]:
    """(proxy, name through it, image) of one small and one big layer that the registry has."""
    direct = f"{plain.host}/{repository}:v1"
    image = named(context, direct, [file("small", b"1")], [file("big", noise(BIG))])
    sent(context, direct)
    with proxying(plain.host) as proxy:
        yield proxy, f"{proxy.host}/{repository}:v1", image


def big_path(image: Image) -> str:
    return image.layers[1].descriptor.digest


def transferred(proxy: Proxy, image: Image) -> int:
    return sum(count for path, count in proxy.sent.items() if big_path(image) in path)


def test_broken_off_downloads_go_on(harmed: tuple[Proxy, str, Image], other: Context) -> None:
    proxy, name, image = harmed
    size = image.layers[1].descriptor.size
    proxy.harm(big_path(image), "drop", 700_000, times=3)
    assert fetched(other, name).digest == image.digest
    ranges = proxy.ranges(f"blobs/{big_path(image)}")
    assert len(ranges) == 4 and ranges[0] == "" and all(each.startswith("bytes=") for each in ranges[1:])
    assert transferred(proxy, image) == size
    assert not strays(other)


def test_what_was_given_up_goes_on_in_the_next_run(harmed: tuple[Proxy, str, Image], other: Context) -> None:
    proxy, name, image = harmed
    size = image.layers[1].descriptor.size
    proxy.harm(big_path(image), "drop", 1_000_000, times=1)
    proxy.harm(big_path(image), "status", 503, skip=1)
    with pytest.raises(NetworkError, match=r"503.*given up"):
        fetched(other, name)
    assert transferred(proxy, image) == 1_000_000 and not Store(other.cache).names()
    proxy.harms.clear()
    assert fetched(other, name).digest == image.digest
    assert transferred(proxy, image) == size
    assert not strays(other)


def test_corruption(harmed: tuple[Proxy, str, Image], other: Context) -> None:
    proxy, name, image = harmed
    proxy.harm(big_path(image), "corrupt", 12345, times=1)
    assert fetched(other, name).digest == image.digest
    third = replace(other, cache=Cache(other.cache.root.parent / "third"))
    proxy.harm(big_path(image), "corrupt", 12345)
    with pytest.raises(TrustError, match="SHA-256"):
        fetched(third, name)
    assert not strays(third)
    assert not Store(third.cache).has(big_path(image)) and not Store(third.cache).names()


@pytest.mark.parametrize(
    ("kind", "value", "seconds"),
    [("status", 500, 0), ("status", 429, 0), ("delay", 0, 1.5), ("stall", 1_000_000, 2.0), ("drop", 10, 0)],
)
def test_passing_trouble_is_borne(
    harmed: tuple[Proxy, str, Image], other: Context, kind: str, value: int, seconds: float
) -> None:
    proxy, name, image = harmed
    for match in ("manifests", "blobs/" + big_path(image)):
        proxy.harm(match, kind, value, times=2, seconds=seconds)
    assert fetched(other, name).digest == image.digest
    assert not strays(other)


@pytest.mark.parametrize("kind", ["longer", "shorter"])
def test_lies_about_length(harmed: tuple[Proxy, str, Image], other: Context, kind: str) -> None:
    proxy, name, image = harmed
    for match in ("manifests", "blobs/" + big_path(image)):
        proxy.harms.clear()
        proxy.harm(match, kind, 100)
        with pytest.raises((TrustError, NetworkError)) as caught:
            fetched(other, name)
        assert "\n" not in str(caught.value) and not Store(other.cache).names()


def test_everything_at_once(harmed: tuple[Proxy, str, Image], other: Context) -> None:
    """Whatever happens on the way: the right image, or one clear error and nothing that looks like an image."""
    proxy, name, image = harmed
    rng = random.Random(7)
    kinds = ["status", "drop", "corrupt", "longer", "shorter", "delay"]
    right = 0
    for _ in range(12):
        proxy.harms.clear()
        for _ in range(rng.randrange(1, 4)):
            kind = rng.choice(kinds)
            value = rng.choice([500, 502, 404, 401]) if kind == "status" else rng.randrange(BIG)
            times = rng.choice([1, 2, -1])
            proxy.harm(rng.choice(["manifests", "blobs"]), kind, value, times=times, seconds=0.01)
        try:
            assert fetched(other, name).digest == image.digest
            right += 1
        except HullError as error:
            assert "\n" not in str(error)
            assert not Store(other.cache).names()
        for each in Store(other.cache).names():
            assert content(other, Store(other.cache).image(each.digest)) == {"small": b"1", "big": noise(BIG)}
        wrecked = replace(other, cache=Cache(other.cache.root.parent / f"again{rng.random()}"))
        other = wrecked
    assert right > 3


def test_uploads_that_break_off_begin_anew(plain: Registry, context: Context, other: Context, repository: str) -> None:
    """docker-registry cannot go on with an upload (test_upload.py has one that can)."""
    with proxying(plain.host) as proxy:
        name = f"{proxy.host}/{repository}:v1"
        image = named(context, name, [file("big", noise(BIG))])
        proxy.harm("uploads", "drop-upload", 1_200_000, times=2, method="PATCH")
        assert sent(replace(context, jobs=1), name) == image.digest
        ways = [path for method, path, _ in proxy.requests if method == "PATCH"]
        assert len(ways) == 3 + 1, "the big layer three times, the configuration once"
    assert content(other, fetched(other, f"{plain.host}/{repository}:v1")) == {"big": noise(BIG)}


@pytest.mark.parametrize(
    ("method", "kind", "value"),
    [
        ("POST", "status", 500),
        ("PATCH", "status", 500),
        ("PATCH", "lost", 0),
        ("PUT", "status", 503),
        ("PUT", "lost", 0),
        ("HEAD", "status", 500),
        ("POST", "lost", 0),
    ],
)
def test_pushing_through_trouble(
    plain: Registry, context: Context, other: Context, repository: str, method: str, kind: str, value: int
) -> None:
    with proxying(plain.host) as proxy:
        name = f"{proxy.host}/{repository}:v1"
        image = named(context, name, [file("a", noise(300_000))])
        proxy.harm("", kind, value, times=2, method=method)
        assert sent(context, name) == image.digest
    assert fetched(other, f"{plain.host}/{repository}:v1").digest == image.digest


def test_an_upload_that_never_works(plain: Registry, context: Context, repository: str) -> None:
    with proxying(plain.host) as proxy:
        name = f"{proxy.host}/{repository}:v1"
        named(context, name, [file("a", noise(300_000))])
        proxy.harm("uploads", "drop-upload", 0, method="PATCH")
        with pytest.raises(NetworkError, match="given up after") as caught:
            sent(context, name)
        assert "\n" not in str(caught.value)
        with Client(context, policy=QUICK) as client:
            repository_there = client.repository(Reference.parse(f"{plain.host}/{repository}"))
            assert repository_there.digest("v1") is None


def test_two_pulls_at_once_fetch_each_blob_once(harmed: tuple[Proxy, str, Image], other: Context) -> None:
    from concurrent.futures import ThreadPoolExecutor

    proxy, name, image = harmed
    with ThreadPoolExecutor(4) as pool:
        got = list(pool.map(lambda _: fetched(other, name), range(4)))
    assert {each.digest for each in got} == {image.digest}
    assert transferred(proxy, image) == image.layers[1].descriptor.size


@pytest.mark.slow
def test_half_a_gigabyte_through_a_bad_proxy(
    plain: Registry, context: Context, other: Context, repository: str
) -> None:
    """Dropped, delayed, refused and once corrupted on the way; always right in the end, and by no detour."""
    store = Store(context.cache)
    layers = [Layer(store.add_blob(_noise_tar(seed, 125), media_type=LAYER), "") for seed in range(4)]
    layers = [Layer(layer.descriptor, layer.descriptor.digest) for layer in layers]
    image = store.add_image(CONFIG, layers)
    direct = f"{plain.host}/{repository}:v1"
    store.tag(direct, "amd64", image.digest)
    sent(context, direct)
    size = sum(layer.descriptor.size for layer in layers)
    assert size > 500_000_000
    with proxying(plain.host) as proxy:
        proxy.harm("blobs", "drop", 30_000_000, times=6)
        proxy.harm("blobs", "status", 500, times=3)
        proxy.harm("blobs", "delay", seconds=0.2, times=5)
        proxy.harm(layers[2].descriptor.digest, "corrupt", 1_000_000, times=1)
        got = fetched(other, f"{proxy.host}/{repository}:v1")
        assert got.digest == image.digest
        for layer in got.layers:
            with open(Store(other.cache).blob(layer.descriptor.digest), "rb") as stream:
                assert "sha256:" + hashlib.file_digest(stream, "sha256").hexdigest() == layer.descriptor.digest
        moved = sum(proxy.sent.values())
        wasted = layers[2].descriptor.size  # the corrupted one came twice
        assert size + wasted <= moved < size + wasted + 5_000_000
        assert len(proxy.ranges("blobs")) >= 5 + 6
    assert not strays(other)


def _noise_tar(seed: int, megabytes: int) -> Iterator[bytes]:
    """The bytes of a tar with one file that does not compress."""
    import tarfile

    block = random.Random(seed).randbytes(1 << 20)
    info = tarfile.TarInfo("noise")
    info.size = megabytes << 20
    yield info.tobuf()
    for number in range(megabytes):
        turn = (number * 4099) % len(block)
        yield block[turn:] + block[:turn]
    yield bytes(1024)
