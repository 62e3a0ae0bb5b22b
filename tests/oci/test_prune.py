"""Removing images: what others need stays."""

from __future__ import annotations

import os

from hullkit.cache import Cache
from hullkit.context import Context
from hullkit.oci.prune import clean, remove_images
from hullkit.oci.store import Named, Store
from tests.oci.images import file, image_of


def blobs(store: Store) -> set[str]:
    return set(store.blobs())


def named(store: Store, name: str) -> list[Named]:
    return [each for each in store.names() if each.name == name]


def test_an_image_goes_with_its_blobs(store: Store) -> None:
    image = image_of(store, [file("a", b"1" * 1000)])
    size = sum(store.blob(each).stat().st_size for each in blobs(store))
    store.tag("x", "amd64", image.digest)
    assert remove_images(store, named(store, "x")) == size
    assert not blobs(store) and not store.names()
    assert remove_images(store, [Named("x", "amd64", image.digest, image.digest)]) == 0


def test_what_another_name_needs_stays(store: Store) -> None:
    shared = [file("shared", b"1" * 500)]
    one, two = image_of(store, shared, [file("one")]), image_of(store, shared, [file("two")])
    for name, image in (("x", one), ("y", two), ("z", one)):
        store.tag(name, "amd64", image.digest)
    own = one.layers[1].descriptor.digest
    assert remove_images(store, named(store, "x")) == 0
    assert remove_images(store, named(store, "z")) > 0
    assert [each.name for each in store.names()] == ["y"]
    assert {*(each.descriptor.digest for each in two.layers), two.digest} < blobs(store)
    assert own not in blobs(store)


def test_what_an_image_without_a_name_needs_stays(store: Store) -> None:
    """A component's image has no name in the store."""
    shared = [file("shared")]
    component = image_of(store, shared)
    pulled = image_of(store, shared, [file("more")])
    store.tag("x", "amd64", pulled.digest)
    remove_images(store, named(store, "x"))
    assert blobs(store) == {
        component.digest,
        str(component.manifest["config"]["digest"]),
        component.layers[0].descriptor.digest,
    }


def test_one_architecture_only(store: Store) -> None:
    image = image_of(store, [file("a")])
    store.tag("x", "amd64", image.digest)
    store.tag("x", "arm64", image.digest)
    remove_images(store, [each for each in named(store, "x") if each.arch == "arm64"])
    assert [each.arch for each in store.names()] == ["amd64"] and store.has(image.digest)


def test_clean(context: Context, store: Store) -> None:
    image_of(store, [file("a", b"1" * 100_000)])
    cache: Cache = context.cache
    big = cache.path("steps", "kind", "result")
    big.write_bytes(os.urandom(50_000))
    os.link(big, big.parent / "again")
    (cache.path("elsewhere", "mine")).write_text("not ours")
    with cache.temp_dir() as work:
        (work / "running").write_text("")
        freed = clean(cache)
        assert (work / "running").exists()
    assert set(freed) == {"oci", "steps"} and 50_000 <= freed["steps"] < 100_000
    assert sorted(path.name for path in cache.root.iterdir()) == ["elsewhere", "locks", "tmp"]
    assert not list((cache.root / "tmp").iterdir())
    assert clean(cache) == {}
    assert store.has(image_of(store, [file("a")]).digest)
