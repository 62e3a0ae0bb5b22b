"""erofs images through mkfs.erofs, from a tar archive (erofs-utils, ``--tar=f``); no file is unpacked.

The image depends on the entries, the options and the version of mkfs.erofs only: UUID and times are fixed, and the
number of its threads does not show in its output.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from hullkit.context import Context
from hullkit.errors import TrustError
from hullkit.tree.entry import Entry, EntryType
from hullkit.tree.tar import write_tar
from hullkit.tree.tree import Tree, is_whiteout, whiteout_target

_UUID = "5d2c9f0e-6c1b-4b7e-9a64-1f0c3d8e7b52"
#: 64 KiB clusters: larger ones save little and make a page that is read alone dear; every file gets the time 0
EROFS_OPTIONS = ("-C65536", "-Eztailpacking", "-T0", f"-U{_UUID}", "--quiet")
#: quick to make and to read
_COMPRESSION = "-zzstd,3"
#: a fifth smaller, four times as long to make, and a tenth longer to boot (docs/footprint.md)
_RELEASE_COMPRESSION = "-zlzma,9"
_TOOL = "mkfs.erofs"
# Documentation/filesystems/overlayfs.rst, "whiteouts and opaque directories"
_OVERLAY = "trusted.overlay."
_OPAQUE_XATTR = ("trusted.overlay.opaque", b"y")


def _options(release: bool) -> tuple[str, ...]:
    return (_RELEASE_COMPRESSION if release else _COMPRESSION, *EROFS_OPTIONS)


def erofs_id(context: Context, *, release: bool = False) -> str:
    """Identifies what beside the entries decides the bytes of an image: options and tool."""
    return " ".join((context.tools.get(_TOOL).id, *_options(release)))


def make_erofs(
    context: Context, entries: Iterable[Entry], out: Path, *, whiteouts: bool = False, release: bool = False
) -> None:
    """Write an erofs image of the entries to ``out``; owners, set-id bits, devices, hard links and extended attributes
    are kept, times are not.

    With ``whiteouts`` the entries are a layer of an OCI image, and its whiteouts take the form that overlay file
    systems know (a 0:0 character device; the attribute trusted.overlay.opaque); otherwise names that begin with .wh.
    are plain files. Attributes that would steer an overlay file system are dropped from the entries. ``release`` makes
    it as small as the kernel can still read quickly.
    TrustError when a hard link's file is not among the entries, or Tree.unpack refuses them; ToolError when mkfs.erofs
    fails.
    """
    from hullkit.hosttools.run import run

    tree = _tree(entries, whiteouts)
    with context.cache.temp_dir() as work:
        archive = work / "tree.tar"
        with open(archive, "wb") as stream:
            write_tar(tree.entries(), stream)
        try:
            # its own temporary file is as large as the archive: keep it off a /tmp that lives in memory
            command = [*_options(release), "--tar=f", str(out), str(archive)]
            run(context, context.tools.get(_TOOL), command, env={"TMPDIR": str(work)})
        except BaseException:
            out.unlink(missing_ok=True)
            raise


def _without_overlay(entry: Entry) -> Entry:
    if not entry.xattrs:
        return entry
    return replace(entry, xattrs=tuple(each for each in entry.xattrs if not each[0].startswith(_OVERLAY)))


def _tree(entries: Iterable[Entry], whiteouts: bool) -> Tree:
    hidden: list[str] = []
    opaque: list[str] = []
    members = []
    for entry in entries:
        if not whiteouts or not is_whiteout(entry.path):
            members.append(_without_overlay(entry))
        elif (target := whiteout_target(entry.path)) is not None:
            (opaque if target[1] else hidden).append(target[0])
    tree = Tree()
    try:
        tree.unpack(members)
    except TrustError as error:
        hint = "what reaches into another layer cannot be an image of its own; layout: flat can hold it"
        raise TrustError(error.message, hint=hint) from error
    for path in hidden:
        _hide(tree, path, opaque)
    for path in opaque:
        _make_opaque(tree, path)
    return tree


def _hide(tree: Tree, path: str, opaque: list[str]) -> None:
    """A name that the layer both hides and holds hides what is below by itself; a directory must be opaque for that."""
    found = tree.get(path)
    if found is None:
        tree.unpack([Entry(path, EntryType.CHAR, 0, rdev=(0, 0))])
    elif found.type is EntryType.DIR:
        opaque.append(path)


def _make_opaque(tree: Tree, path: str) -> None:
    found = tree.get(path) or Entry(path, EntryType.DIR, 0o755)
    if found.type is EntryType.DIR:  # anything else hides all below it anyway
        tree.unpack([replace(found, xattrs=tuple(sorted({*found.xattrs, _OPAQUE_XATTR})))])
