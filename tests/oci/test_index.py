"""What a document is, and which image of an index is for a platform."""

from __future__ import annotations

from typing import Any

import pytest

from hullkit.errors import ConfigError, TrustError
from hullkit.oci.image import MANIFEST
from hullkit.oci.index import DOCKER_LIST, DOCKER_MANIFEST, MAX_CHILDREN, Platform, children, kind_of
from hullkit.oci.store import INDEX

DIGEST = "sha256:" + "0" * 64


def entry(**platform: Any) -> dict[str, Any]:
    return {"mediaType": MANIFEST, "digest": DIGEST, "size": 1, "platform": platform}


@pytest.mark.parametrize("text", ["linux/amd64", "linux/arm64/v8", "windows/amd64"])
def test_platforms_are_written_as_read(text: str) -> None:
    assert str(Platform.parse(text)) == text


@pytest.mark.parametrize("text", ["", "linux", "linux/", "/amd64", "a/b/c/d", "linux//v8"])
def test_what_is_no_platform(text: str) -> None:
    with pytest.raises(ConfigError):
        Platform.parse(text)


@pytest.mark.parametrize(
    ("wanted", "offered", "fits"),
    [
        ("linux/amd64", "linux/amd64", True),
        ("linux/amd64", "linux/amd64/v1", True),
        ("linux/amd64", "linux/amd64/v3", False),
        ("linux/amd64/v3", "linux/amd64/v3", True),
        ("linux/amd64/v1", "linux/amd64", True),
        ("linux/arm64", "linux/arm64/v8", True),
        ("linux/arm64", "linux/arm64/v9", False),
        ("linux/arm/v7", "linux/arm/v6", False),
        ("linux/riscv64", "linux/riscv64", True),
        ("linux/amd64", "windows/amd64", False),
        ("linux/amd64", "linux/arm64", False),
    ],
)
def test_variants(wanted: str, offered: str, fits: bool) -> None:
    assert Platform.parse(wanted).covers(Platform.parse(offered)) is fits


@pytest.mark.parametrize(
    ("document", "content_type", "expected"),
    [
        ({"schemaVersion": 2, "mediaType": MANIFEST, "layers": []}, MANIFEST, (MANIFEST, "image")),
        ({"schemaVersion": 2, "layers": []}, MANIFEST, (MANIFEST, "image")),
        ({"schemaVersion": 2, "layers": []}, "", (MANIFEST, "image")),
        ({"schemaVersion": 2, "layers": []}, "text/plain; charset=utf-8", (MANIFEST, "image")),
        ({"schemaVersion": 2, "manifests": []}, "", (INDEX, "index")),
        ({"schemaVersion": 2, "mediaType": DOCKER_LIST, "manifests": []}, "", (DOCKER_LIST, "index")),
        ({"schemaVersion": 2, "mediaType": DOCKER_MANIFEST, "layers": []}, "x", (DOCKER_MANIFEST, "image")),
    ],
)
def test_kinds(document: dict[str, Any], content_type: str, expected: tuple[str, str]) -> None:
    assert kind_of(document, content_type, "it") == expected


@pytest.mark.parametrize(
    ("document", "content_type", "message"),
    [
        ({"schemaVersion": 1, "fsLayers": []}, "", "schema 1"),
        ({}, "application/vnd.docker.distribution.manifest.v1+prettyjws", "schema 1"),
        ({}, "", "not a manifest"),
        ({"schemaVersion": 2, "mediaType": "text/html"}, "", "not an image"),
        ({"schemaVersion": 2, "mediaType": ["x"]}, "", "not a manifest"),
        ({"schemaVersion": 2, "mediaType": MANIFEST, "layers": []}, INDEX, "calls itself"),
        ({"schemaVersion": 2, "mediaType": MANIFEST, "manifests": []}, "", "form"),
        ({"schemaVersion": 2, "mediaType": INDEX, "layers": []}, "", "form"),
        ({"schemaVersion": 2, "manifests": [], "layers": []}, "", "form"),
    ],
)
def test_what_is_refused(document: dict[str, Any], content_type: str, message: str) -> None:
    with pytest.raises(TrustError, match=message):
        kind_of(document, content_type, "it")


@pytest.mark.parametrize(
    "entries",
    [
        "x",
        [1],
        [{**entry(os="linux"), "platform": "linux"}],
        [entry(os=["linux"])],
        [{**entry(os="linux"), "size": -1}],
        [entry(os="linux", architecture="amd64")] * (MAX_CHILDREN + 1),
    ],
)
def test_damaged_indexes(entries: Any) -> None:
    with pytest.raises(TrustError):
        children({"manifests": entries}, "it")


def test_attestations_say_what_they_are_about() -> None:
    about = {
        **entry(os="unknown", architecture="unknown"),
        "annotations": {"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": DIGEST},
    }
    assert [each.about for each in children({"manifests": [entry(os="linux"), about]}, "it")] == ["", DIGEST]
