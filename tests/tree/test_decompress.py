"""Out of compression: every kind, in any pieces; what is cut off, damaged or a bomb is refused in little memory."""

from __future__ import annotations

import gzip
import hashlib
import lzma
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
import zstandard

from hullkit.errors import TrustError
from hullkit.tree.decompress import compression, decompress
from hullkit.tree.entry import CHUNK

PACK: dict[str, Callable[[bytes], bytes]] = {
    "xz": lzma.compress,
    "gz": gzip.compress,
    "zst": zstandard.ZstdCompressor().compress,
}
KINDS = sorted(PACK)
MANY = 1 << 30


def unpacked(blocks: Iterator[bytes] | list[bytes], kind: str) -> bytes:
    return b"".join(decompress(blocks, kind, max_size=MANY, what="x"))


def blocks_of(data: bytes, size: int) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


def noise(size: int) -> bytes:
    return b"".join(hashlib.sha256(number.to_bytes(4)).digest() for number in range(size // 32 + 1))[:size]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("data", [b"", b"a", b"\xa5" * 5000, noise(100), noise(3 << 20)], ids=len)
def test_streams_in_any_pieces_and_behind_each_other(kind: str, data: bytes) -> None:
    packed = PACK[kind](data)
    assert compression(packed[:8]) == kind
    for size in (1 << 20, 7, *([1] if len(data) < 10_000 else [])):
        assert unpacked(blocks_of(packed, size), kind) == data
    assert unpacked([packed, b"", packed], kind) == data + data
    assert unpacked([packed + packed], kind) == data + data
    assert all(len(piece) <= CHUNK for piece in decompress([packed], kind, max_size=MANY, what="x"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("data", [b"", b"a", b"\xa5" * 5000, noise(3000)], ids=len)
def test_cut_off_anywhere(kind: str, data: bytes) -> None:
    packed = PACK[kind](data)
    for cut in range(len(packed)):
        for before in (b"", packed):
            if before and not cut:
                continue
            with pytest.raises(TrustError, match=r"^x: (cut off|damaged)"):
                unpacked([before + packed[:cut]], kind)


@pytest.mark.parametrize("kind", ["xz", "gz"])
def test_zeros_behind_a_stream_are_padding(kind: str) -> None:
    packed = PACK[kind](b"a")
    assert unpacked([packed, bytes(512), bytes(512) + packed + bytes(8)], kind) == b"aa"
    with pytest.raises(TrustError, match="damaged"):
        unpacked([bytes(512) + packed], kind)
    with pytest.raises(TrustError, match="damaged"):
        unpacked([packed, b"garbage behind the end"], kind)


def test_stored_and_unknown() -> None:
    assert compression(b"PK\x03\x04") == compression(b"") == ""
    assert unpacked([b"a", b"b"], "") == b"ab"
    with pytest.raises(TrustError, match="'bz2' is not known"):
        unpacked([b"a"], "bz2")


@pytest.mark.parametrize("kind", KINDS)
def test_bounds(kind: str) -> None:
    bomb = PACK[kind](bytes(100 << 20))
    with pytest.raises(TrustError, match="more than 400 times its size"):
        unpacked([bomb], kind)
    with pytest.raises(TrustError, match=f"more than {5 << 20} bytes"):
        list(decompress([bomb], kind, max_size=5 << 20, what="x"))
    assert sum(map(len, decompress([bomb], kind, max_size=MANY, max_ratio=MANY, what="x"))) == 100 << 20


MEMORY = """
import resource, sys
from hullkit.errors import TrustError
from hullkit.tree.decompress import decompress
import zstandard
bomb = open(0, "rb").read()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    for piece in decompress([bomb], "zst", max_size=2 << 30, max_ratio=1 << 30, what="x"):
        pass
except TrustError:
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_memory_of_a_bomb() -> None:
    """One zstd block of 4 bytes may stand for 128 kB: what is given must be bounded, not what is read."""
    compressor = zstandard.ZstdCompressor(level=1).compressobj()
    bomb = b"".join(compressor.compress(bytes(1 << 20)) for _ in range(4 << 10)) + compressor.flush()
    ended = subprocess.run([sys.executable, "-c", MEMORY], input=bomb, check=True, capture_output=True)
    assert int(ended.stdout) < 40, "MiB"
