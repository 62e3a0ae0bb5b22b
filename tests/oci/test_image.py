"""Image views: documents from elsewhere are read strictly, and an error is one TrustError."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hullkit.errors import NotFound, TrustError
from hullkit.oci.digest import digest_of
from hullkit.oci.document import MAX_DOCUMENT, encode, parse_document
from hullkit.oci.image import CONFIG, LAYER, MANIFEST, Image
from hullkit.oci.store import Store
from tests.oci.images import file, image_of, stored

BLOB = {"mediaType": LAYER, "digest": digest_of(b"x"), "size": 1}


def manifest(**changes: Any) -> dict[str, Any]:
    return {"schemaVersion": 2, "mediaType": MANIFEST, "config": BLOB, "layers": [BLOB], **changes}


def image(store: Store, document: Any, config: Any = None) -> Image:
    if config is not None:
        blob = stored(store, config if isinstance(config, bytes) else encode(config), CONFIG)
        document = {**document, "config": blob.as_json()}
    return Image(store, stored(store, document if isinstance(document, bytes) else encode(document), MANIFEST))


ROOTFS = {"type": "layers", "diff_ids": [digest_of(b"x")]}


def test_docker_manifests_are_read(store: Store) -> None:
    kind = "application/vnd.docker.distribution.manifest.v2+json"
    layer = {**BLOB, "mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip"}
    found = image(store, manifest(mediaType=kind, layers=[layer]), {"rootfs": ROOTFS, "config": None})
    assert found.layers[0].diff_id == digest_of(b"x") and found.labels == {}


def test_reading_is_lazy(store: Store) -> None:
    found = Image(store, stored(store, b"not json", MANIFEST))
    assert found.digest == digest_of(b"not json")
    with pytest.raises(TrustError, match="not valid JSON"):
        _ = found.labels


@pytest.mark.parametrize(
    ("document", "why"),
    [
        (b"\xff\xfe", "not valid JSON"),
        (b"[]", "not a JSON object"),
        (b'{"schemaVersion": 2, "schemaVersion": 2}', "given twice"),
        (b'{"a":' * 100_000, "not valid JSON"),
        (manifest(schemaVersion=1), "not an image manifest"),
        (manifest(mediaType="application/vnd.oci.image.index.v1+json"), "not an image manifest"),
        (manifest(layers=5), "layers is not a list"),
        (manifest(layers=[5]), "not an object"),
        (manifest(layers=[{**BLOB, "digest": "sha256:../../x"}]), "not a sha256"),
        (manifest(layers=[{**BLOB, "size": -1}]), "cannot be"),
        (manifest(layers=[{**BLOB, "size": 1 << 60}]), "cannot be"),
        (manifest(layers=[{**BLOB, "size": True}]), "without mediaType or size"),
        (manifest(layers=[{**BLOB, "size": 1.5}]), "without mediaType or size"),
        (manifest(layers=[{**BLOB, "mediaType": "application/vnd.in-toto+json"}]), "not a file system layer"),
        (manifest(layers=[{**BLOB, "mediaType": LAYER + "+encrypted"}]), "not a file system layer"),
        (manifest(layers=[BLOB] * 2000), "at most 1024"),
        (manifest(layers=[BLOB, BLOB]), "2 layers, but its configuration speaks of 1"),
    ],
)
def test_manifests_are_read_strictly(store: Store, document: Any, why: str) -> None:
    found = image(store, document, None if isinstance(document, bytes) else {"rootfs": ROOTFS})
    with pytest.raises(TrustError, match=why):
        _ = found.layers


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ({"rootfs": 5}, "rootfs is not an object"),
        ({"rootfs": {"diff_ids": ["x"]}}, "not a sha256"),
        ({}, "speaks of 0"),
        ({"rootfs": ROOTFS, "config": {"Labels": {"a": 5}}}, "not a string"),
        ({"rootfs": ROOTFS, "config": {"Labels": []}}, "not an object"),
        (b'{"a": "' + b"x" * MAX_DOCUMENT + b'"}', "larger than"),
    ],
)
def test_configurations_are_read_strictly(store: Store, config: Any, why: str) -> None:
    found = image(store, manifest(), config)
    with pytest.raises(TrustError, match=why):
        _ = found.layers, found.labels


def test_a_missing_blob_is_not_found(store: Store) -> None:
    found = image_of(store, [file("a")])
    store.blob(found.manifest["config"]["digest"]).unlink()
    with pytest.raises(NotFound, match="does not hold the blob"):
        _ = store.image(found.digest).config


def test_encoding_is_canonical() -> None:
    assert encode({"b": "é", "a": [1, {"d": None, "c": True}]}) == '{"a":[1,{"c":true,"d":null}],"b":"é"}'.encode()
    assert parse_document(encode({"a": 1}), "x") == json.loads('{"a": 1}')
