"""The layout store: what it accepts, what it refuses, and that several users and killed users leave it whole."""

from __future__ import annotations

import hashlib
import io
import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hullkit.cache import Cache
from hullkit.context import Context
from hullkit.errors import HullError, NotFound, TrustError
from hullkit.oci.digest import check_digest, digest_of
from hullkit.oci.export import export_layout
from hullkit.oci.image import LAYER
from hullkit.oci.store import Store
from tests.oci.images import CONFIG, file, image_of, layer_of, tar_of


def files(root: Path) -> set[str]:
    """All files of a cache but its locks."""
    return {
        str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir() and path.parent.name != "locks"
    }


def test_add_blob(store: Store, context: Context, tmp_path: Path) -> None:
    data = os.urandom(3 << 20)
    digest = digest_of(data)
    source = tmp_path / "source"
    source.write_bytes(data)
    pieces: Iterator[bytes] = (data[start : start + 1000] for start in range(0, len(data), 1000))
    for content in (data, source, pieces):
        found = store.add_blob(content, media_type="x/y", expect_digest=digest, expect_size=len(data))
        assert (found.media_type, found.digest, found.size) == ("x/y", digest, len(data))
        assert store.blob(digest).read_bytes() == data
    assert source.exists() and store.has(digest)
    assert files(context.cache.root) == {"oci/oci-layout", f"oci/blobs/sha256/{digest[7:]}"}
    assert json.loads((context.cache.root / "oci/oci-layout").read_text()) == {"imageLayoutVersion": "1.0.0"}


def test_add_blob_moves(store: Store, context: Context) -> None:
    with context.cache.temp_dir() as work:
        made = work / "x"
        made.write_bytes(b"moved")
        digest = store.add_blob(made, move=True).digest
        assert not made.exists()
    assert store.blob(digest).read_bytes() == b"moved"


def test_sha512(store: Store) -> None:
    digest = "sha512:" + hashlib.sha512(b"x").hexdigest()
    assert store.add_blob(b"x", expect_digest=digest).digest == digest
    assert store.blob(digest).read_bytes() == b"x"


def test_what_is_not_as_expected_is_not_added(store: Store, context: Context) -> None:
    with pytest.raises(TrustError, match="has the content of"):
        store.add_blob(b"evil", expect_digest=digest_of(b"good"))
    with pytest.raises(TrustError, match="3 bytes instead of 4"):
        store.add_blob(b"abc", expect_size=4)

    def endless() -> Iterator[bytes]:
        while True:
            yield bytes(1000)

    with pytest.raises(TrustError, match="more than the expected 5000"):
        store.add_blob(endless(), expect_size=5000)

    def broken() -> Iterator[bytes]:
        yield b"half"
        raise HullError("connection lost")

    with pytest.raises(HullError, match="connection lost"):
        store.add_blob(broken())
    assert files(context.cache.root) == set()
    with pytest.raises(NotFound):
        store.blob(digest_of(b"good"))


@pytest.mark.parametrize("text", ["", "sha256:", "sha256:../../x", "sha256:" + "A" * 64, "md5:" + "0" * 32, None, 5])
def test_digests_cannot_lead_elsewhere(store: Store, text: str) -> None:
    with pytest.raises(TrustError, match="not a sha256"):
        check_digest(text)
    with pytest.raises(TrustError):
        store.has(text) if isinstance(text, str) else check_digest(text)


def test_images_and_names(store: Store) -> None:
    image = image_of(store, [file("a", b"1")], [file("b", b"2")])
    other = image_of(store, [file("a", b"1")])
    assert image.digest == image_of(store, [file("a", b"1")], [file("b", b"2")]).digest
    assert image.labels == {"a": "b"} and len(image.layers) == 2 and image.architecture == "amd64"
    assert image.config["rootfs"]["diff_ids"] == [layer.diff_id for layer in image.layers]
    assert store.find("x", "amd64") is None
    store.tag("x", "amd64", image.digest)
    store.tag("x", "arm64", other.digest)
    store.tag("w", "amd64", other.digest)
    found = store.find("x", "amd64")
    assert found is not None and found.digest == image.digest and found.layers == image.layers
    store.tag("x", "amd64", other.digest)
    found = store.find("x", "amd64")
    assert found is not None and found.digest == other.digest
    assert store.image(image.digest).labels == {"a": "b"}
    with pytest.raises(NotFound):
        store.tag("y", "amd64", digest_of(b"nothing"))
    with pytest.raises(NotFound):
        layer = layer_of(store, tar_of([file("gone")]))
        store.blob(layer.descriptor.digest).unlink()
        store.add_image(CONFIG, [layer])


def test_the_index_is_valid_and_sorted(store: Store, context: Context) -> None:
    image = image_of(store, [file("a")])
    for name in ("b", "c", "a"):
        store.tag(name, "amd64", image.digest)
    index = json.loads((context.cache.root / "oci/index.json").read_text())
    assert index["schemaVersion"] == 2
    assert [each["annotations"]["org.opencontainers.image.ref.name"] for each in index["manifests"]] == ["a", "b", "c"]
    assert index["manifests"][0]["platform"] == {"architecture": "amd64", "os": "linux"}


def test_a_damaged_index_is_one_clear_error(store: Store, context: Context) -> None:
    path = context.cache.path("oci", "index.json")
    for text in ("{", "[]", '{"manifests": 5}', '{"manifests": [5]}', "[" * 100_000):
        path.write_text(text)
        with pytest.raises(TrustError, match=r"index\.json"):
            store.find("x", "amd64")


def test_an_image_whose_manifest_is_gone_is_not_found(store: Store) -> None:
    image = image_of(store, [file("a")])
    store.tag("x", "amd64", image.digest)
    store.blob(image.digest).unlink()
    assert store.find("x", "amd64") is None


def test_export_is_a_layout_and_always_the_same(store: Store) -> None:
    image = image_of(store, [file("a", b"1")])
    first, second = io.BytesIO(), io.BytesIO()
    export_layout([("name:1", image)], first)
    export_layout([("name:1", image)], second)
    assert first.getvalue() == second.getvalue()
    first.seek(0)
    with tarfile.open(fileobj=first) as archive:
        content = {member.name: archive.extractfile(member) for member in archive if member.isfile()}
        data = {name: stream.read() for name, stream in content.items() if stream}
    index = json.loads(data["index.json"])
    (named,) = index["manifests"]
    assert named["annotations"] == {"org.opencontainers.image.ref.name": "name:1"}
    for name, value in data.items():
        if name.startswith("blobs/"):
            assert hashlib.sha256(value).hexdigest() == name.rpartition("/")[2]
    manifest = json.loads(data["blobs/sha256/" + named["digest"][7:]])
    assert f"blobs/sha256/{manifest['config']['digest'][7:]}" in data
    assert len(data) == 2 + 3


def _work(root: str, seed: int) -> None:
    """Add and tag images that others add and tag too."""
    store = Store(Cache(Path(root)))
    order = list(range(12))
    random.Random(seed).shuffle(order)
    for number in order:
        layer = store.add_layer([file(f"f{number}", bytes([number]) * 200_000)])
        image = store.add_image(CONFIG, [layer])
        store.tag(f"image-{number}", "amd64", image.digest)
        store.tag(f"mine-{seed}-{number}", "amd64", image.digest)


def test_processes_share_a_store(tmp_path: Path) -> None:
    root = tmp_path / "cache"
    spawn = multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=_work, args=(str(root), seed)) for seed in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    store = Store(Cache(root))
    for number in range(12):
        image = store.find(f"image-{number}", "amd64")
        assert image is not None
        for layer in image.layers:
            data = store.blob(layer.descriptor.digest).read_bytes()
            assert digest_of(data) == layer.descriptor.digest
        for seed in range(3):
            mine = store.find(f"mine-{seed}-{number}", "amd64")
            assert mine is not None and mine.digest == image.digest
    assert len([name for name in files(root) if "/blobs/" in name]) == 36
    assert list((root / "tmp").iterdir()) == []


KILLED = """
import sys
from pathlib import Path
from hullkit.cache import Cache
from hullkit.oci.store import Store
from tests.oci.images import CONFIG, file
store = Store(Cache(Path(sys.argv[1])))
print("ready", flush=True)
for number in range(10000):
    layer = store.add_layer([file("f", number.to_bytes(4, "big") * 500_000)])
    image = store.add_image(CONFIG, [layer])
    store.tag("latest", "amd64", image.digest)
    print(number, flush=True)
"""


def test_killed_at_any_moment(tmp_path: Path) -> None:
    """After SIGKILL the store is valid, the next user sweeps what was left, and nothing else is there."""
    root = tmp_path / "cache"
    chance = random.Random(5)
    checkout = Path(__file__).resolve().parent.parent.parent
    for _ in range(8):
        worker = subprocess.Popen(
            [sys.executable, "-c", KILLED, root], stdout=subprocess.PIPE, cwd=checkout, env={**os.environ, "TZ": "UTC"}
        )
        assert worker.stdout is not None and worker.stdout.readline() == b"ready\n"
        time.sleep(chance.uniform(0.01, 0.3))
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        worker.stdout.close()
        store = Store(Cache(root))
        layer = store.add_layer([file("after", b"the kill")])
        assert store.blob(layer.descriptor.digest).stat().st_size == layer.descriptor.size
        assert list((root / "tmp").iterdir()) == []
        image = store.find("latest", "amd64")
        if image is not None:
            assert len(image.layers) == 1
        for name in files(root):
            assert name in ("oci/oci-layout", "oci/index.json") or name.startswith("oci/blobs/sha256/")
        for blob in (root / "oci/blobs/sha256").iterdir():
            assert hashlib.sha256(blob.read_bytes()).hexdigest() == blob.name
            if blob.stat().st_size > 1000:
                blob.unlink()


@pytest.mark.parametrize("mask", [0o077, 0o022])
def test_same_bytes_whatever_the_environment(tmp_path: Path, mask: int) -> None:
    program = (
        "import os, sys; os.umask(int(sys.argv[2]))\n"
        "from pathlib import Path\n"
        "from hullkit.cache import Cache\n"
        "from hullkit.oci.store import Store\n"
        "from tests.oci.images import file, image_of\n"
        "store = Store(Cache(Path(sys.argv[1])))\n"
        "print(image_of(store, [file('é\\udcff', b'1')], [file('b', b'2')]).digest)\n"
    )
    environment = {**os.environ, "TZ": "Asia/Tokyo" if mask == 0o077 else "America/Lima", "LC_ALL": "C", "LANG": "C"}
    ended = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "cache", str(mask)],
        env=environment,
        cwd=Path(__file__).resolve().parent.parent.parent,
        check=True,
        capture_output=True,
        text=True,
    )
    here = Store(Cache(tmp_path / "here"))
    assert ended.stdout.strip() == image_of(here, [file("é\udcff", b"1")], [file("b", b"2")]).digest


def test_layers_are_stored_uncompressed(store: Store) -> None:
    layer = store.add_layer([file("a", b"1")])
    assert layer.descriptor.media_type == LAYER and layer.diff_id == layer.descriptor.digest
