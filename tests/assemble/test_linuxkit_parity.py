"""What LinuxKit's build has beside the tree: --input-tar, the bill of materials, OCI volumes, compressed kernels."""

from __future__ import annotations

import gzip
import json
import lzma
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import zstandard

from hullkit.assemble.flatoptions import SbomOptions
from hullkit.assemble.gojson import go_json
from hullkit.assemble.vmlinux import decompressed, kernel_version
from hullkit.context import Context
from hullkit.errors import ConfigError, NetworkError, NotFound, TrustError
from hullkit.events import Event
from hullkit.oci.document import encode
from hullkit.oci.image import MANIFEST
from hullkit.oci.store import Store
from hullkit.output import write_formats
from hullkit.tree.entry import Bytes
from tests.assemble.systems import (
    add_image,
    base,
    content,
    context_in,
    document,
    names,
    records,
    system_of,
    tar_of,
    unfolded,
    written,
)

INDEX = "application/vnd.oci.image.index.v1+json"


@pytest.fixture
def context(tmp_path: Path) -> Context:
    made = context_in(tmp_path)
    for name in "abc":
        add_image(made, f"lab/{name}", base(name), config={"Cmd": [f"/bin/{name}"]})
    add_image(made, "lab/kernel", [("f", "kernel", b"k" * 5000), ("f", "kernel.tar", tar_of([("f", "m.ko", b"m")]))])
    return made


OLD = """
kernel: {image: lab/kernel, cmdline: old}
init: [lab/a, lab/b]
onboot: [{name: o, image: lab/a}]
services: [{name: s, image: lab/b}, {name: t, image: lab/c}]
files: [{path: etc/system.yml, metadata: yaml}]
"""


class TestInputTar:
    def build(self, context: Context, tmp_path: Path, new: str, old: str = OLD) -> list[Any]:
        written(context, system_of(context, tmp_path, old), tmp_path)
        (tmp_path / "written.tar").rename(tmp_path / "old.tar")
        system = system_of(context, tmp_path, new, input_tar=tmp_path / "old.tar")
        return written(context, system, tmp_path)

    def test_nothing_changed(self, context: Context, tmp_path: Path) -> None:
        entries = self.build(context, tmp_path, OLD)
        assert (tmp_path / "written.tar").read_bytes() == (tmp_path / "old.tar").read_bytes()
        assert records(entries[0])["LINUXKIT.location"] == "kernel"

    def test_what_changed_is_new_and_the_rest_old(self, context: Context, tmp_path: Path) -> None:
        new = (
            OLD.replace("cmdline: old", "cmdline: new")
            .replace("lab/b]", "lab/c]")
            .replace("name: s,", "name: s, env: [A=1],")
        )
        entries = self.build(context, tmp_path, new)
        # with the kernel its command line is copied, as LinuxKit does it
        assert content(entries, "boot/cmdline") == b"old"
        assert content(entries, "bin/sh").startswith(b"c")
        assert document(entries, "containers/services/s/config.json")["process"]["env"] == ["A=1"]
        assert "cmdline: new" in content(entries, "etc/system.yml").decode()
        for name in ("o", "s", "t"):
            assert [each for each in names(entries) if each.endswith(f"{name}/runtime.json")]

    def test_copied_members_make_an_initramfs(self, context: Context, tmp_path: Path) -> None:
        system = system_of(context, tmp_path, OLD)
        write_formats(context, system, ["tar"], tmp_path, "old")
        again = system_of(context, tmp_path, OLD, input_tar=tmp_path / "old.tar")
        write_formats(context, again, ["kernel+initrd"], tmp_path, "again")
        write_formats(context, system, ["kernel+initrd"], tmp_path, "plain")
        one, other = (b"".join(unfolded((tmp_path / f"{name}-initrd.img").read_bytes())) for name in ("again", "plain"))
        assert one.count(b"TRAILER!!!") and b"containers/services/t/lower/bin/sh" in one and other

    def test_volumes_are_left_out_and_that_is_told(self, context: Context, tmp_path: Path) -> None:
        told: list[Event] = []
        context.bus.subscribe(told.append)
        text = OLD + "volumes: [{name: v, image: lab/a}]\n"
        entries = self.build(context, tmp_path, text, text)
        assert not [name for name in names(entries) if name.startswith("containers/volumes")]
        assert [event for event in told if event.kind == "warning" and "volume v" in event.text]

    def test_a_tar_that_does_not_help(self, context: Context, tmp_path: Path) -> None:
        with pytest.raises(NotFound, match="no file"):
            system_of(context, tmp_path, OLD, input_tar=tmp_path / "none.tar")
        (tmp_path / "bad.tar").write_bytes(b"no archive" * 200)
        with pytest.raises(TrustError):
            system_of(context, tmp_path, OLD, input_tar=tmp_path / "bad.tar")
        (tmp_path / "other.tar").write_bytes(tar_of([("f", "etc/system.yml", b"bogus: 1\n")]))
        with pytest.raises(ConfigError, match="input-tar"):
            system_of(context, tmp_path, OLD, input_tar=tmp_path / "other.tar")
        # without a configuration in it there is nothing to compare with
        (tmp_path / "empty.tar").write_bytes(tar_of([]))
        entries = written(context, system_of(context, tmp_path, OLD, input_tar=tmp_path / "empty.tar"), tmp_path)
        assert content(entries, "boot/cmdline") == b"old"


def attest(context: Context, name: str, predicate: dict[str, Any]) -> None:
    """Put the image under ``name`` into an index with an attestation about it."""
    store = Store(context.cache)
    image = store.find(f"docker.io/{name}:latest", "amd64")
    assert image is not None
    statement = store.add_blob(
        json.dumps({"predicateType": "https://spdx.dev/Document", "predicate": predicate}).encode()
    )
    layer = {**statement.as_json(), "annotations": {"in-toto.io/predicate-type": "https://spdx.dev/Document"}}
    config = store.add_blob(b"{}")
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config.as_json(), "layers": [layer]}
    attestation = replace(store.add_blob(encode(manifest)), media_type=MANIFEST)
    about = {
        "vnd.docker.reference.type": "attestation-manifest",
        "vnd.docker.reference.digest": image.digest,
    }
    amd64, unknown = (
        {"architecture": arch, "os": system} for arch, system in (("amd64", "linux"), ("unknown", "unknown"))
    )
    manifests = [
        {**image.descriptor.as_json(), "platform": amd64},
        {**attestation.as_json(), "platform": unknown, "annotations": about},
    ]
    root = store.add_blob(encode({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}))
    store.tag(f"docker.io/{name}:latest", "amd64", image.digest, root.digest)


class TestSbom:
    def test_documents_of_images_are_put_together(self, context: Context, tmp_path: Path) -> None:
        packages = [{"name": "p", "SPDXID": "SPDXRef-p", "packageFileName": "usr/bin/p"}]
        attest(context, "lab/a", {"packages": packages, "files": [{"fileName": "/usr/bin/f"}]})
        text = "init: [lab/a]\nservices: [{name: s, image: lab/a}, {name: t, image: lab/b}]"
        system = system_of(context, tmp_path, text, sbom=SbomOptions())
        entries = written(context, system, tmp_path)
        assert names(entries)[-1] == "sbom.spdx.json" and not records(entries[-1])
        found = document(entries, "sbom.spdx.json")
        lower = "containers/services/s/lower"
        assert [each["packageFileName"] for each in found["packages"]] == ["usr/bin/p", f"{lower}/usr/bin/p"]
        assert [each["fileName"] for each in found["files"]] == ["/usr/bin/f", f"{lower}/usr/bin/f"]
        again = written(context, system_of(context, tmp_path, text, sbom=SbomOptions()), tmp_path)
        assert content(again, "sbom.spdx.json") == content(entries, "sbom.spdx.json")

    def test_docker_has_it_behind_the_dockerfile(self, context: Context, tmp_path: Path) -> None:
        system = system_of(context, tmp_path, "init: [lab/a]", sbom=SbomOptions("doc/bom.json"))
        assert names(written(context, system, tmp_path, "docker"))[-2:] == ["Dockerfile", "doc/bom.json"]

    def test_a_damaged_attestation(self, context: Context, tmp_path: Path) -> None:
        attest(context, "lab/a", {"packages": {"no": "list"}})
        with pytest.raises(TrustError, match="packages"):
            system_of(context, tmp_path, "init: [lab/a]", sbom=SbomOptions())


def test_a_volume_that_holds_an_image(context: Context, tmp_path: Path) -> None:
    attest(context, "lab/a", {})
    text = """
volumes:
  - {name: all, image: lab/a, format: oci}
  - {name: one, image: lab/a, format: oci, platforms: [linux/amd64]}
"""
    entries = written(context, system_of(context, tmp_path, text), tmp_path)
    everything, one = (f"containers/volumes/{name}/lower" for name in ("all", "one"))
    blobs = {
        base: [each for each in names(entries) if each.startswith(f"{base}/blobs/sha256/")]
        for base in (everything, one)
    }
    assert (len(blobs[everything]), len(blobs[one])) == (7, 4)
    named = document(entries, f"{one}/index.json")["manifests"][0]
    assert named["annotations"] == {"org.opencontainers.image.ref.name": "docker.io/lab/a"}
    index = document(entries, f"{one}/blobs/{named['digest'].replace(':', '/')}")
    assert len(index["manifests"]) == 2
    other = text.replace("linux/amd64", "linux/s390x")
    with pytest.raises(NetworkError, match="offline"):
        system_of(context, tmp_path, other)


def bzimage(payload: bytes, version: str = "6.6.71 (builder)") -> bytes:
    """A kernel with x86's setup header (boot protocol 2.15), one setup sector, and a payload."""
    setup = bytearray(0x400)
    setup[0x1F1] = 1
    setup[0x1FE:0x200] = b"\x55\xaa"
    setup[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", setup, 0x206, 0x20F)
    struct.pack_into("<H", setup, 0x20E, 0x100)
    setup[0x300 : 0x300 + len(version)] = version.encode()
    struct.pack_into("<II", setup, 0x248, 16, len(payload))
    return bytes(setup) + bytes(16) + payload


VMLINUX = b"\x7fELF" + b"code " * 50000 + b"Linux version 5.4.28-linuxkit (root@x)" + bytes(1000)


class TestKernels:
    @pytest.mark.parametrize("pack", [gzip.compress, lzma.compress, zstandard.ZstdCompressor().compress])
    def test_decompressed(self, context: Context, pack: Any) -> None:
        packed = pack(VMLINUX)
        size = struct.pack("<I", len(VMLINUX))
        images = [bzimage(packed), packed] if pack is gzip.compress else [bzimage(packed + size)]
        for image in images:
            assert b"".join(decompressed(context, Bytes(image), "k").chunks()) == VMLINUX

    def test_what_cannot_be_decompressed(self, context: Context) -> None:
        for image in (VMLINUX, b"", bzimage(b"raw"), b"MZ" + bytes(2000)):
            with pytest.raises(ConfigError):
                decompressed(context, Bytes(image), "k")
        packed = gzip.compress(VMLINUX)
        cut_off = bzimage(zstandard.ZstdCompressor().compress(VMLINUX)[:-5])
        for image in (packed[:-50], bzimage(packed)[:-50], packed[:100] + b"x" * 200, cut_off):
            with pytest.raises(TrustError):
                decompressed(context, Bytes(image), "k")

    def test_versions(self) -> None:
        kernels = {
            bzimage(b""): (6, 6),
            VMLINUX: (5, 4),
            gzip.compress(VMLINUX): (5, 4),
            b"MZ\0\0zimg" + bytes(100): (6, 1),
            b"random" * 100: None,
            gzip.compress(b"random")[:-3]: None,
            b"": None,
        }
        for image, version in kernels.items():
            assert kernel_version(Bytes(image)) == version

    def test_old_kernels_get_gzip(self, context: Context, tmp_path: Path) -> None:
        for version, magic in (("5.4.28", b"\x1f\x8b"), ("5.10.1", b"\x28\xb5\x2f\xfd")):
            add_image(context, "lab/k", [("f", "kernel", bzimage(b"", version))])
            system = system_of(context, tmp_path, "kernel: {image: lab/k, tar: none}\ninit: [lab/a]")
            write_formats(context, system, ["kernel+initrd"], tmp_path, "x")
            initrd = (tmp_path / "x-initrd.img").read_bytes()
            assert initrd.startswith(magic) and unfolded(initrd)

    def test_the_option(self, context: Context, tmp_path: Path) -> None:
        add_image(context, "lab/k", [("f", "kernel", gzip.compress(VMLINUX))])
        text = "kernel: {image: lab/k, tar: none}"
        entries = written(context, system_of(context, tmp_path, text, decompress_kernel=True), tmp_path)
        assert content(entries, "boot/kernel") == VMLINUX


def test_json_as_go_writes_it() -> None:
    spec = {
        "linux": {
            "namespaces": [{"path": "/x", "type": "net"}],
            "resources": {"cpu": {}, "memory": {"swap": 1, "limit": 2}},
        },
        "process": {"cwd": "/", "args": ["<a>&\u2028é"], "user": {"gid": 1, "uid": 0}},
        "annotations": {"b": "1", "a": "2"},
        "ociVersion": "1.2.1",
    }
    expected = """{
    "ociVersion": "1.2.1",
    "process": {
        "user": {
            "uid": 0,
            "gid": 1
        },
        "args": [
            "\\u003ca\\u003e\\u0026\\u2028é"
        ],
        "cwd": "/"
    },
    "annotations": {
        "a": "2",
        "b": "1"
    },
    "linux": {
        "resources": {
            "memory": {
                "limit": 2,
                "swap": 1
            },
            "cpu": {}
        },
        "namespaces": [
            {
                "type": "net",
                "path": "/x"
            }
        ]
    }
}"""
    assert go_json(spec).decode() == expected
    # what JSON can say and text cannot hold
    assert json.loads(go_json({"args": ["\ud800x"]})) == {"args": ["\ufffdx"]}
