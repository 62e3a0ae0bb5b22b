"""A small Debian repository of our own: real .deb files, real indexes, signed by a key made on the spot.

    repo = DebRepo(tmp_path / "repo")
    repo.add("hello", "1.0", depends="libgreet", files={"usr/bin/hello": b"#!/bin/sh\\n"})
    repo.publish("trixie")

Serve ``repo.root`` (``tests.support.faulty.serve``), give its URL + "/debian" as the mirror and ``repo.keyring`` in
HULLKIT_DEBIAN_KEYRING. The security suite goes to ``debian-security`` beside it, as on Debian's mirrors.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import lzma
import tarfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path

import pysequoia
import zstandard

SUITES = ("trixie", "trixie-updates", "trixie-security")
DAY = 86400
_COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "xz": lambda data: lzma.compress(data, preset=0),
    "gz": lambda data: gzip.compress(data, mtime=0),
    "zst": lambda data: zstandard.ZstdCompressor().compress(data),
}


def tar_of(members: Iterable[tarfile.TarInfo | tuple[str, bytes]]) -> bytes:
    """A tar archive of regular files ("./" is put before their names) and of members as they are given."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
                continue
            name, data = member
            info = tarfile.TarInfo(f"./{name}")
            info.size, info.mtime = len(data), 1_700_000_000
            info.mode = 0o755 if "bin/" in name or "/ld-" in name else 0o644
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def ar_of(members: Iterable[tuple[str, bytes]]) -> bytes:
    """An ar archive (common format)."""
    out = b"!<arch>\n"
    for name, data in members:
        header = f"{name:<16}{1700000000:<12}{0:<6}{0:<6}{100644:<8}{len(data):<10}`\n"
        out += header.encode() + data + b"\n" * (len(data) % 2)
    return out


def deb_of(control: str, data_tar: bytes, compression: str = "xz") -> bytes:
    """A .deb with the given control file and data.tar."""
    suffix = f".{compression}" if compression else ""
    control_tar = lzma.compress(tar_of([("control", control.encode())]), preset=0)
    members = [
        ("debian-binary", b"2.0\n"),
        ("control.tar.xz", control_tar),
        (f"data.tar{suffix}", _COMPRESSORS[compression](data_tar)),
    ]
    return ar_of(members)


class Key:
    """A throw-away OpenPGP key."""

    def __init__(self) -> None:
        self._secret = pysequoia.Tsk.generate("test archive <archive@example.org>")

    @property
    def certificate(self) -> bytes:
        return bytes(self._secret.extract_certificate())

    def clearsign(self, text: str) -> bytes:
        return bytes(pysequoia.sign(self._secret.signer(), text.encode(), mode=pysequoia.SignatureMode.CLEAR))


@dataclass
class DebRepo:
    """``root`` is what a server serves; ``arch`` is Debian's name."""

    root: Path
    arch: str = "amd64"
    key: Key = field(default_factory=Key)
    #: suite → paragraphs of its Packages file
    paragraphs: dict[str, list[str]] = field(default_factory=dict)
    #: suite → paragraphs of its Sources file
    sources: dict[str, list[str]] = field(default_factory=dict)

    @property
    def keyring(self) -> Path:
        path = self.root.parent / f"{self.root.name}-keyring.gpg"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self.key.certificate)
        return path

    def base(self, suite: str) -> Path:
        return self.root / ("debian-security" if suite.endswith("-security") else "debian")

    def add(
        self,
        name: str,
        version: str = "1.0",
        *,
        suite: str = "trixie",
        arch: str | None = None,
        files: Mapping[str, bytes] | None = None,
        data_tar: bytes | None = None,
        compression: str = "xz",
        **fields: str,
    ) -> Path:
        """Add a package; ``fields`` are control fields ("depends", "pre_depends" …). Returns the .deb's path."""
        arch = arch or self.arch
        lines = [f"Package: {name}", f"Version: {version}", f"Architecture: {arch}", "Maintainer: T <t@example.org>"]
        lines += [f"{key.replace('_', '-').title()}: {value}" for key, value in fields.items()]
        control = "\n".join([*lines, "Description: test", " of a test", ""])
        tar = data_tar if data_tar is not None else tar_of((files or {f"usr/share/{name}": name.encode()}).items())
        deb = deb_of(control, tar, compression)
        relative = f"pool/main/{name[0]}/{name}/{name}_{version.partition(':')[2] or version}_{arch}.deb"
        path = self.base(suite) / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(deb)
        digest = hashlib.sha256(deb).hexdigest()
        more = f"Filename: {relative}\nSize: {len(deb)}\nMD5sum: {'0' * 32}\nSHA256: {digest}\n"
        self.paragraphs.setdefault(suite, []).append(control + more)
        return path

    def add_source(self, name: str, version: str, files: Mapping[str, bytes], *, suite: str = "trixie") -> Path:
        """Add a source package with the given files (of any names) to its directory of the pool, which is returned."""
        relative = f"pool/main/{name[0]}/{name}"
        directory = self.base(suite) / relative
        directory.mkdir(parents=True, exist_ok=True)
        sums = []
        for file, data in files.items():
            (directory / file).write_bytes(data)
            sums.append(f" {hashlib.sha256(data).hexdigest()} {len(data)} {file}")
        lines = [f"Package: {name}", f"Binary: {name}", f"Version: {version}", "Format: 3.0 (quilt)"]
        lines += ["Files:", f" {'0' * 32} 1 x.dsc", "Checksums-Sha256:", *sums, f"Directory: {relative}", ""]
        self.sources.setdefault(suite, []).append("\n".join(lines))
        return directory

    def publish(
        self,
        suite: str = "trixie",
        *,
        codename: str | None = None,
        date: float | None = None,
        valid_for: float | None = None,
        by_hash: bool = True,
        key: Key | None = None,
    ) -> Path:
        """Write the indexes of a suite and its InRelease; ``date`` is Unix time, ``valid_for`` seconds after it."""
        directory = self.base(suite) / "dists" / suite
        listing = []
        for below, name, paragraphs in (
            (f"main/binary-{self.arch}", "Packages", self.paragraphs),
            ("main/source", "Sources", self.sources),
        ):
            hashed = directory / below / "by-hash" / "SHA256"
            hashed.mkdir(parents=True, exist_ok=True)
            plain = "\n".join(paragraphs.get(suite, [])).encode()
            for file, data in ((name, plain), (f"{name}.xz", lzma.compress(plain, preset=0))):
                digest = hashlib.sha256(data).hexdigest()
                (directory / below / file).write_bytes(data)
                if by_hash:
                    (hashed / digest).write_bytes(data)
                listing.append(f" {digest} {len(data):16} {below}/{file}")
        moment = time.time() if date is None else date
        lines = ["Origin: Test", "Suite: test", f"Codename: {codename or suite}"]
        lines.append(f"Date: {formatdate(moment, usegmt=True).replace('GMT', 'UTC')}")
        if valid_for is not None:
            lines.append(f"Valid-Until: {formatdate(moment + valid_for, usegmt=True).replace('GMT', 'UTC')}")
        lines += ["Acquire-By-Hash: yes"] * by_hash
        lines += [f"Architectures: {self.arch}", "Components: main", "SHA256:", *listing]
        path = directory / "InRelease"
        path.write_bytes((key or self.key).clearsign("\n".join(lines) + "\n"))
        return path

    def publish_all(self, suites: Iterable[str] = SUITES, **how: float) -> None:
        for suite in suites:
            self.publish(suite, **how)  # type: ignore[arg-type]
