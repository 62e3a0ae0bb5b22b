"""dm-verity: data followed by a superblock and a hash tree, so that the kernel refuses whatever was changed.

Format of the tree: Documentation/admin-guide/device-mapper/verity.rst, version 1; of the superblock: cryptsetup's
"Verity on-disk format" (veritysetup reads both). There is no salt: it would keep nobody from anything, since whoever
can change the data knows it, and without one the same data have the same root hash.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from hullkit.tree.entry import CHUNK, Source

#: bytes of a block of data, and of the hash tree
BLOCK = 4096
_ALGORITHM = "sha256"
_DIGESTS = BLOCK // 32


@dataclass(frozen=True, slots=True)
class HashTree:
    """``root``: what vouches for all ``blocks`` blocks of data. ``data``: superblock and tree, as they follow them."""

    root: bytes
    blocks: int
    data: bytes


def hash_tree(chunks: Iterable[bytes]) -> HashTree:
    """The tree over data that comes in chunks, each a multiple of BLOCK bytes and not empty altogether.

    Takes 32 bytes of memory for each block.
    """
    leaves = bytearray()
    for chunk in chunks:
        if len(chunk) % BLOCK:
            raise ValueError("data of dm-verity are whole blocks")
        view = memoryview(chunk)
        for start in range(0, len(chunk), BLOCK):
            leaves += hashlib.sha256(view[start : start + BLOCK]).digest()
    blocks = len(leaves) // 32
    if not blocks:
        raise ValueError("there are no data to hash")
    levels: list[bytes] = []
    digests = bytes(leaves)
    while len(digests) > 32:
        level = digests + bytes(-len(digests) % BLOCK)
        levels.append(level)
        digests = b"".join(
            hashlib.sha256(level[start : start + BLOCK]).digest() for start in range(0, len(level), BLOCK)
        )
    return HashTree(digests, blocks, superblock(digests, blocks) + b"".join(reversed(levels)))


def superblock(root: bytes, blocks: int) -> bytes:
    """One block. Its UUID is the first half of the root hash: by it the guest finds its own store."""
    fields = struct.pack(
        "<8sII16s32sIIQH6x256s168x",
        b"verity\0\0",
        1,
        1,
        root[:16],
        _ALGORITHM.encode(),
        BLOCK,
        BLOCK,
        blocks,
        0,
        b"",
    )
    return fields.ljust(BLOCK, b"\0")


@dataclass(frozen=True)
class VerityImage:
    """Images one after another, each padded to whole blocks, and the tree over all of them. Itself a Source."""

    parts: Sequence[Source]

    @cached_property
    def tree(self) -> HashTree:
        return hash_tree(self._data())

    @property
    def size(self) -> int:
        return self.tree.blocks * BLOCK + len(self.tree.data)

    def chunks(self) -> Iterator[bytes]:
        yield from self._data()
        for start in range(0, len(self.tree.data), CHUNK):
            yield self.tree.data[start : start + CHUNK]

    def _data(self) -> Iterator[bytes]:
        for part in self.parts:
            yield from whole_blocks(part)


def whole_blocks(source: Source) -> Iterator[bytes]:
    """The content in multiples of BLOCK bytes, zeros at its end."""
    rest = b""
    for chunk in source.chunks():
        rest += chunk
        cut = len(rest) - len(rest) % BLOCK
        yield rest[:cut]
        rest = rest[cut:]
    if rest:
        yield rest.ljust(BLOCK, b"\0")


def padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK
