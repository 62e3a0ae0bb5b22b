"""Archives of images: out of the store and in again, as other tools make them, and as nobody honest would."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from hullkit.cache import Cache
from hullkit.context import Context
from hullkit.errors import ConfigError, HullError, NotFound, TrustError
from hullkit.oci.archive import import_archive
from hullkit.oci.export import export_docker, export_filesystem, export_layout
from hullkit.oci.image import Image
from hullkit.oci.layers import flatten
from hullkit.oci.store import Store
from tests.oci.images import CONFIG, file, image_of, layer_of, tar_of
from tests.support.served import OCI_INDEX, sha256

NAME = "docker.io/lab/x:v1"
REF = "org.opencontainers.image.ref.name"


@pytest.fixture
def other(tmp_path: Path) -> Context:
    """Somebody else's empty cache."""
    return Context(Cache(tmp_path / "other"), arch="amd64", offline=True)


def paths(context: Context, image: Image | None) -> list[str]:
    assert image is not None
    return [entry.path for entry in flatten(context, image.store, image).entries()]


def layout(image: Image, name: str = NAME) -> bytes:
    stream = io.BytesIO()
    export_layout([(name, image)], stream)
    return stream.getvalue()


def members(archive: bytes) -> dict[str, bytes]:
    found = {}
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for member in tar.getmembers():
            if (stream := tar.extractfile(member)) is not None:
                found[member.name] = stream.read()
    return found


def packed(files: Mapping[str, bytes | str]) -> bytes:
    """A tar of files; a string is the target of a symbolic link."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            if isinstance(data, str):
                info.type, info.linkname = tarfile.SYMTYPE, data
                tar.addfile(info)
            else:
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def taken(context: Context, archive: bytes, name: str | None = None) -> list[tuple[str, str, str]]:
    return [(each.name, each.arch, each.digest) for each in import_archive(context, io.BytesIO(archive), name)]


def refused(context: Context, archive: bytes, error: type[HullError], match: str, name: str | None = None) -> None:
    with pytest.raises(error, match=match) as caught:
        taken(context, archive, name)
    assert "\n" not in str(caught.value)
    assert not Store(context.cache).names()
    assert not list((context.cache.root / "tmp").iterdir())


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_layout_comes_back_as_it_went(context: Context, store: Store, other: Context, pack: Any) -> None:
    image = image_of(store, [file("a", b"1")], [file("b")])
    assert taken(other, pack(layout(image))) == [(NAME, "amd64", image.digest)]
    assert paths(other, Store(other.cache).find(NAME, "amd64")) == ["a", "b"]


def test_from_a_file_and_under_another_name(store: Store, other: Context, tmp_path: Path) -> None:
    image = image_of(store, [file("a")])
    path = tmp_path / "x.tar"
    path.write_bytes(layout(image, "bare"))
    with pytest.raises(ConfigError, match=r"not a full name.*--name"):
        import_archive(other, path)
    (named,) = import_archive(other, path, "lab/y")
    assert (named.name, named.digest) == ("docker.io/lab/y:latest", image.digest)
    assert path.read_bytes() == layout(image, "bare")


def test_several_platforms_under_one_name(context: Context, store: Store, other: Context) -> None:
    amd = image_of(store, [file("amd")])
    arm = store.add_image({**CONFIG, "architecture": "arm64"}, [layer_of(store, tar_of([file("arm")]))])
    stream = io.BytesIO()
    export_layout([(NAME, amd), (NAME, arm)], stream)
    assert taken(other, stream.getvalue()) == [(NAME, "amd64", amd.digest), (NAME, "arm64", arm.digest)]


def test_a_layout_with_an_index(store: Store, other: Context) -> None:
    amd = image_of(store, [file("amd")])
    files = members(layout(amd))
    entry = {**amd.descriptor.as_json(), "platform": {"os": "linux", "architecture": "amd64"}}
    index = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}).encode()
    files[f"blobs/sha256/{sha256(index)[7:]}"] = index
    root = {"mediaType": OCI_INDEX, "digest": sha256(index), "size": len(index)}
    files["index.json"] = json.dumps({"schemaVersion": 2, "manifests": [root]}).encode()
    (named,) = import_archive(other, io.BytesIO(packed(files)), "lab/x:v1")
    assert (named.root, named.digest) == (sha256(index), amd.digest)


def test_docker_save_and_load(context: Context, store: Store, other: Context) -> None:
    image = image_of(store, [file("a", b"1")], [file("b")])
    stream = io.BytesIO()
    export_docker(context, [(NAME, image)], stream)
    ((name, arch, digest),) = taken(other, stream.getvalue())
    assert (name, arch) == (NAME, "amd64")
    assert paths(other, Store(other.cache).image(digest)) == ["a", "b"]
    files = members(stream.getvalue())
    assert [name for name in files if name.endswith("layer.tar")] == [
        f"{each.diff_id[7:]}/layer.tar" for each in image.layers
    ]


def test_docker_save_links_equal_layers(store: Store, context: Context, other: Context) -> None:
    image = image_of(store, [file("a")], [file("a")])
    tar = tar_of([file("a")])
    config = json.dumps(dict(image.config)).encode()
    listed = [{"Config": "c.json", "RepoTags": ["x:1", "y:1"], "Layers": ["one/layer.tar", "two/layer.tar"]}]
    files: dict[str, bytes | str] = {
        "manifest.json": json.dumps(listed).encode(),
        "c.json": config,
        "one/layer.tar": tar,
    }
    found = taken(other, packed({**files, "two/layer.tar": "../one/layer.tar"}))
    assert [name for name, _, _ in found] == ["docker.io/library/x:1", "docker.io/library/y:1"]
    for target in ("/etc/passwd", "../../../../etc/passwd", "two/layer.tar", "../two/layer.tar", "../nothing"):
        with pytest.raises(NotFound, match=r"has no two/layer\.tar"):
            taken(other, packed({**files, "two/layer.tar": target}))


def test_the_file_system_alone(context: Context, store: Store) -> None:
    image = image_of(store, [file("a", b"1"), file("gone")], [file(".wh.gone"), file("b")])
    stream = io.BytesIO()
    export_filesystem(context, image, "x", stream)
    assert members(stream.getvalue()) == {"a": b"1", "b": b""}


def test_exports_are_always_the_same_bytes(context: Context, store: Store) -> None:
    image = image_of(store, [file("a", b"1")])
    for export in (
        lambda out: export_layout([(NAME, image)], out),
        lambda out: export_docker(context, [(NAME, image)], out),
    ):
        first, second = io.BytesIO(), io.BytesIO()
        export(first)
        export(second)
        assert first.getvalue() == second.getvalue()


# -- archives that are none, or lie


@pytest.mark.parametrize(
    ("archive", "error", "match"),
    [
        (b"", ConfigError, "neither"),
        (b"x" * 1000, TrustError, "tar"),
        (packed({"a": b""}), ConfigError, "neither"),
        (packed({"oci-layout": b"{}", "index.json": b"{"}), TrustError, "JSON"),
        (packed({"oci-layout": b"{}", "index.json": b"{}"}), ConfigError, "no image"),
        (packed({"oci-layout": b"{}", "index.json": b" " * (5 << 20)}), TrustError, "larger"),
        (packed({"oci-layout": b"{}", "index.json": "/etc/passwd"}), NotFound, r"no index\.json"),
        (packed({"../index.json": b""}), TrustError, r"\.\."),
        (packed({"manifest.json": b"[1]"}), TrustError, "not an image"),
        (packed({"manifest.json": b'[{"Config": "c"}]'}), ConfigError, "no name"),
        (packed({"manifest.json": b'[{"Config": "c", "RepoTags": ["x"]}]'}), NotFound, "has no c"),
        (packed({"manifest.json": b'[{"Config": "../c", "RepoTags": ["x"]}]'}), NotFound, r"has no \.\./c"),
        (packed({"manifest.json": b'[{"Config": "c", "RepoTags": [1]}]'}), ConfigError, "no name"),
        (gzip.compress(b"x" * 10, mtime=0)[:-4], TrustError, "cut off"),
    ],
    # names of their own: an archive has the time in it, and workers must agree on the names
    ids=(
        *("empty", "no tar", "neither", "no JSON", "no image", "long index", "linked index", "climbing name"),
        *("no manifest", "no name", "no config", "climbing config", "number as name", "cut off"),
    ),
)
def test_what_is_refused(other: Context, archive: bytes, error: type[HullError], match: str) -> None:
    refused(other, archive, error, match)


def tampered(image: Image, part: str, data: bytes | None) -> bytes:
    """A layout whose blob ``part`` has other content (None: is missing)."""
    files: dict[str, bytes | str] = dict(members(layout(image)))
    path = f"blobs/sha256/{part[7:]}"
    assert path in files
    if data is None:
        del files[path]
    else:
        files[path] = data
    return packed(files)


def test_wrong_blobs(store: Store, other: Context) -> None:
    image = image_of(store, [file("a", b"1")])
    config = str(image.manifest["config"]["digest"])
    layer = image.layers[0].descriptor
    for part in (image.digest, config, layer.digest):
        refused(other, tampered(image, part, None), NotFound, "has no blobs/")
        refused(other, tampered(image, part, b"{}"), TrustError, "blob")
    good = store.blob(layer.digest).read_bytes()
    refused(other, tampered(image, layer.digest, bytes(len(good))), TrustError, "content of")
    assert not Store(other.cache).has(layer.digest)


def test_two_images_of_one_name(store: Store, other: Context) -> None:
    one, two = (image_of(store, [file(name)]) for name in ("one", "two"))
    stream = io.BytesIO()
    export_layout([(NAME, one), ("docker.io/lab/y:1", two)], stream)
    assert len(taken(other, stream.getvalue())) == 2
    with pytest.raises(ConfigError, match="several images"):
        taken(other, stream.getvalue(), "lab/z")
    assert all("lab/z" not in each.name for each in Store(other.cache).names())


def test_a_layout_of_endless_indexes(other: Context) -> None:
    files: dict[str, bytes | str] = {"oci-layout": b"{}"}
    inner: list[dict[str, Any]] = []
    for _ in range(7):
        index = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": inner}).encode()
        files[f"blobs/sha256/{sha256(index)[7:]}"] = index
        entry = {"mediaType": OCI_INDEX, "digest": sha256(index), "size": len(index)}
        inner = [entry] * 3
    top = {**inner[0], "annotations": {REF: NAME}}
    files["index.json"] = json.dumps({"schemaVersion": 2, "manifests": [top]}).encode()
    refused(other, packed(files), TrustError, "deep|more than")


def test_a_bomb(other: Context) -> None:
    refused(other, gzip.compress(bytes(256 << 20), 9), TrustError, "bomb")
