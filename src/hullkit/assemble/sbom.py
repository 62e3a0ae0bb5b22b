"""LinuxKit's bill of materials: the SPDX documents that images carry as attestations, put together.

It knows of nothing but what images bring along. (BuildKit: attestation storage; in-toto: Statement; SPDX 2.3.)
"""

from __future__ import annotations

import hashlib
import json
import posixpath
import uuid
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from hullkit import __version__
from hullkit.assemble.flatoptions import SbomOptions
from hullkit.assemble.images import SystemImage
from hullkit.assemble.rootfs import TIME
from hullkit.errors import TrustError
from hullkit.oci.document import list_of, object_of, read_document
from hullkit.oci.index import children
from hullkit.oci.store import Named, Store
from hullkit.tree.entry import Bytes, Entry, EntryType

_PREDICATE = "in-toto.io/predicate-type"
_SPDX = "https://spdx.dev/Document"
_MAX_STATEMENT = 256 << 20
_MAX_ITEMS = 10_000_000
#: lists of an SPDX document, in the order of its specification
_LISTS = (
    "packages",
    "files",
    "hasExtractedLicensingInfos",
    "relationships",
    "annotations",
    "externalDocumentRefs",
)
#: the keys that are paths, of the items of a list
_PATHS = {"packages": "packageFileName", "files": "fileName"}


def sbom_entry(store: Store, images: Iterable[tuple[SystemImage, str]], options: SbomOptions) -> Entry:
    """One document of those of all images; the names in them are put below the directory where the image lies.

    TrustError for a damaged attestation.
    """
    merged: dict[str, list[Any]] = {name: [] for name in _LISTS}
    names = store.names()
    for image, prefix in images:
        for document in _attached(store, image, names):
            for name in _LISTS:
                items = list_of(document, name, f"bill of materials of {image.reference}", _MAX_ITEMS)
                merged[name] += [_placed(item, _PATHS.get(name), prefix) for item in items]
    time = datetime.now(UTC) if options.current_time else datetime.fromtimestamp(TIME, UTC)
    found = {name: items for name, items in merged.items() if items}
    digest = hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()
    document = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": "sbom",
        "documentNamespace": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, digest)}",
        "creationInfo": {
            "creators": [f"Tool: hullkit-{__version__}"],
            "created": time.strftime("%Y-%m-%dT%H:%M:%SZ"),
        },
        **found,
    }
    data = json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
    return Entry(options.path, EntryType.FILE, 0o644, mtime=TIME, content=Bytes(data))


def _placed(item: Any, key: str | None, prefix: str) -> Any:
    if key is None or not isinstance(item, Mapping) or not isinstance(item.get(key), str):
        return item
    name = str(item[key])
    return {**item, key: posixpath.normpath(f"{prefix}/{name}") if prefix else name}


def _attached(store: Store, image: SystemImage, names: Iterable[Named]) -> Iterator[Mapping[str, Any]]:
    """The SPDX documents of an image, as far as the store has them."""
    digest = image.image.digest
    roots = sorted({named.root for named in names if named.digest == digest and named.root != digest})
    for root in roots[:1]:
        what = f"{image.reference}: index {root}"
        if not store.has(root):
            continue
        for child in children(read_document(store.blob(root), what), what):
            if child.about == digest and store.has(child.descriptor.digest):
                yield from _statements(store, child.descriptor.digest, what)


def _statements(store: Store, manifest: str, what: str) -> Iterator[Mapping[str, Any]]:
    for layer in list_of(read_document(store.blob(manifest), what), "layers", what, _MAX_ITEMS):
        if object_of(layer, "annotations", what).get(_PREDICATE) != _SPDX:
            continue
        statement = read_document(store.blob(str(layer.get("digest"))), what, _MAX_STATEMENT)
        predicate = statement.get("predicate")
        if not isinstance(predicate, dict):
            raise TrustError(f"{what}: an attestation without a document")
        yield predicate
