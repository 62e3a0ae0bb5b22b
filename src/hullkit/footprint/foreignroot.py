"""The root of a system that hullkit did not build, as an archive: what its files would take in an image like hullkit's.

The files are put into an erofs image with the settings that hullkit uses for its own, and that image is accounted by
the same code. Whose a file is, dpkg's database in the archive tells (dpkg(1): /var/lib/dpkg/status and info/*.list).
"""

from __future__ import annotations

import hashlib
import mmap
import stat
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from hullkit.context import Context
from hullkit.debian.deb822 import paragraphs
from hullkit.errors import TrustError
from hullkit.footprint.disk import METADATA, Cost, readable
from hullkit.footprint.erofs import stored_files
from hullkit.footprint.model import FileCost
from hullkit.footprint.owners import CONFIGURATION, SYSTEM
from hullkit.footprint.surface import capable_files
from hullkit.steps import cached_path, step_id
from hullkit.tree.entry import Entry, EntryType, FileSlice
from hullkit.tree.erofs import erofs_id, make_erofs
from hullkit.tree.tar import read_tar

_INFO = "var/lib/dpkg/info/"
_STATUS = "var/lib/dpkg/status"
#: a file of dpkg's database that is larger is none
_MAX_TEXT = 64 << 20


def root_costs(
    context: Context, archive: Path, counted: Sequence[Path]
) -> tuple[int, list[Cost], frozenset[tuple[str, str]]]:
    """Bytes of the image, its lines, and the files with capabilities (as ``capable_files`` gives them).

    Files below boot/ that are the same as one of ``counted`` (kernel and initramfs) are left out: they are counted.
    TrustError for an archive that is damaged or hostile.
    """
    entries = [entry for entry in read_tar(archive) if not _is_counted(entry, counted)]
    image = _image(context, archive, entries, counted)
    owners = dpkg_owners(entries)
    size = left = image.stat().st_size
    costs = []
    with (
        open(image, "rb") as stream,
        mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
        memoryview(mapped) as view,
    ):
        found = [each for each in stored_files(view) if stat.S_ISREG(each.mode) or stat.S_ISLNK(each.mode)]
    for each in found:
        left -= each.bytes
        component, package = owners.get(each.path, (CONFIGURATION, ""))
        cost = FileCost(readable(each.path), each.size, each.bytes)
        costs.append(Cost(component, package, "", (SYSTEM,), cost, each.mode))
    costs.append(Cost(CONFIGURATION, METADATA, "", (SYSTEM,), FileCost("inodes, directories, indexes", left, left)))
    return size, costs, capable_files({"": entries})


def _is_counted(entry: Entry, counted: Iterable[Path]) -> bool:
    if entry.type is not EntryType.FILE or not entry.path.startswith("boot/") or entry.content is None:
        return False
    for path in counted:
        size = path.stat().st_size
        if entry.size == size:
            pairs = zip(entry.content.chunks(), FileSlice(path, 0, size).chunks(), strict=True)
            if all(one == other for one, other in pairs):
                return True
    return False


def _image(context: Context, archive: Path, entries: Sequence[Entry], counted: Sequence[Path]) -> Path:
    inputs = {
        "archive": _digest(archive),
        "counted": [_digest(path) for path in counted],
        "erofs": erofs_id(context),
    }

    def make(out: Path) -> None:
        with context.bus.step(f"put {archive.name} into an image"):
            make_erofs(context, entries, out)

    identity = step_id("foreign", inputs, ("hullkit.footprint.foreignroot", "hullkit.tree.erofs"))
    return cached_path(context, "foreign", identity, make, suffix=".erofs")


def _digest(path: Path) -> str:
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def dpkg_owners(entries: Sequence[Entry]) -> Mapping[str, tuple[str, str]]:
    """Path → source package, and ``NAME_VERSION`` of the package that the file is of; nothing without dpkg."""
    by_path = {entry.path: entry for entry in entries if entry.type is EntryType.FILE}
    if _STATUS not in by_path:
        return {}
    known = {}
    for fields in paragraphs(_text(by_path[_STATUS])):
        name, version = fields.get("package", ""), fields.get("version", "")
        source = fields.get("source", name).split()[:1] or [name]
        known[name] = (source[0], f"{name}_{version}")
    merged = {
        entry.path: entry.target.strip("/")
        for entry in entries
        if entry.type is EntryType.SYMLINK and "/" not in entry.path
    }
    found: dict[str, tuple[str, str]] = {}
    for path, entry in by_path.items():
        if path.startswith(_INFO) and path.endswith(".list"):
            name = path.removeprefix(_INFO).removesuffix(".list").partition(":")[0]
            if name in known:
                for line in _text(entry).splitlines():
                    found[_merged(line.strip().lstrip("/"), merged)] = known[name]
    return found


def _merged(path: str, merged: Mapping[str, str]) -> str:
    """A path of a package as it is on a system whose /bin, /lib and so on are links."""
    first, slash, rest = path.partition("/")
    return f"{merged[first]}/{rest}" if slash and first in merged else path


def _text(entry: Entry) -> str:
    if entry.size > _MAX_TEXT:
        raise TrustError(f"{readable(entry.path)}: {entry.size} bytes are too much for a file of dpkg's database")
    assert entry.content is not None
    return b"".join(entry.content.chunks()).decode("utf-8", "surrogateescape")
