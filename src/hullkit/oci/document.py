"""Reading the JSON documents of images: bounded and strict, since they come from elsewhere."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hullkit.errors import TrustError
from hullkit.oci.digest import check_digest

#: registries accept manifests of at most 4 MiB (OCI distribution-spec, "Pushing Manifests"); configs are alike
MAX_DOCUMENT = 4 << 20
_MAX_SIZE = 1 << 50


@dataclass(frozen=True, slots=True)
class Descriptor:
    """What names a blob (OCI image-spec, descriptor.md); ``size`` in bytes."""

    media_type: str
    digest: str
    size: int
    annotations: Mapping[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        plain: dict[str, Any] = {"mediaType": self.media_type, "digest": self.digest, "size": self.size}
        return {**plain, "annotations": dict(self.annotations)} if self.annotations else plain


def encode(value: Any) -> bytes:
    """JSON in one canonical form, so that equal values have equal digests."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def read_document(path: Path, what: str, limit: int = MAX_DOCUMENT) -> dict[str, Any]:
    with open(path, "rb") as stream:
        data = stream.read(limit + 1)
    if len(data) > limit:
        raise TrustError(f"{what} is larger than {limit} bytes")
    return parse_document(data, what)


def parse_document(data: bytes, what: str) -> dict[str, Any]:
    """A JSON object; TrustError for anything else, a key given twice, or absurd nesting. ``what`` is for errors."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise TrustError(f"{what}: a key is given twice")
        return found

    try:
        value = json.loads(data.decode(), object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise TrustError(f"{what} is not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise TrustError(f"{what} is not a JSON object")
    return value


def object_of(document: Mapping[str, Any], key: str, what: str) -> dict[str, Any]:
    """The object at ``key``; empty when absent or null."""
    value = document.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise TrustError(f"{what}: {key} is not an object")
    return value


def list_of(document: Mapping[str, Any], key: str, what: str, limit: int) -> list[Any]:
    """The list at ``key``; empty when absent or null."""
    value = document.get(key)
    if value is None:
        return []
    if not isinstance(value, list) or len(value) > limit:
        raise TrustError(f"{what}: {key} is not a list of at most {limit}")
    return value


def strings_of(document: Mapping[str, Any], key: str, what: str) -> dict[str, str]:
    """The map of strings at ``key``; empty when absent or null."""
    value = object_of(document, key, what)
    if not all(isinstance(each, str) for each in value.values()):
        raise TrustError(f"{what}: {key} holds a value that is not a string")
    return value


def descriptor_of(value: Any, what: str) -> Descriptor:
    if not isinstance(value, dict):
        raise TrustError(f"{what}: a descriptor is not an object")
    media_type, size = value.get("mediaType"), value.get("size")
    if not isinstance(media_type, str) or not isinstance(size, int) or isinstance(size, bool):
        raise TrustError(f"{what}: a descriptor without mediaType or size")
    if not 0 <= size <= _MAX_SIZE:
        raise TrustError(f"{what}: a blob of {size} bytes cannot be")
    return Descriptor(media_type, check_digest(value.get("digest")), size, strings_of(value, "annotations", what))
