"""Flattening against what LinuxKit made of the same images, where its result is what OCI's layer.md asks for."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Mapping
from importlib import util
from pathlib import Path
from typing import Any

import pytest

from hullkit.context import Context
from hullkit.errors import TrustError
from hullkit.oci.document import descriptor_of, parse_document
from hullkit.oci.image import Image
from hullkit.oci.layers import flatten
from hullkit.oci.store import Store
from hullkit.tree.entry import Entry, EntryType
from tests.support.user import CHECKOUT

GOLDEN = CHECKOUT.parent / "shared" / "linuxkit-golden"

pytestmark = [
    pytest.mark.skipif(not GOLDEN.is_dir(), reason="the golden cases are not here"),
    pytest.mark.skipif(not shutil.which("zstd"), reason="the golden images need zstd to be made"),
]

#: what LinuxKit itself adds to or changes in a container's root
TOUCHED = (
    "",
    ".",
    "dev",
    "dev/console",
    "dev/pts",
    "dev/shm",
    "proc",
    "sys",
    "etc",
    "etc/hosts",
    "etc/resolv.conf",
    "etc/mtab",
)
#: image → (golden case, paths where LinuxKit differs from the specification, and how)
CASES: dict[str, tuple[str, Mapping[str, str]]] = {
    "lab/tree:v1": (
        "026-tree-service-ro",
        {
            "a/opaque/old1": "opaque directories are ignored",
            "a/opaque/sub": "opaque directories are ignored",
            "a/opaque/sub/old2": "opaque directories are ignored",
            "a/todir2file": "a whiteout hides a name of its own layer",
            "a/file2dir": "a whiteout hides a name of its own layer",
            "a/file2dir/x": "a whiteout hides a name of its own layer",
        },
    ),
    "lab/tree:gnu": ("027-tree-gnu", {}),
    "lab/tree:dup": ("03-tree-dup", {"q": "the first of two entries counts", "q/f": "the first of two entries counts"}),
    "lab/tree:emptylayer": ("03-tree-emptylayer", {}),
    "lab/tree:nolayers": ("03-tree-nolayers", {}),
    "lab/tree:globalpax": ("03-tree-globalpax", {}),
    "lab/tree:hardlow": ("03-tree-hardlow", {}),
    "lab/tree:hardwh": ("03-tree-hardwh", {"x/l": "a dangling hard link"}),
    "lab/tree:latin1": ("03-tree-latin1", {}),
    "lab/tree:whsame": ("03-tree-whsame", {}),
    "lab/tree:whsame2": ("03-tree-whsame2", {"o/x": "a whiteout hides a name of its own layer"}),
    "lab/tree:dirnewwh": ("03-tree-dirnewwh", {"o/x": "a whiteout is ignored"}),
    "lab/tree:opqlower": (
        "03-tree-opqlower",
        dict.fromkeys(("o/x", "o/d", "o/d/y"), "opaque directories are ignored"),
    ),
}


@pytest.fixture(scope="module")
def layouts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The golden images as OCI layouts, made by the golden cases' own program."""
    root = tmp_path_factory.mktemp("golden")
    patch = pytest.MonkeyPatch()
    patch.setenv("GOLDEN_ROOT", str(root))
    patch.setattr(sys, "dont_write_bytecode", True)
    spec = util.spec_from_file_location("golden_mkimages", GOLDEN / "mkimages.py")
    assert spec is not None and spec.loader is not None
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    patch.setattr(module, "push_all", list)
    module.main()
    patch.undo()
    return root / "layouts"


def load(store: Store, layout: Path) -> Image:
    for blob in (layout / "blobs/sha256").iterdir():
        store.add_blob(blob, expect_digest=f"sha256:{blob.name}")
    index = parse_document((layout / "index.json").read_bytes(), "index.json")
    return Image(store, descriptor_of(index["manifests"][0], "index.json"))


def ours(entries: Mapping[str, Entry]) -> dict[str, dict[str, Any]]:
    found = {}
    for path, entry in entries.items():
        if entry.type is EntryType.DIR and not entry.mtime:
            continue  # a missing parent, which LinuxKit does not make
        real = entries[entry.target] if entry.type is EntryType.HARDLINK else entry
        data = b"".join(real.content.chunks()) if real.content is not None else None
        found[path] = {
            "type": real.type.value,
            "mode": f"{real.mode:04o}",
            "owner": (real.uid, real.gid),
            "sha256": hashlib.sha256(data).hexdigest() if data is not None else None,
            "link": real.target,
            "device": real.rdev,
            "mtime": real.mtime,
            "xattrs": [name for name, _ in real.xattrs],
        }
    return found


def theirs(case: str) -> dict[str, dict[str, Any]]:
    listed: dict[str, dict[str, Any]] = {}
    for line in (GOLDEN / "golden" / case / "listing.jsonl").read_text().splitlines():
        member = json.loads(line)
        before, below, path = member["path"].partition("/rootfs/")
        if member["type"] == "pax-global":
            continue  # kept by LinuxKit; says nothing about files
        if below:
            listed[path] = member
        elif "init[0]" in member["pax"].values():
            listed[before] = member
    found = {}
    for path, member in listed.items():
        if member["type"] == "hardlink":
            member = listed.get(member["linkname"].rpartition("/rootfs/")[2], member)
        pax = member.get("pax", {})
        attributes = [key for key in pax if ".xattr." in key]
        found[path.encode().decode("unicode_escape") if "\\udc" in path else path] = {
            "type": member["type"],
            "mode": member["mode"],
            "owner": (member.get("uid"), member.get("gid")),
            "sha256": member.get("sha256"),
            "link": member.get("linkname", "") if member["type"] == "symlink" else "",
            "device": (member.get("devmajor", 0), member.get("devminor", 0)),
            "mtime": int(float(member.get("mtime", 0)) // 1),
            "xattrs": sorted(key.partition(".xattr.")[2] for key in attributes),
        }
    return found


@pytest.mark.parametrize("image", CASES)
def test_same_tree(context: Context, store: Store, layouts: Path, image: str) -> None:
    case, differs = CASES[image]
    loaded = load(store, layouts / image.replace("/", "+").replace(":", "="))
    found = ours({entry.path: entry for entry in flatten(context, store, loaded).entries()})
    expected = theirs(case)
    for path in {*TOUCHED, *differs}:
        found.pop(path, None)
        expected.pop(path, None)
    assert found == expected


def test_what_is_refused(context: Context, store: Store, layouts: Path) -> None:
    for image, why in (("lab/tree:paths", "not safe"), ("lab/tree:sparse", "sparse")):
        loaded = load(store, layouts / image.replace("/", "+").replace(":", "="))
        with pytest.raises(TrustError, match=why):
            flatten(context, store, loaded)
