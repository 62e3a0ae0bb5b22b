"""What assembly produces and every output format takes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from posixpath import normpath
from typing import Literal

from hullkit.disk.verity import VerityImage
from hullkit.tree.entry import Entry, EntryType, Source
from hullkit.tree.segment import Compression
from hullkit.tree.tree import Tree

#: what the store is attached to: a paravirtual disk, or whatever firmware starts a CD or a USB stick from
Medium = Literal["disk", "removable"]

#: name of the segment with LinuxKit's bill of materials; the last one, whatever a format adds
SBOM = "sbom"


@dataclass(frozen=True, slots=True)
class Segment:
    """A run of entries that becomes one cpio archive of the initramfs.

    The kernel unpacks segments one after another; no hard link crosses from one to the next, since the kernel
    forgets links at each trailer (init/initramfs.c). ``compression`` is "none" for what is compressed already;
    ``level`` is the codec's own.
    """

    name: str
    #: may be iterated any number of times, and may be made anew each time
    entries: Iterable[Entry]
    compression: Compression = "none"
    level: int = 0
    #: says what the entries are, where that is known without reading them; else their fingerprint does
    identity: str = ""
    #: pax records of every entry in a tar archive (where it comes from)
    records: Mapping[str, str] = field(default_factory=dict)
    #: whether it is part of the initramfs at all
    initramfs: bool = True


@dataclass(frozen=True, slots=True)
class OnDisk:
    """``initramfs``: the segments of the initramfs by what the store is attached to; ``store``: the store itself."""

    initramfs: Mapping[Medium, tuple[Segment, ...]]
    store: VerityImage

    def cmdline(self, line: str, offset: int = 0) -> str:
        """The kernel command line that finds the store; ``offset``: where it begins on a CD, in bytes."""
        tree = self.store.tree
        word = f"hullkit.verity={tree.root.hex()}:{tree.blocks}" + (f":{offset}" if offset else "")
        return f"{line} {word}".strip()


@dataclass(frozen=True, slots=True)
class System:
    """A bootable system: ``segments`` in order are its tree, and make the initramfs less what lies below ``boot/``.

    ``kernel`` is None for a tree without one. With ``linuxkit`` it is what LinuxKit would make of the same input,
    member by member; otherwise hullkit's init is its first process.
    """

    name: str
    arch: str
    layout: Literal["flat", "packed"]
    kernel: Source | None
    cmdline: str
    ucode: Source | None
    segments: tuple[Segment, ...]
    linuxkit: bool = False
    #: the same system with its store on a disk; None where there is no store
    on_disk: OnDisk | None = None

    def entries(self) -> Iterator[Entry]:
        """All entries of the tree, segment by segment."""
        for segment in self.segments:
            yield from segment.entries


def is_boot_file(entry: Entry) -> bool:
    """Whether it is for the boot loader, and not part of the initramfs (as LinuxKit decides it: by the name)."""
    return entry.path.startswith("boot/")


def settled(entries: Iterable[Entry]) -> Tree:
    """The tree that unpacking entries leaves, whatever their order: names that come twice, links before their files."""
    tree = Tree()
    members, links = [], []
    for entry in entries:
        if entry.type is EntryType.GLOBAL:
            continue
        path = normpath(entry.path or ".").lstrip("/")
        entry = replace(entry, path="" if path == "." else path)
        if entry.type is EntryType.HARDLINK:
            links.append(entry)
        else:
            members.append(entry)
    tree.unpack(members)
    for entry in links:
        if entry.target in tree:
            tree.unpack([entry])
        elif entry.content is not None:
            tree.unpack([replace(entry, type=EntryType.FILE, target="")])
    return tree
