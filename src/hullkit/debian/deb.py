"""The .deb format (deb(5)): an ar archive of ``debian-binary``, ``control.tar.*`` and ``data.tar.*``."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from hullkit.cache import host_errors
from hullkit.context import Context
from hullkit.debian.package import Package
from hullkit.errors import HullError, TrustError
from hullkit.tree.decompress import decompress
from hullkit.tree.entry import Entry, EntryType, FileSlice, Owner

_MAGIC = b"!<arch>\n"
_HEADER = 60
_MEMBERS_MAX = 16
#: the largest data.tar accepted, uncompressed
UNPACKED_MAX = 8 << 30
_CONTROL_MAX = 64 << 20
#: top-level directories that are links into usr/ on a merged system (Debian's usrmerge)
MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libo32", "libx32")


@dataclass(frozen=True, slots=True)
class Member:
    """A member of the ar archive: its bytes are ``size`` from ``offset``."""

    name: str
    offset: int
    size: int


def members(stream: BinaryIO, what: str) -> list[Member]:
    """The members of a .deb, in order. Raises TrustError when it is not one (ar(5), common format)."""
    total = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    if stream.read(len(_MAGIC)) != _MAGIC:
        raise TrustError(f"{what}: not a Debian package (no ar archive)")
    found: list[Member] = []
    offset = len(_MAGIC)
    while offset < total:
        stream.seek(offset)
        header = stream.read(_HEADER)
        size = header[48:58].strip()
        if len(header) != _HEADER or header[58:] != b"`\n" or not size.isdigit():
            raise TrustError(f"{what}: damaged ar header at byte {offset}")
        name = header[:16].decode("ascii", "replace").rstrip().rstrip("/")
        member = Member(name, offset + _HEADER, int(size))
        if member.offset + member.size > total:
            raise TrustError(f"{what}: {name} is cut off")
        found.append(member)
        if len(found) > _MEMBERS_MAX:
            raise TrustError(f"{what}: more than {_MEMBERS_MAX} members")
        offset = member.offset + member.size + member.size % 2
    if not found or found[0].name != "debian-binary":
        raise TrustError(f"{what}: not a Debian package (no debian-binary)")
    return found


def _decompressed(deb: Path, part: str, max_size: int) -> Iterator[bytes]:
    """The uncompressed ``control.tar`` or ``data.tar`` (``part``) of a package."""
    with open(deb, "rb") as stream:
        found = [member for member in members(stream, deb.name) if member.name.partition(".tar")[0] == part]
    if len(found) != 1:
        raise TrustError(f"{deb.name}: has {len(found)} {part}.tar members, not one")
    kind = found[0].name.removeprefix(f"{part}.tar").lstrip(".")
    packed = FileSlice(deb, found[0].offset, found[0].size)
    return decompress(packed.chunks(), kind, max_size=max_size, what=f"{deb.name}: {part}.tar")


def unpack_tar(deb: Path, part: str, out: Path, *, max_size: int = UNPACKED_MAX) -> Path:
    """Write the uncompressed ``control.tar`` or ``data.tar`` (``part``) of a package to ``out``."""
    with host_errors(f"unpacking {deb.name}"):
        plain = _decompressed(deb, part, max_size)
        with open(out, "wb", buffering=0) as target:
            for piece in plain:
                target.write(piece)
    return out


def deb_entries(context: Context, deb: Path, package: Package, workdir: Path) -> list[Entry]:
    """The files of a package, owned by ``NAME_VERSION``, on a merged-/usr system.

    Writes the uncompressed tar into ``workdir``, which must live as long as the entries: their contents are slices of
    it. The package's digest is checked once more: a cache may rot. Raises TrustError for a damaged or hostile package,
    HostError (disk full).
    """
    from hullkit.tree.tar import read_tar

    with open(deb, "rb") as stream:
        if hashlib.file_digest(stream, "sha256").hexdigest() != package.sha256:
            deb.unlink(missing_ok=True)
            raise TrustError(f"{deb} was damaged and has been removed from the cache", hint="run it again")
    tar = unpack_tar(deb, "data", workdir / f"{package.sha256}.tar")
    owner = Owner(package=f"{package.name}_{package.version}")
    try:
        entries = read_tar(tar, owner=owner)
    except HullError as error:
        raise type(error)(f"{package}: {error.message}", hint=error.hint) from error
    return [_merged(entry) for entry in entries]


def merged_path(path: str) -> str:
    """Where a file lies when /bin, /sbin and /lib* are links into /usr."""
    top, slash, _ = path.partition("/")
    return f"usr/{path}" if slash and top in MERGED else path


def _merged(entry: Entry) -> Entry:
    path = merged_path(entry.path)
    if entry.path in MERGED and entry.type is EntryType.DIR:
        path = f"usr/{entry.path}"
    target = merged_path(entry.target) if entry.type is EntryType.HARDLINK else entry.target
    if path == entry.path and target == entry.target:
        return entry
    return replace(entry, path=path, target=target)


def control_files(deb: Path) -> dict[str, bytes]:
    """The members of ``control.tar`` (control, conffiles, md5sums, maintainer scripts …) by name."""
    import io
    import tarfile

    plain = io.BytesIO(b"".join(_decompressed(deb, "control", _CONTROL_MAX)))
    try:
        with tarfile.open(fileobj=plain, mode="r:") as archive:
            files = [(info.name.removeprefix("./"), archive.extractfile(info)) for info in archive if info.isreg()]
            return {name: content.read() for name, content in files if content is not None}
    except tarfile.TarError as error:
        raise TrustError(f"{deb.name}: damaged control.tar: {error}") from error


def control_file(deb: Path) -> dict[str, str]:
    """The fields of a package's ``control`` file, names in lower case. Raises TrustError when there is none."""
    from hullkit.debian.deb822 import paragraphs

    text = control_files(deb).get("control", b"").decode("utf-8", "replace")
    fields = next(paragraphs(text), None)
    if fields is None:
        raise TrustError(f"{deb.name}: has no control file")
    return fields
