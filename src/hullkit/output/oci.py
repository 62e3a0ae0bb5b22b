"""oci: the system as an OCI image in an OCI image layout archive (image-layout.md), ready to be pushed.

Layers: one for each segment. They are not compressed: what is worth compressing in a packed system is compressed
already.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from hullkit.assemble.system import System, settled
from hullkit.context import Context
from hullkit.output import output_format
from hullkit.tree.entry import Bytes, Entry, EntryType, FileSlice
from hullkit.tree.tar import write_tar
from hullkit.tree.tree import Tree

_INDEX = "application/vnd.oci.image.index.v1+json"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"


class _Archive:
    """The members of the layout archive; blobs are named by their digests."""

    def __init__(self) -> None:
        self.tree = Tree()

    def file(self, path: str, content: Bytes | FileSlice) -> None:
        self.tree.add(Entry(path, EntryType.FILE, 0o644, content=content))

    def blob(self, media_type: str, content: Bytes | FileSlice) -> dict[str, Any]:
        digest = hashlib.sha256()
        for chunk in content.chunks():
            digest.update(chunk)
        self.file(f"blobs/sha256/{digest.hexdigest()}", content)
        return {"mediaType": media_type, "digest": f"sha256:{digest.hexdigest()}", "size": content.size}

    def json(self, media_type: str, value: Any) -> dict[str, Any]:
        return self.blob(media_type, Bytes(_json(value)))


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _layer(entries: Iterable[Entry], path: Path) -> FileSlice:
    with open(path, "wb") as stream:
        write_tar(settled(entries).entries(), stream)
    return FileSlice(path, 0, path.stat().st_size)


@output_format("oci", ".oci.tar", summary="the system as an OCI image, in a layout archive")
def write(context: Context, system: System, files: Mapping[str, BinaryIO]) -> None:
    groups = [(segment.name, list(segment.entries)) for segment in system.segments]
    with context.cache.temp_dir() as work:
        archive = _Archive()
        layers = [
            archive.blob(_LAYER, _layer(entries, work / str(number)))
            for number, (_, entries) in enumerate(groups)
            if entries
        ]
        config = {
            "architecture": system.arch,
            "os": "linux",
            "config": {"Labels": {"org.hullkit.layout": system.layout, "org.hullkit.system": system.name}},
            "rootfs": {"type": "layers", "diff_ids": [layer["digest"] for layer in layers]},
            "history": [{"created_by": f"hullkit: {name}"} for name, entries in groups if entries],
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": archive.json(_CONFIG, config),
            "layers": layers,
        }
        described = archive.json(_MANIFEST, manifest)
        described["platform"] = {"architecture": system.arch, "os": "linux"}
        described["annotations"] = {"org.opencontainers.image.ref.name": system.name}
        index = {"schemaVersion": 2, "mediaType": _INDEX, "manifests": [described]}
        archive.file("index.json", Bytes(_json(index)))
        archive.file("oci-layout", Bytes(_json({"imageLayoutVersion": "1.0.0"})))
        write_tar(archive.tree.entries(), files[".oci.tar"])
