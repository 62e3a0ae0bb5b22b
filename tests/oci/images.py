"""Small images for tests."""

from __future__ import annotations

import gzip
import hashlib
import io
from collections.abc import Sequence

import zstandard

from hullkit.oci.document import Descriptor
from hullkit.oci.image import LAYER, Image, Layer
from hullkit.oci.store import Store
from hullkit.tree.entry import Bytes, Entry, EntryType
from hullkit.tree.tar import write_tar

CONFIG = {"architecture": "amd64", "os": "linux", "config": {"Labels": {"a": "b"}, "Env": ["X=1"]}}


def file(path: str, data: bytes = b"", mode: int = 0o644) -> Entry:
    return Entry(path, EntryType.FILE, mode, content=Bytes(data))


def tar_of(entries: Sequence[Entry]) -> bytes:
    stream = io.BytesIO()
    write_tar(entries, stream)
    return stream.getvalue()


def compressed(data: bytes, how: str) -> bytes:
    if how == "gzip":
        return gzip.compress(data, 6, mtime=0)
    if how == "zstd":
        return zstandard.ZstdCompressor().compress(data)
    return data


def layer_of(store: Store, tar: bytes, how: str = "gzip") -> Layer:
    suffix = f"+{how}" if how != "none" else ""
    blob = store.add_blob(compressed(tar, how), media_type=LAYER + suffix)
    return Layer(blob, "sha256:" + hashlib.sha256(tar).hexdigest())


def image_of(store: Store, *layers: Sequence[Entry]) -> Image:
    return store.add_image(CONFIG, [layer_of(store, tar_of(layer)) for layer in layers])


def stored(store: Store, document: bytes, media_type: str) -> Descriptor:
    return store.add_blob(document, media_type=media_type)
