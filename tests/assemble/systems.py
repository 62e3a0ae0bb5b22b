"""Systems of small images that are put into a store, without a registry."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import zstandard

from hullkit.assemble.flatoptions import FlatOptions
from hullkit.assemble.system import System
from hullkit.build.build import BuildOptions, build_system
from hullkit.cache import Cache
from hullkit.config.load import load
from hullkit.config.model import SystemConfig
from hullkit.context import Context
from hullkit.oci.image import LAYER, Image, Layer
from hullkit.oci.reference import Reference
from hullkit.oci.store import Store
from hullkit.output import find_format, write_stream
from hullkit.tree.entry import Entry
from hullkit.tree.tar import read_tar

TIME = 1492533000
MADE = 1600000000
Member = tuple[str, str, Any]


def context_in(directory: Path) -> Context:
    return Context(cache=Cache(directory / "cache"), arch="amd64", offline=True)


def tar_of(members: Sequence[Member]) -> bytes:
    """Members as (kind, name, content or target): f file, d directory, s symlink, h hard link."""
    kinds = {"f": tarfile.REGTYPE, "d": tarfile.DIRTYPE, "s": tarfile.SYMTYPE, "h": tarfile.LNKTYPE}
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for kind, name, what in members:
            member = tarfile.TarInfo(name)
            member.type, member.mtime, member.mode = kinds[kind], MADE, 0o755 if kind == "d" else 0o644
            data = what if isinstance(what, bytes) else b""
            if kind in "sh":
                member.linkname = what
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return stream.getvalue()


def add_image(
    context: Context, name: str, *layers: Sequence[Member] | bytes, config: Mapping[str, Any] | None = None
) -> Image:
    """An image of gzip layers under a name; a layer may also be a tar."""
    store = Store(context.cache)
    made = []
    for layer in layers:
        tar = layer if isinstance(layer, bytes) else tar_of(layer)
        blob = store.add_blob(gzip.compress(tar, 1, mtime=0), media_type=f"{LAYER}+gzip")
        made.append(Layer(blob, f"sha256:{hashlib.sha256(tar).hexdigest()}"))
    image = store.add_image({"architecture": "amd64", "os": "linux", "config": dict(config or {})}, made)
    store.tag(str(Reference.parse(name)), "amd64", image.digest)
    return image


def base(tag: str) -> list[Member]:
    return [("d", "bin", 0), ("f", "bin/sh", tag.encode() * 50), ("d", "etc", 0), ("f", "etc/tag", tag.encode())]


def configured(directory: Path, *texts: str) -> SystemConfig:
    paths = []
    for number, text in enumerate(texts):
        path = directory / f"system{number}.yml"
        path.write_text(text)
        paths.append(path)
    return load(paths)


def system_of(context: Context, directory: Path, *texts: str, layout: str | None = None, **flat: Any) -> System:
    options = BuildOptions(layout=layout, flat=FlatOptions(**flat))
    return build_system(context, configured(directory, *texts), "test", options)


def written(context: Context, system: System, directory: Path, name: str = "tar") -> list[Entry]:
    """The members of the tar of a system, in order."""
    path = directory / f"written{find_format(name).suffixes[0]}"
    with open(path, "wb") as stream:
        write_stream(context, system, name, stream)
    return read_tar(path, verbatim=True)


def names(entries: Sequence[Entry]) -> list[str]:
    return [entry.path.rstrip("/") for entry in entries]


def content(entries: Sequence[Entry], path: str) -> bytes:
    found = [entry for entry in entries if entry.path.rstrip("/") == path]
    assert found, f"{path} is not there"
    source = found[-1].content
    assert source is not None
    return b"".join(source.chunks())


def document(entries: Sequence[Entry], path: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(content(entries, path))
    return value


def records(entry: Entry) -> dict[str, str]:
    return {key: value.decode() for key, value in entry.pax}


def unfolded(initrd: bytes) -> list[bytes]:
    """The archives of an initramfs, which lie one behind the other, each a multiple of 4 bytes."""
    found = []
    while initrd:
        assert len(initrd) % 4 == 0
        if initrd.startswith(b"\x1f\x8b"):
            import zlib

            decoder: Any = zlib.decompressobj(31)
        elif initrd.startswith(b"\x28\xb5\x2f\xfd"):
            decoder = zstandard.ZstdDecompressor().decompressobj()
        else:
            raise AssertionError(f"neither gzip nor zstd: {initrd[:8]!r}")
        found.append(decoder.decompress(initrd))
        rest = decoder.unused_data
        initrd = rest.lstrip(b"\0")
        assert len(rest) - len(initrd) < 4
    return found


def cpio_names(archive: bytes) -> list[tuple[str, int]]:
    """(name, size) of the members of a cpio archive, the trailer included."""
    found, at = [], 0
    while at < len(archive):
        assert archive[at : at + 6] == b"070701"
        fields = [int(archive[at + 6 + 8 * n : at + 14 + 8 * n], 16) for n in range(13)]
        size, length = fields[6], fields[11]
        name = archive[at + 110 : at + 110 + length - 1].decode()
        found.append((name, size))
        at = (at + 110 + length + 3) // 4 * 4
        at = (at + size + 3) // 4 * 4
        if name == "TRAILER!!!":
            assert not archive[at:].strip(b"\0")
            return found
    raise AssertionError("no trailer")
