"""Pulling from a registry of a few lines: what is chosen, what is asked for, what is refused."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hullkit.cache import Cache
from hullkit.context import Context, Registries
from hullkit.errors import HostError, HullError, NetworkError, NotFound, TrustError
from hullkit.events import Event
from hullkit.net import Policy
from hullkit.oci.auth import parse_challenges
from hullkit.oci.image import Image
from hullkit.oci.index import Platform
from hullkit.oci.layers import flatten
from hullkit.oci.local import find_local, find_root
from hullkit.oci.pull import pull, pull_platforms, registry_digest
from hullkit.oci.reference import Reference
from hullkit.oci.registry import Client
from hullkit.oci.store import Store
from tests.oci.images import CONFIG, file, image_of, layer_of, tar_of
from tests.support.served import OCI_INDEX, Answer, Served, serving, sha256
from tests.support.tokens import Tokens

QUICK = Policy(attempts=2, backoff=0.01, backoff_max=0.02, connect_timeout=2, read_timeout=2, deadline=20)
TAGS = "/v2/lab/x/manifests/v1"


@pytest.fixture
def served() -> Iterator[Served]:
    with serving() as served:
        yield served


@pytest.fixture(autouse=True)
def no_logins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))


@pytest.fixture
def remote(tmp_path: Path) -> Store:
    """The store of whoever fills the registry."""
    return Store(Cache(tmp_path / "remote"))


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context(Cache(tmp_path / "cache"), arch="amd64", jobs=3)


def fetch(context: Context, served: Served, name: str = "lab/x:v1", arch: str = "amd64") -> Image:
    with Client(context, policy=QUICK) as client:
        return pull(client, Reference.parse(f"{served.host}/{name}"), arch)


def refused(context: Context, served: Served, error: type[HullError], match: str, name: str = "lab/x:v1") -> None:
    with pytest.raises(error, match=match) as caught:
        fetch(context, served, name)
    assert "\n" not in str(caught.value)
    assert not Store(context.cache).names()


def paths(context: Context, image: Image) -> list[str]:
    return [entry.path for entry in flatten(context, image.store, image).entries()]


def arm_of(store: Store, text: bytes = b"arm") -> Image:
    layer = layer_of(store, tar_of([file("arch", text)]))
    return store.add_image({**CONFIG, "architecture": "arm64"}, [layer])


# -- what is chosen


def test_an_image(context: Context, served: Served, remote: Store) -> None:
    image = image_of(remote, [file("a", b"1")], [file("b", b"2")])
    served.image("lab/x", image, "v1")
    got = fetch(context, served)
    assert got.digest == image.digest and paths(context, got) == ["a", "b"]
    found = Store(context.cache).find(f"{served.host}/lab/x:v1", "amd64")
    assert found and found.digest == got.digest
    before = len(served.requests)
    assert fetch(context, served).digest == image.digest
    assert len(served.requests) == before + 2, "a probe, and the manifest: blobs are there"


def test_a_platform_of_an_index(context: Context, served: Served, remote: Store) -> None:
    amd, arm = image_of(remote, [file("amd")]), arm_of(remote)
    children = [served.image("lab/x", each) for each in (arm, amd)]
    root = served.index("lab/x", children, "v1")
    assert fetch(context, served).digest == amd.digest
    assert not served.asked(arm.digest)
    assert fetch(context, served, arch="arm64").digest == arm.digest
    assert [each.root for each in Store(context.cache).names()] == [root["digest"]] * 2
    store, reference = Store(context.cache), Reference.parse(f"{served.host}/lab/x@{root['digest']}")
    found = find_local(store, reference, "arm64")
    assert found and found.digest == arm.digest
    assert find_root(store, Reference.parse(f"{served.host}/lab/x:v1"), "amd64") == root["digest"]
    with pytest.raises(NotFound, match=r"no image for linux/s390x.*it has linux/amd64, linux/arm64"):
        fetch(context, served, arch="s390x")


def test_the_first_of_two_for_one_platform(context: Context, served: Served, remote: Store) -> None:
    images = [image_of(remote, [file(name)]) for name in ("one", "two")]
    served.index("lab/x", [served.image("lab/x", each) for each in images], "v1")
    assert fetch(context, served).digest == images[0].digest


def test_a_variant_that_runs_everywhere_is_preferred(context: Context, served: Served, remote: Store) -> None:
    images = [image_of(remote, [file(name)]) for name in ("new", "old")]
    children = [served.image("lab/x", each) for each in images]
    for child, variant in zip(children, ("v3", "v1"), strict=True):
        child["platform"]["variant"] = variant
    served.index("lab/x", children, "v1")
    assert fetch(context, served).digest == images[1].digest


def test_platforms_that_only_configurations_tell(context: Context, served: Served, remote: Store) -> None:
    amd, arm = image_of(remote, [file("amd")]), arm_of(remote)
    children = [served.image("lab/x", each) for each in (arm, amd)]
    for child in children:
        del child["platform"]
    served.index("lab/x", children, "v1")
    assert fetch(context, served).digest == amd.digest


def test_an_index_in_an_index(context: Context, served: Served, remote: Store) -> None:
    amd = image_of(remote, [file("amd")])
    inner = served.index("lab/x", [served.image("lab/x", amd)])
    served.index("lab/x", [served.index("lab/x", [inner])], "v1")
    assert fetch(context, served).digest == amd.digest


def test_a_single_image_for_another_platform_is_taken_with_a_warning(
    context: Context, served: Served, remote: Store
) -> None:
    events: list[Event] = []
    context.bus.subscribe(events.append)
    served.image("lab/x", arm_of(remote), "v1")
    assert fetch(context, served).architecture == "arm64"
    assert any(event.kind == "warning" and "linux/arm64" in event.text for event in events)


def test_attestations_come_along(context: Context, served: Served, remote: Store) -> None:
    amd, arm = image_of(remote, [file("amd")]), arm_of(remote)
    children = [served.image("lab/x", each) for each in (amd, arm)]
    config, statement = b'{"architecture":"unknown"}', b'{"sbom": 1}'
    parts = [
        {"mediaType": "application/vnd.in-toto+json", "digest": served.blob("lab/x", data), "size": len(data)}
        for data in (config, statement)
    ]
    about = served.manifest("lab/x", {"schemaVersion": 2, "config": parts[0], "layers": parts[1:]})
    reference = {"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": amd.digest}
    unknown = {"os": "unknown", "architecture": "unknown"}
    children.append({**about, "platform": unknown, "annotations": reference})
    served.index("lab/x", children, "v1")
    fetch(context, served, arch="arm64")
    assert not Store(context.cache).has(sha256(statement))
    fetch(context, served)
    assert Store(context.cache).blob(sha256(statement)).read_bytes() == statement
    del served.answers[f"/v2/lab/x/manifests/{about['digest']}"]  # copies of images often lack them
    elsewhere = replace(context, cache=Cache(context.cache.root / "other"))
    assert fetch(elsewhere, served).digest == amd.digest


def test_several_platforms(context: Context, served: Served, remote: Store) -> None:
    amd, arm = image_of(remote, [file("amd")]), arm_of(remote)
    windows = image_of(remote, [file("windows")])
    children = [served.image("lab/x", each) for each in (amd, arm, windows)]
    children[2]["platform"]["os"] = "windows"
    root = served.index("lab/x", children, "v1")
    reference = Reference.parse(f"{served.host}/lab/x:v1")
    store = Store(context.cache)
    with Client(context, policy=QUICK) as client:
        assert pull_platforms(client, reference, [Platform.parse("linux/arm64")]).digest == root["digest"]
        assert [each.arch for each in store.names()] == ["arm64"] and not store.has(amd.digest)
        with pytest.raises(NotFound, match="linux/riscv64"):
            pull_platforms(client, reference, [Platform.parse("linux/riscv64")])
        pull_platforms(client, reference, None)
    assert [(each.arch, each.digest) for each in store.names()] == [("amd64", amd.digest), ("arm64", arm.digest)]
    assert store.has(windows.digest)


def test_a_mirror_is_asked_instead(context: Context, served: Served, remote: Store) -> None:
    image = image_of(remote, [file("a")])
    served.image("hub/library/nginx", image, "latest")
    mirrored = replace(context, registries=Registries({"docker.io": f"http://{served.host}/hub"}))
    with Client(mirrored, policy=QUICK) as client:
        assert pull(client, Reference.parse("nginx"), "amd64").digest == image.digest
        assert registry_digest(client, Reference.parse("nginx")) == image.digest
        with pytest.raises(NotFound):
            registry_digest(client, Reference.parse("nginx:other"))
    assert [each.name for each in Store(context.cache).names()] == ["docker.io/library/nginx:latest"]


def test_by_digest(context: Context, served: Served, remote: Store) -> None:
    image = image_of(remote, [file("a")])
    served.image("lab/x", image)
    assert fetch(context, served, f"lab/x:gone@{image.digest}").digest == image.digest


def test_offline(context: Context, served: Served) -> None:
    refused(replace(context, offline=True), served, NetworkError, "--offline forbids")
    assert not served.requests


def test_not_there(context: Context, served: Served) -> None:
    refused(context, served, NotFound, "not in the registry.*manifest unknown")


def test_the_registry_says_why(context: Context, served: Served) -> None:
    error = json.dumps({"errors": [{"code": "DENIED", "message": "no\x1b[31m\n" + "x" * 5000}]}).encode()
    served.answers[TAGS] = Answer(error, status=403)
    with pytest.raises(NetworkError, match="403: DENIED no") as caught:
        fetch(context, served)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 400


# -- registries that lie


def test_wrong_bytes(context: Context, served: Served, remote: Store) -> None:
    image = image_of(remote, [file("a", b"data")])
    served.image("lab/x", image, "v1")
    layer = image.layers[0].descriptor
    path = f"/v2/lab/x/blobs/{layer.digest}"
    good = served.answers[path]
    served.answers[path] = Answer(bytes(layer.size))
    refused(context, served, TrustError, "SHA-256")
    served.answers[path] = Answer(good.body + b"more")
    refused(context, served, TrustError, "must have")
    assert not list((context.cache.root / "partial").iterdir())
    served.answers[path] = good
    fetch(context, served)


def test_another_manifest_than_asked_for(context: Context, served: Served, remote: Store) -> None:
    one, two = (image_of(remote, [file(name)]) for name in ("one", "two"))
    served.image("lab/x", one, "v1")
    served.image("lab/x", two)
    given = served.answers[f"/v2/lab/x/manifests/{two.digest}"]
    served.answers[f"/v2/lab/x/manifests/{one.digest}"] = given
    refused(context, served, TrustError, "gave the content of", f"lab/x@{one.digest}")
    told = {"Docker-Content-Digest": one.digest}
    served.answers[TAGS] = Answer(given.body, given.content_type, headers=told)
    refused(context, served, TrustError, "gave the content of")
    served.answers[TAGS] = Answer(given.body, given.content_type, headers={"Docker-Content-Digest": "sha256:../x"})
    refused(context, served, TrustError, "not a sha256")


@pytest.mark.parametrize("size", [0, 5, 1 << 30, 1 << 49])
def test_a_manifest_that_lies_about_sizes(context: Context, served: Served, remote: Store, size: int) -> None:
    image = image_of(remote, [file("a", b"data" * 100)])
    served.image("lab/x", image)
    manifest = json.loads(remote.blob(image.digest).read_bytes())
    manifest["layers"][0]["size"] = size
    served.manifest("lab/x", manifest, "v1")
    with pytest.raises((TrustError, HostError)):
        fetch(context, served)
    assert not Store(context.cache).names()
    manifest["layers"][0]["size"] = -1
    served.manifest("lab/x", manifest, "v1")
    refused(context, served, TrustError, "cannot be")


def test_an_index_that_lies_about_the_size_of_a_manifest(context: Context, served: Served, remote: Store) -> None:
    child = served.image("lab/x", image_of(remote, [file("a")]))
    child["size"] += 1
    served.index("lab/x", [child], "v1")
    refused(context, served, TrustError, "it must have")


def test_an_index_loop(context: Context, served: Served) -> None:
    """The only way to a loop is to give the same document for another digest."""
    child = {"mediaType": OCI_INDEX, "digest": "sha256:" + "1" * 64, "size": 300}
    root = served.index("lab/x", [child], "v1")
    served.answers[f"/v2/lab/x/manifests/{child['digest']}"] = served.answers[TAGS]
    refused(context, served, TrustError, "gave the content of")
    assert root["size"] == len(served.answers[TAGS].body)


def test_indexes_too_deep_and_too_many(context: Context, served: Served) -> None:
    inner = served.index("lab/x", [])
    for _ in range(5):
        inner = served.index("lab/x", [inner])
    served.index("lab/x", [inner], "v1")
    refused(context, served, TrustError, "deep")
    many = []
    for number in range(300):
        entry = {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": sha256(b"%d" % number), "size": 2}
        many.append(served.index("lab/x", [{**entry, "platform": {"os": "plan9", "architecture": "amd64"}}]))
    served.index("lab/x", many, "v1")
    refused(context, served, TrustError, "more than 256 manifests")


def test_a_giant_manifest(context: Context, served: Served) -> None:
    served.manifest("lab/x", b"{" + b" " * (5 << 20) + b"}", "v1")
    refused(context, served, TrustError, "longer than")


@pytest.mark.parametrize(
    ("document", "match"),
    [
        ({"schemaVersion": 1, "fsLayers": []}, "schema 1"),
        ({"schemaVersion": 2, "config": {}, "layers": []}, "descriptor"),
        ({"schemaVersion": 2}, "descriptor"),
        (b"<html>", "JSON"),
        (b"[" * 100_000, "JSON"),
        (b"", "JSON"),
        (b'{"schemaVersion":2,"schemaVersion":2}', "twice"),
        ({"schemaVersion": 2, "mediaType": "application/vnd.cncf.helm"}, "not an image"),
    ],
)
def test_manifests_that_are_none(context: Context, served: Served, document: Any, match: str) -> None:
    served.manifest("lab/x", document, "v1", media_type="application/octet-stream")
    refused(context, served, TrustError, match)


def test_an_artifact_is_refused_before_its_content_comes(context: Context, served: Served, remote: Store) -> None:
    chart = b"x" * 1000
    config = {"mediaType": "application/vnd.cncf.helm.config.v1+json", "digest": served.blob("lab/x", b"{}"), "size": 2}
    layer = {"mediaType": "application/vnd.cncf.helm.chart", "digest": served.blob("lab/x", chart), "size": len(chart)}
    served.manifest("lab/x", {"schemaVersion": 2, "config": config, "layers": [layer]}, "v1")
    refused(context, served, TrustError, "not a file system layer")
    assert not served.asked(sha256(chart))


def test_a_platform_that_is_no_word(context: Context, served: Served, remote: Store) -> None:
    layer = layer_of(remote, tar_of([file("a")]))
    image = remote.add_image({**CONFIG, "architecture": "\x1b[31m/../x"}, [layer])
    served.image("lab/x", image, "v1")
    refused(context, served, TrustError, "not a platform")


def test_redirects(context: Context, served: Served, remote: Store) -> None:
    image = image_of(remote, [file("a")])
    served.image("lab/x", image, "v1")
    digest = image.layers[0].descriptor.digest
    served.answers["/elsewhere"] = served.answers[f"/v2/lab/x/blobs/{digest}"]
    served.answers[f"/v2/lab/x/blobs/{digest}"] = Answer(b"", status=307, headers={"Location": "/elsewhere?a=b"})
    served.answers["/elsewhere?a=b"] = served.answers.pop("/elsewhere")
    fetch(context, served)
    served.answers[TAGS] = Answer(b"", status=302, headers={"Location": TAGS})
    with pytest.raises(NetworkError, match="too many redirects"):
        fetch(context, served)


# -- logins


def login(tmp_path: Path, host: str, user: str, password: str) -> None:
    (tmp_path / "docker").mkdir()
    auth = base64.b64encode(f"{user}:{password}".encode()).decode()
    (tmp_path / "docker/config.json").write_text(json.dumps({"auths": {host: {"auth": auth}}}))


def test_basic(context: Context, served: Served, remote: Store, tmp_path: Path) -> None:
    served.basic = "Basic " + base64.b64encode(b"alice:s").decode()
    served.image("lab/x", image_of(remote, [file("a")]), "v1")
    refused(context, served, NetworkError, "wants a login.*docker login 127.0.0.1")
    login(tmp_path, served.host, "alice", "s")
    fetch(context, served)
    served.basic = "Basic other"
    with pytest.raises(NetworkError, match="refuses the login of alice") as caught:
        fetch(context, served)
    assert served.basic not in str(caught.value)


def test_credentials_do_not_follow_a_redirect(context: Context, served: Served, remote: Store, tmp_path: Path) -> None:
    image = image_of(remote, [file("a")])
    served.image("lab/x", image, "v1")
    served.basic = "Basic " + base64.b64encode(b"alice:s").decode()
    login(tmp_path, served.host, "alice", "s")
    path = f"/v2/lab/x/blobs/{image.layers[0].descriptor.digest}"
    with serving() as other:
        other.answers["/cdn"] = served.answers[path]
        served.answers[path] = Answer(b"", status=307, headers={"Location": f"http://{other.host}/cdn"})
        fetch(context, served)
        assert other.requests == [("/cdn", "")]


def test_anonymous_token(context: Context, remote: Store) -> None:
    with serving(Served(tokens=Tokens())) as served:
        image = image_of(remote, [file("a")], [file("b")])
        served.image("lab/x", image, "v1")
        fetch(context, served)
        assert served.tokens and served.tokens.asked == [("", ["repository:lab/x:pull"])]


def test_token_for_a_login(context: Context, remote: Store, tmp_path: Path) -> None:
    with serving(Served(tokens=Tokens(anonymous=False, logins={"alice": "s"}))) as served:
        served.image("lab/x", image_of(remote, [file("a")]), "v1")
        refused(context, served, NetworkError, "wants a login")
        login(tmp_path, served.host, "alice", "s")
        fetch(context, served)
        assert served.tokens and served.tokens.asked == [("alice", ["repository:lab/x:pull"])]
        served.tokens.logins = {}
        served.tokens.uses = 0
        with pytest.raises(NetworkError, match="refuses the login of alice"):
            fetch(replace(context, cache=Cache(tmp_path / "other")), served)


def test_identity_token(context: Context, remote: Store, tmp_path: Path) -> None:
    with serving(Served(tokens=Tokens(anonymous=False, refresh={"long-lived": "bob"}))) as served:
        served.image("lab/x", image_of(remote, [file("a")]), "v1")
        (tmp_path / "docker").mkdir()
        config = {"auths": {served.host: {"identitytoken": "long-lived"}}}
        (tmp_path / "docker/config.json").write_text(json.dumps(config))
        fetch(context, served)
        assert served.tokens and served.tokens.asked[0][0] == "bob"


def test_tokens_that_expire_are_renewed(context: Context, remote: Store) -> None:
    with serving(Served(tokens=Tokens(uses=1))) as served:
        served.image("lab/x", image_of(remote, *([file(name)] for name in "abcdef")), "v1")
        fetch(replace(context, jobs=1), served)
        assert served.tokens and len(served.tokens.asked) > 3


def test_a_registry_that_is_never_content(context: Context, remote: Store) -> None:
    with serving(Served(tokens=Tokens(uses=0))) as served:
        served.image("lab/x", image_of(remote, [file("a")]), "v1")
        refused(context, served, NetworkError, "keeps asking")
        assert served.asked("manifests") < 10


@pytest.mark.parametrize(
    ("challenge", "match"),
    [
        ("", "not known here"),
        ("Negotiate", "not known here"),
        ("Bearer", "no usable token server"),
        ('Bearer realm="file:///etc/passwd"', "no usable token server"),
        ('Bearer realm="http://127.0.0.1:1/token"', "127.0.0.1:1"),
        ('Bearer realm="http://HOST/nothing"', "answered 404 without a token"),
        ('Bearer realm="http://HOST/list"', "without a token"),
        ('Bearer realm="http://HOST/huge"', "longer than"),
    ],
)
def test_strange_challenges(context: Context, served: Served, challenge: str, match: str) -> None:
    headers = {"WWW-Authenticate": challenge.replace("HOST", served.host)}
    served.answers[TAGS] = Answer(b"{}", status=401, headers=headers)
    served.answers["/list?scope=repository%3Alab%2Fx%3Apull"] = Answer(b"[1]")
    served.answers["/huge?scope=repository%3Alab%2Fx%3Apull"] = Answer(b" " * (2 << 20))
    refused(context, served, HullError, match)


def test_challenges_are_read() -> None:
    header = (
        'Basic realm="a \\"b\\"", Bearer realm="https://t/x?a=b,c",scope="repository:a:pull,push repository:b:pull"'
    )
    basic, bearer = parse_challenges(header + ",service=s, Negotiate, NTLM abc==")[:2]
    assert (basic.scheme, basic.parameters) == ("basic", {"realm": 'a "b"'})
    assert bearer.parameters == {
        "realm": "https://t/x?a=b,c",
        "scope": "repository:a:pull,push repository:b:pull",
        "service": "s",
    }
    for text in ("", ",,,", '"', 'Bearer realm="', "\x00", "=" * 1000, "a " * 1000):
        parse_challenges(text)
