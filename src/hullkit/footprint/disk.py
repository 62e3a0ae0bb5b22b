"""Every byte of kernel and initramfs, attributed to component, package, layer and file.

The rule (docs/footprint.md): what is stored as it is counts as it is; a file of an erofs image counts the blocks and
the inline piece that its inode says; a compressed segment is spread over its members in proportion to their size
uncompressed, with header; what then is left of an image, a segment or the initramfs is its own line. The sum is exact.
"""

from __future__ import annotations

import mmap
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from hullkit.assemble.system import Segment, System, is_boot_file
from hullkit.footprint.erofs import stored_files
from hullkit.footprint.model import FileCost, Part
from hullkit.footprint.owners import CONFIGURATION, SYSTEM, Owners
from hullkit.tree.entry import Entry, EntryType, FileSlice

FORMAT = "kernel+initrd"
#: packages that are none: what a file system or an archive needs around the files
METADATA = "(metadata)"
ARCHIVE = "(archive)"
#: a cpio header (newc): magic and 13 fields of 8 digits, and the NUL after the name
_CPIO_HEADER = 111


@dataclass(frozen=True, slots=True)
class Cost:
    """One line of the account: a file with its owner, and its mode (0 for what is no file)."""

    component: str
    package: str
    layer: str
    users: tuple[str, ...]
    file: FileCost
    mode: int = 0


def spread(total: int, weights: Sequence[int]) -> list[int]:
    """``total`` in proportion to the weights, in whole bytes that sum up to it (largest remainders)."""
    whole = sum(weights)
    if not whole:
        return [total if index == 0 else 0 for index in range(len(weights))]
    shares = [total * weight // whole for weight in weights]
    order = sorted(range(len(weights)), key=lambda index: (-(total * weights[index] % whole), index))
    for index in order[: total - sum(shares)]:
        shares[index] += 1
    return shares


def account(
    system: System, owners: Owners, kernel: Cost, initrd: int, compressed: Callable[[Segment], int]
) -> list[Cost]:
    """The lines of a system whose initramfs has ``initrd`` bytes; ``compressed`` gives those of a segment."""
    costs = [kernel]
    if system.ucode is not None:
        microcode = FileCost("microcode", system.ucode.size, system.ucode.size)
        costs.append(Cost(kernel.component, "", "", (SYSTEM,), microcode))
    for segment in system.segments:
        if segment.initramfs:
            costs += _segment(segment, owners, compressed)
    rest = kernel.file.bytes + initrd - sum(cost.file.bytes for cost in costs)
    costs.append(Cost(CONFIGURATION, ARCHIVE, "", (SYSTEM,), FileCost("headers and padding of cpio", rest, rest)))
    return costs


def _segment(segment: Segment, owners: Owners, compressed: Callable[[Segment], int]) -> list[Cost]:
    entries = [entry for entry in segment.entries if not is_boot_file(entry) and entry.type is not EntryType.GLOBAL]
    if segment.compression == "none":
        return [cost for entry in entries for cost in _stored(entry, owners)]
    weights = [_CPIO_HEADER + len(entry.path) + entry.size for entry in entries]
    shares = spread(compressed(segment), weights)
    return [_cost(entry, owners, share) for entry, share in zip(entries, shares, strict=True)]


def _cost(entry: Entry, owners: Owners, share: int) -> Cost:
    layer, image = entry.owner.layer, entry.owner.image
    component = owners.component(layer, image) if layer else CONFIGURATION
    users = owners.images.get(image) or (_user(entry.path),)
    package = entry.owner.package or owners.package(layer, _path_in_image(entry.path))
    mode = entry.mode | (stat.S_IFREG if entry.type is EntryType.FILE else 0)
    return Cost(component, package, layer, users, FileCost(readable(entry.path), entry.size, share), mode)


def readable(path: str) -> str:
    """A path as text that can be written: bytes that are not UTF-8 as ``\\xNN``."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _path_in_image(path: str) -> str:
    """The path within its image of a file of the boot segment or the flat layout."""
    parts = path.split("/", 4)
    if len(parts) == 5 and parts[0] == "containers" and parts[3] in ("rootfs", "lower"):
        return parts[4]
    return f"usr/{path}" if path.startswith("lib/modules/") else path


def _user(path: str) -> str:
    """The container whose files lie at a path of the tree; else the root."""
    parts = path.removeprefix("root/").split("/")
    if len(parts) > 2 and parts[0] == "containers":
        number, _, name = parts[2].partition("-")
        return name if parts[1] != "services" and number.isdigit() else parts[2]
    return SYSTEM


def _stored(entry: Entry, owners: Owners) -> Iterator[Cost]:
    """A member that is stored as it is; an erofs image is opened."""
    if not entry.path.endswith(".erofs") or not isinstance(entry.content, FileSlice):
        if entry.size:
            yield _cost(entry, owners, entry.size)
        return
    layer = entry.owner.layer
    component = owners.component(layer, entry.owner.image) if layer else CONFIGURATION
    left = entry.size
    with (
        open(entry.content.path, "rb") as stream,
        mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
        memoryview(mapped) as image,
    ):
        found = [each for each in stored_files(image) if stat.S_ISREG(each.mode) or stat.S_ISLNK(each.mode)]
    for each in found:
        left -= each.bytes
        users = owners.users.get(layer) or (_user(each.path),)
        package = owners.package(layer, each.path)
        yield Cost(component, package, layer, users, FileCost(readable(each.path), each.size, each.bytes), each.mode)
    users = owners.users.get(layer) or (SYSTEM,)
    yield Cost(component, METADATA, layer, users, FileCost("inodes, directories, indexes", left, left))


def group(costs: Sequence[Cost]) -> Iterator[Part]:
    """Lines with the same owner together, the largest part and the largest file first."""
    groups: dict[tuple[str, str, str, tuple[str, ...]], list[FileCost]] = {}
    for cost in costs:
        groups.setdefault((cost.component, cost.package, cost.layer, cost.users), []).append(cost.file)
    parts = [
        Part(
            *key,
            size=sum(file.size for file in files),
            bytes=sum(file.bytes for file in files),
            files=tuple(sorted(files, key=lambda file: (-file.bytes, file.path))),
        )
        for key, files in groups.items()
    ]
    yield from sorted(parts, key=lambda part: (-part.bytes, part.component, part.package, part.layer, part.users))
