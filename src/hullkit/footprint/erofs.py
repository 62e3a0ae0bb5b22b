"""What the files of an erofs image take in it, read from the image itself (fs/erofs/erofs_fs.h of the kernel)."""

from __future__ import annotations

import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from hullkit.errors import TrustError

_SUPER = 1024
_MAGIC = 0xE0F5E1E2
_FLAT_PLAIN, _COMPRESSED_FULL, _FLAT_INLINE, _COMPRESSED_COMPACT = range(4)
#: z_erofs_map_header.h_advise: the last piece lies beside the inode, h_idata_size bytes of it
_INLINE_PIECE = 0x0008


@dataclass(frozen=True, slots=True)
class Stored:
    """A file that is not a directory: its size and the bytes of its data in the image (0 when it has none there)."""

    path: str
    mode: int
    size: int
    bytes: int


def stored_files(image: memoryview) -> Iterator[Stored]:
    """Every file of the image, a file with several names once; what is left of the image's size is metadata.

    Raises TrustError for what is no erofs image or points outside of itself.
    """
    try:
        yield from _walk(image)
    except (struct.error, IndexError, ValueError, OverflowError) as error:
        raise TrustError(f"an erofs image of the cache is damaged: {error}") from error


def _walk(image: memoryview) -> Iterator[Stored]:
    (magic,) = struct.unpack_from("<I", image, _SUPER)
    if magic != _MAGIC:
        raise TrustError("not an erofs image")
    (block_bits,) = struct.unpack_from("<B", image, _SUPER + 12)
    (root,) = struct.unpack_from("<H", image, _SUPER + 14)
    (meta,) = struct.unpack_from("<I", image, _SUPER + 40)
    block = 1 << block_bits
    seen: set[int] = set()
    pending = [("", root)]
    while pending:
        path, nid = pending.pop()
        if nid in seen:
            continue
        seen.add(nid)
        inode = _inode(image, meta * block + nid * 32)
        if not stat.S_ISDIR(inode.mode):
            yield Stored(path, inode.mode, inode.size, inode.data_bytes(image, block))
            continue
        children = [(name, child) for name, child in _names(image, inode, block) if name not in (b".", b"..")]
        for name, child in reversed(children):
            text = name.decode("utf-8", "surrogateescape")
            pending.append((f"{path}/{text}" if path else text, child))


@dataclass(frozen=True, slots=True)
class _Inode:
    mode: int
    size: int
    layout: int
    #: first block, or for compressed data the number of blocks
    place: int
    #: where inode and attributes end
    end: int

    def data_bytes(self, image: memoryview, block: int) -> int:
        if not (stat.S_ISREG(self.mode) or stat.S_ISLNK(self.mode)) or not self.size:
            return 0
        if self.layout == _FLAT_INLINE:
            return self.size // block * block + self.size % block
        if self.layout == _FLAT_PLAIN:
            return -(-self.size // block) * block
        if self.layout in (_COMPRESSED_FULL, _COMPRESSED_COMPACT):
            header = -(-self.end // 8) * 8
            inline, advise = struct.unpack_from("<HH", image, header + 2)
            return self.place * block + (inline if advise & _INLINE_PIECE else 0)
        raise TrustError(f"an erofs image of the cache has data in a form that hullkit does not make ({self.layout})")

    def blocks(self, image: memoryview, block: int) -> Iterator[memoryview]:
        """The blocks of a directory; the last one of an inline one lies behind the inode."""
        for start in range(0, self.size, block):
            length = min(block, self.size - start)
            inline = self.layout == _FLAT_INLINE and start + block > self.size
            at = self.end if inline else self.place * block + start
            yield image[at : at + length]


def _inode(image: memoryview, at: int) -> _Inode:
    head, attributes, mode = struct.unpack_from("<HHH", image, at)
    if head & 1:
        size, place = struct.unpack_from("<QI", image, at + 8)
        end = at + 64
    else:
        (size,) = struct.unpack_from("<I", image, at + 8)
        (place,) = struct.unpack_from("<I", image, at + 16)
        end = at + 32
    if attributes:
        end += 12 + 4 * (attributes - 1)
    return _Inode(mode, size, (head >> 1) & 7, place, end)


def _names(image: memoryview, inode: _Inode, block: int) -> Iterator[tuple[bytes, int]]:
    for data in inode.blocks(image, block):
        (first,) = struct.unpack_from("<H", data, 8)
        entries = [struct.unpack_from("<QH", data, at) for at in range(0, first, 12)]
        ends = [offset for _, offset in entries[1:]] + [len(data)]
        for (nid, offset), end in zip(entries, ends, strict=True):
            yield bytes(data[offset:end]).rstrip(b"\0"), nid
