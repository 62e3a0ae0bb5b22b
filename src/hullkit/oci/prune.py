"""Removing from the cache: images by name, or everything that can be fetched or made again."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from hullkit.cache import Cache, remove_tree
from hullkit.errors import HullError, NotFound
from hullkit.oci.document import MAX_DOCUMENT, descriptor_of, list_of, read_document
from hullkit.oci.store import Named, Store

#: parts of the cache and what a person knows them as
PARTS: Mapping[str, str] = {
    "oci": "images",
    "steps": "results of steps",
    "debian": "packages and indexes",
    "tools": "host tools",
    "partial": "broken transfers",
}
_MAX_PARTS = 2048


def remove_images(store: Store, names: Iterable[Named]) -> int:
    """Take names away, and the blobs that nothing else in the store needs; returns how many bytes that frees."""
    gone = list(names)
    for each in gone:
        store.untag(each.name, each.arch)
    candidates: set[str] = set()
    for each in gone:
        for digest in dict.fromkeys((each.root, each.digest)):
            candidates |= _reachable(store, digest)
    needed = _needed(store, candidates)
    freed = 0
    # Manifests first: an image whose manifest is gone is not found any more.
    for digest in sorted(candidates - needed, key=lambda digest: not _is_manifest(store, digest)):
        try:
            path = store.blob(digest)
            size = path.stat().st_size
            path.unlink()
            freed += size
        except (NotFound, FileNotFoundError):
            pass
    return freed


def _needed(store: Store, candidates: set[str]) -> set[str]:
    """Blobs that another manifest of the store speaks of: images with other names, and those of components, which have
    none."""
    kept: set[str] = set()
    for each in store.names():
        for digest in (each.root, each.digest):
            kept |= _reachable(store, digest)
    for digest in store.blobs():
        if digest not in candidates:
            kept |= _below(store, digest)
    return kept


def _reachable(store: Store, digest: str) -> set[str]:
    found: set[str] = set()
    waiting = [digest]
    while waiting:
        each = waiting.pop()
        if each not in found and store.has(each):
            found.add(each)
            waiting += _below(store, each)
    return found


def _below(store: Store, digest: str) -> set[str]:
    """Digests that a blob speaks of, if it is a manifest or an index."""
    if not _is_manifest(store, digest):
        return set()
    document = read_document(store.blob(digest), digest)
    parts = [document.get("config"), *list_of(document, "layers", digest, _MAX_PARTS)]
    parts += list_of(document, "manifests", digest, _MAX_PARTS)
    return {descriptor_of(each, digest).digest for each in parts if each is not None}


def _is_manifest(store: Store, digest: str) -> bool:
    try:
        path = store.blob(digest)
        with open(path, "rb") as stream:
            if path.stat().st_size > MAX_DOCUMENT or stream.read(1) != b"{":
                return False
        document = read_document(path, digest)
        return document.get("schemaVersion") == 2 and ("layers" in document or "manifests" in document)
    except (HullError, FileNotFoundError):
        return False


def clean(cache: Cache, parts: Iterable[str] = PARTS) -> dict[str, int]:
    """Empty parts of the cache; returns the bytes that were in each. Work in progress of others stays."""
    freed: dict[str, int] = {}
    for part in parts:
        path = cache.root / part
        if not path.exists():
            continue
        with cache.temp_dir() as work:
            # Out of sight at once, whole: nobody finds half a part.
            moved = work / part
            os.rename(path, moved)
            freed[part] = _size(moved)
            remove_tree(moved)
    return freed


def _size(path: Path) -> int:
    """Bytes on the disk below a directory; a file with several names counts once."""
    seen: set[tuple[int, int]] = set()
    total = 0
    for directory, _, files in os.walk(path):
        for name in files:
            status = os.lstat(os.path.join(directory, name))
            if (status.st_dev, status.st_ino) not in seen:
                seen.add((status.st_dev, status.st_ino))
                total += status.st_blocks * 512
    return total
