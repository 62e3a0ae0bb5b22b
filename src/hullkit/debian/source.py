"""Source packages: the signed indexes of sources, and a package's tarballs with its patches as entries.

Debian Policy 5.6.21 (Checksums-Sha256), dpkg-source(1) (formats "3.0 (quilt)", "3.0 (native)" and "1.0").
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from hullkit.cache import host_errors
from hullkit.context import Context
from hullkit.debian.archive import DEFAULT_SUITES, open_state
from hullkit.debian.index import Candidate, open_index
from hullkit.debian.package import SOURCE, Package, checked
from hullkit.debian.state import State, index_path
from hullkit.debian.version import version_key
from hullkit.errors import ConfigError, NotFound, TrustError
from hullkit.tree.decompress import decompress
from hullkit.tree.entry import Entry, EntryType, FileSlice, Owner

#: the largest tarball of a source package, uncompressed (Linux has 1.6 GB)
UNPACKED_MAX = 8 << 30
_TARBALL = re.compile(r"_[^_/]+?(?:\.(orig|debian)(?:-([a-z0-9-]+))?)?\.tar\.([a-z0-9]+)$")
_PATCHES = "debian/patches/"


class SourceArchive:
    """The source packages of some suites. Made by ``open``, cheap until ``find`` is called."""

    def __init__(self, context: Context, state: State) -> None:
        self._context = context
        self._state = state

    @classmethod
    def open(cls, context: Context, suites: tuple[str, ...] = DEFAULT_SUITES) -> SourceArchive:
        """Verified and cached indexes, as ``Archive.open``; raises what that does."""
        return cls(context, open_state(context, SOURCE, suites))

    @property
    def id(self) -> str:
        """Identifies the content of the indexes."""
        return self._state.id

    def find(self, name: str) -> tuple[Package, ...]:
        """The files that the newest version of a source package is unpacked from: its tarballs, sorted by name.

        Raises NotFound, and ConfigError for a package of the format 1.0 with a diff.
        """
        found = [
            (candidate, suite)
            for suite in self._state.suites
            if (candidate := open_index(index_path(self._context, suite.index), suite.suite).get(name))
        ]
        if not found:
            raise NotFound(f"there is no source package {name}", hint="it may be called otherwise than its packages")
        # The first of equal versions, in the order of the suites.
        newest, suite = max(found, key=lambda each: version_key(each[0].version))
        files = sorted(_files(newest, suite.date), key=lambda package: package.path)
        if any(package.path.endswith((".diff.gz", ".diff.bz2")) for package in files):
            raise ConfigError(f"the source package {name} has the old format 1.0 with a diff, which is not supported")
        tarballs = tuple(package for package in files if _TARBALL.search(package.path))
        if not tarballs:
            raise TrustError(f"the index of {suite.suite} names no tarball of {name}")
        return tarballs


def _files(candidate: Candidate, date: int) -> Iterator[Package]:
    fields = candidate.fields
    words = fields.get("checksums-sha256", "").split()
    try:
        for digest, size, name in zip(words[::3], words[1::3], words[2::3], strict=True):
            yield checked(
                Package(
                    name=candidate.name,
                    version=candidate.version,
                    arch=SOURCE,
                    suite=candidate.suite,
                    path=f"{fields['directory'].removeprefix('./')}/{name}",
                    sha256=digest.lower(),
                    size=int(size),
                    source=candidate.name,
                    source_version=candidate.version,
                    time=date,
                )
            )
    except (KeyError, ValueError, ConfigError) as error:
        raise TrustError(f"the index of {candidate.suite} describes {candidate.name!r} badly: {error}") from error


def is_packaging(file: Package) -> bool:
    """Whether a file of a source package is Debian's part: the directory ``debian``, with the patches."""
    match = _TARBALL.search(file.path)
    return match is not None and match[1] == "debian"


def source_entries(files: Iterable[tuple[Package, Path]], workdir: Path) -> list[Entry]:
    """The files of a source package as dpkg-source(1) lays them out, unpatched; (file, where it is in the cache).

    Uncompressed tars are written into ``workdir``: the contents are slices of them. Raises TrustError for damaged or
    hostile archives, HostError (disk full).
    """
    parts = [(_part(package), _tar_entries(package, path, workdir)) for package, path in files]
    packaged = any(part == "debian" for part, _ in parts)
    entries: dict[str, Entry] = {}
    for part, found in sorted(parts, key=lambda each: each[0]):
        for entry in found if part == "debian" else _without_top(found, part):
            inside = entry.path == "debian" or entry.path.startswith("debian/")
            if packaged and inside != (part == "debian"):
                continue  # debian/ is the packaging's, whatever upstream has there, and the packaging has nothing else
            entries[entry.path] = entry
    return list(entries.values())


def _part(package: Package) -> str:
    """ "" for upstream's main tarball, "debian" for the packaging, else the directory of a further tarball."""
    match = _TARBALL.search(package.path)
    if match is None:
        raise TrustError(f"{package.key} is no tarball of a source package")
    return "debian" if match[1] == "debian" else match[2] or ""


def _tar_entries(package: Package, path: Path, workdir: Path) -> list[Entry]:
    from hullkit.tree.tar import read_tar

    with open(path, "rb") as stream:
        if hashlib.file_digest(stream, "sha256").hexdigest() != package.sha256:
            path.unlink(missing_ok=True)
            raise TrustError(f"{path} was damaged and has been removed from the cache", hint="run it again")
    tar = workdir / f"{package.sha256}.tar"
    kind = package.path.rpartition(".")[2]
    packed = FileSlice(path, 0, package.size)
    with host_errors(f"unpacking {package.key}"), open(tar, "wb", buffering=0) as out:
        for piece in decompress(packed.chunks(), kind, max_size=UNPACKED_MAX, what=package.key):
            out.write(piece)
    return read_tar(tar, owner=Owner(package=f"{package.name}_{package.version}"))


def _without_top(entries: list[Entry], part: str) -> Iterator[Entry]:
    """As dpkg-source does: the one directory at the top of a tarball is not part of the tree."""
    tops = {entry.path.partition("/")[0] for entry in entries if entry.path}
    single = len(tops) == 1 and any("/" in entry.path for entry in entries)
    prefix = f"{tops.pop()}/" if single else ""
    below = f"{part}/" if part else ""
    for entry in entries:
        if not entry.path or entry.path + "/" == prefix:
            continue
        target = entry.target
        if entry.type is EntryType.HARDLINK:
            target = below + target.removeprefix(prefix)
        yield replace(entry, path=below + entry.path.removeprefix(prefix), target=target)


def patch_series(entries: Iterable[Entry]) -> list[str]:
    """The paths of Debian's patches, in the order of application (``debian/patches/series``); none is fine."""
    known = {entry.path: entry for entry in entries if entry.path.startswith(_PATCHES)}
    series = known.get(_PATCHES + "series")
    if series is None or series.content is None:
        return []
    text = b"".join(series.content.chunks()).decode("utf-8", "replace")
    names = [words[0] for line in text.splitlines() if (words := line.partition("#")[0].split())]
    for name in names:
        if _PATCHES + name not in known:
            raise TrustError(f"debian/patches/series names {name}, which is not there")
    return [_PATCHES + name for name in names]
