"""The hash tree, checked by a second computation and by veritysetup."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

import pytest

from hullkit.context import Context
from hullkit.disk.verity import BLOCK, VerityImage, hash_tree, whole_blocks
from hullkit.errors import ToolError
from hullkit.hosttools.run import run
from hullkit.tree.entry import Bytes, FileSlice
from tests.disk.conftest import write


def root_by_recursion(blocks: list[bytes]) -> bytes:
    """Documentation/admin-guide/device-mapper/verity.rst, said in another way."""
    digests = [hashlib.sha256(block).digest() for block in blocks]
    if len(digests) == 1:
        return digests[0]
    return root_by_recursion(
        [b"".join(digests[at : at + 128]).ljust(BLOCK, b"\0") for at in range(0, len(digests), 128)]
    )


@pytest.mark.parametrize("count", [1, 2, 127, 128, 129, 300])
def test_root_hash(count: int) -> None:
    blocks = [random.Random(number).randbytes(BLOCK) for number in range(count)]
    tree = hash_tree([b"".join(blocks)])
    assert (tree.root, tree.blocks) == (root_by_recursion(blocks), count)
    assert tree.data[:8] == b"verity\0\0" and tree.data[16:32] == tree.root[:16]
    assert len(tree.data) == BLOCK * (1 + {1: 0, 2: 1, 127: 1, 128: 1, 129: 3, 300: 4}[count])
    assert hash_tree(blocks) == tree


def test_no_half_blocks_and_not_nothing() -> None:
    with pytest.raises(ValueError):
        hash_tree([bytes(BLOCK + 1)])
    with pytest.raises(ValueError):
        hash_tree([])


def test_chunks_of_any_size_become_whole_blocks(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_bytes(random.Random(1).randbytes(2_500_001))
    source = FileSlice(path, 1, 2_500_000)
    made = list(whole_blocks(source))
    assert all(len(each) % BLOCK == 0 for each in made)
    assert b"".join(made) == path.read_bytes()[1:] + bytes(-2_500_000 % BLOCK)


@pytest.mark.net
def test_veritysetup_agrees(tooled: Context, tmp_path: Path) -> None:
    """veritysetup verifies the image by its superblock, makes the same tree, and finds a flipped bit."""
    image = VerityImage([Bytes(random.Random(7).randbytes(size)) for size in (1, 5000, 3 * 4096, 700_000)])
    path = write(image, tmp_path / "store")
    offset, root = image.tree.blocks * BLOCK, image.tree.root.hex()
    tool = tooled.tools.get("veritysetup")
    run(tooled, tool, ["verify", f"--hash-offset={offset}", str(path), str(path), root])

    other = tmp_path / "other"
    other.write_bytes(path.read_bytes()[:offset])
    options = ["--no-superblock", f"--data-blocks={image.tree.blocks}", f"--hash-offset={offset}", "--salt=-"]
    run(tooled, tool, ["format", *options, str(other), str(other)])
    assert other.read_bytes()[offset:] == image.tree.data[BLOCK:]

    data = bytearray(path.read_bytes())
    data[5001] ^= 4
    path.write_bytes(data)
    with pytest.raises(ToolError):
        run(tooled, tool, ["verify", f"--hash-offset={offset}", str(path), str(path), root])
