"""Layers: out of their compression, into entries, over each other; hostile ones leave an error and nothing else."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard

import hullkit.oci.layers
from hullkit.context import Context
from hullkit.errors import HostError, TrustError
from hullkit.oci.decompress import LayerLimits
from hullkit.oci.digest import digest_of
from hullkit.oci.image import LAYER, Layer
from hullkit.oci.layers import flatten, layer_entries, layer_tar
from hullkit.oci.store import Store
from hullkit.tree.entry import Entry, EntryType, FileSlice
from tests.oci.images import compressed, file, image_of, layer_of, tar_of

ENTRIES = [
    Entry("d", EntryType.DIR, 0o1777, 1, 2, 3),
    file("d/f", b"x" * 5000, 0o4755),
    Entry("d/h", EntryType.HARDLINK, 0o4755, target="d/f"),
    Entry("s", EntryType.SYMLINK, 0o777, target="/nowhere"),
    Entry("n", EntryType.CHAR, 0o666, rdev=(1, 3)),
    Entry("ros\udce9", EntryType.FIFO, 0o600, xattrs=(("user.x", b"\xff\x00"),)),
    file("d/.wh.gone"),
]


def cached(context: Context) -> list[str]:
    root = context.cache.root
    kept = [path for path in root.rglob("*") if path.is_file() and path.parent.name != "locks"]
    return sorted(str(path.relative_to(root)) for path in kept if "blobs" not in path.parts)


@pytest.mark.parametrize("how", ["none", "gzip", "zstd"])
def test_entries_of_a_layer(context: Context, store: Store, how: str) -> None:
    tar = tar_of(ENTRIES)
    layer = layer_of(store, tar, how)
    assert layer_tar(context, store, layer).read_bytes() == tar
    for _ in range(2):  # the second time from the index
        found = layer_entries(context, store, layer, "nginx")
        assert len(found) == len(ENTRIES)
        for entry, expected in zip(found, ENTRIES, strict=True):
            assert (entry.owner.image, entry.owner.layer) == ("nginx", layer.diff_id)
            for name in ("path", "type", "mode", "uid", "gid", "mtime", "target", "rdev", "xattrs", "size"):
                assert getattr(entry, name) == getattr(expected, name), name
            if expected.content is not None:
                assert isinstance(entry.content, FileSlice)
                assert b"".join(entry.content.chunks()) == b"".join(expected.content.chunks())


def test_the_tar_is_parsed_once(context: Context, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    layer = layer_of(store, tar_of(ENTRIES))
    first = layer_entries(context, store, layer, "a")
    monkeypatch.setattr(hullkit.oci.layers, "read_tar", lambda *_args, **_options: pytest.fail("parsed again"))
    assert layer_entries(context, store, layer, "a") == first


def test_several_members_and_frames(context: Context, store: Store) -> None:
    tar = tar_of(ENTRIES)
    half = len(tar) // 2
    for how in ("gzip", "zstd"):
        blob = compressed(tar[:half], how) + compressed(tar[half:], how) + (bytes(700) if how == "gzip" else b"")
        layer = Layer(store.add_blob(blob, media_type=LAYER + "+" + how), digest_of(tar))
        assert layer_tar(context, store, layer).read_bytes() == tar
        layer_tar(context, store, layer).unlink()


def broken(how: str) -> Iterator[tuple[str, bytes]]:
    good = compressed(tar_of([file("f", os.urandom(100_000))]), how)
    yield "truncated", good[: len(good) // 2]
    yield "damaged", good[:1000] + bytes(50) + good[1050:]
    yield "trailing", good + b"garbage after the end"
    yield "header only", good[:4]


@pytest.mark.parametrize("how", ["gzip", "zstd"])
def test_damaged_data(context: Context, store: Store, how: str) -> None:
    for what, blob in broken(how):
        layer = Layer(store.add_blob(blob, media_type=LAYER), digest_of(b"some content"))
        with pytest.raises(TrustError, match=f"layer {layer.descriptor.digest}: ") as caught:
            layer_tar(context, store, layer)
        assert "\n" not in str(caught.value), what
        assert cached(context) == ["oci/oci-layout"]


def test_content_must_be_what_the_diff_id_says(context: Context, store: Store) -> None:
    for how in ("gzip", "none"):
        blob = store.add_blob(compressed(tar_of([file("evil")]), how), media_type=LAYER)
        with pytest.raises(TrustError, match=r"instead of|calls its content"):
            layer_tar(context, store, Layer(blob, digest_of(tar_of([file("good")]))))
    assert cached(context) == ["oci/oci-layout"]


def zeros(size: int) -> Iterator[bytes]:
    for _ in range(size >> 20):
        yield bytes(1 << 20)


def bomb(size: int, how: str) -> bytes:
    if how == "zstd":
        compressor = zstandard.ZstdCompressor(level=1).compressobj()
        return b"".join(compressor.compress(chunk) for chunk in zeros(size)) + compressor.flush()
    piece = gzip.compress(bytes(64 << 20), 9)
    return piece * (size >> 26)


@pytest.mark.parametrize("how", ["gzip", "zstd"])
def test_a_bomb_of_ten_gigabytes(context: Context, store: Store, how: str) -> None:
    """Refused after a small part of it; 100 MB of memory are enough; nothing stays."""
    blob = bomb(10 << 30 if how == "zstd" else 1 << 30, how)
    assert len(blob) < 1_100_000
    layer = Layer(store.add_blob(blob, media_type=LAYER), digest_of(b""))
    with pytest.raises(TrustError, match="decompression bomb"):
        layer_tar(context, store, layer)
    assert cached(context) == ["oci/oci-layout"] and list((context.cache.root / "tmp").iterdir()) == []


def test_a_damaged_cache(context: Context, store: Store) -> None:
    layer = store.add_layer([file("f", b"x" * 5000)])
    blob = store.blob(layer.descriptor.digest)
    os.truncate(blob, 1000)
    with pytest.raises(TrustError, match=f"remove {blob}"):
        layer_tar(context, store, layer)


FULL = """
import os, sys
from pathlib import Path
from hullkit.cache import Cache
from hullkit.context import Context
from hullkit.errors import HostError
from hullkit.oci.image import Layer
from hullkit.oci.layers import layer_tar
from hullkit.oci.store import Store
import zstandard
context = Context(Cache(Path(sys.argv[1])))
store = Store(context.cache)
blob = store.add_blob(zstandard.ZstdCompressor().compress(bytes(60 << 20)))
layer = Layer(blob, "sha256:" + "0" * 64)
for work in (lambda: store.add_blob(os.urandom(40 << 20)), lambda: layer_tar(context, store, layer)):
    try:
        work()
    except HostError as error:
        print(error)
print(sorted(str(path.relative_to(sys.argv[1])) for path in Path(sys.argv[1]).rglob("*") if path.is_file()
             and path.parent.name != "locks"))
"""


def test_a_disk_that_fills_up(tmp_path: Path) -> None:
    space = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-ec"]
    mount = f"mount -t tmpfs -o size=30m none {tmp_path}"
    if subprocess.run([*space, mount], capture_output=True).returncode:
        pytest.skip("no user namespaces here")
    command = [*space, f'{mount}; exec "$0" -c "$1" {tmp_path}/cache', sys.executable, FULL]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    assert len(lines) == 3 and all("no space left on the disk" in line for line in lines[:2])
    assert "oci-layout" in lines[2] and lines[2].count("oci/blobs") == 1 and lines[2].count(",") == 1


def test_a_disk_that_would_fill_up(context: Context, store: Store) -> None:
    layer = layer_of(store, tar_of([file("f", os.urandom(70 << 20))]), "zstd")
    with pytest.raises(HostError, match="fill the disk"):
        layer_tar(context, store, layer, LayerLimits(free=1 << 62))
    assert cached(context) == ["oci/oci-layout"]


def test_too_large_a_window_is_refused(context: Context, store: Store) -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=30, enable_ldm=True)
    blob = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    data = blob.compress(b"x" * 1000) + blob.flush()
    layer = Layer(store.add_blob(data, media_type=LAYER), digest_of(b"x" * 1000))
    with pytest.raises(TrustError, match="damaged zstd data"):
        layer_tar(context, store, layer)


@pytest.mark.parametrize(
    "entries",
    [
        [Entry("l", EntryType.HARDLINK, target="missing")],
        [file("f"), file("f/g")],
        [file(".wh..")],
    ],
)
def test_hostile_layers(context: Context, store: Store, entries: list[Entry]) -> None:
    with pytest.raises(TrustError):
        flatten(context, store, image_of(store, entries))


def test_a_climbing_name_in_a_layer(context: Context, store: Store) -> None:
    layer = layer_of(store, tar_of([file("../../etc/passwd", b"evil")]))
    with pytest.raises(TrustError, match=r"evil-image: layer sha256:.*\.\./\.\./etc/passwd.* not safe"):
        layer_entries(context, store, layer, "evil-image")
    assert not [name for name in cached(context) if "layer-index" in name]


def test_flatten(context: Context, store: Store) -> None:
    image = image_of(
        store,
        [file("a", b"1"), file("b", b"2"), Entry("c", EntryType.HARDLINK, target="b")],
        [file(".wh.b"), file("a", b"3"), file("x/y", b"4")],
    )
    found = {entry.path: entry for entry in flatten(context, store, image, "web").entries()}
    assert list(found) == ["a", "c", "x", "x/y"]
    assert found["c"].type is EntryType.FILE and found["c"].owner.layer == image.layers[0].diff_id
    assert found["a"].owner.layer == image.layers[1].diff_id and found["a"].owner.image == "web"


def test_a_layer_is_unpacked_once_for_all_images(context: Context, store: Store) -> None:
    tar = tar_of([file("f", b"x" * 10_000)])
    paths = {layer_tar(context, store, layer_of(store, tar, how)) for how in ("gzip", "zstd")}
    assert len(paths) == 1
    assert layer_tar(context, store, layer_of(store, tar, "none")) == store.blob(digest_of(tar))
