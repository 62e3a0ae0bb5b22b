"""Output files that appear complete or not at all, and leave nothing behind when a build is killed."""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from hullkit.cache import host_errors, sweep_unlocked

_PREFIX = ".hullkit-"
_SUFFIX = ".part"


@contextmanager
def atomic_files(directory: Path, names: Sequence[str]) -> Iterator[list[BinaryIO]]:
    """Open a temporary file for each name and rename all at the end; on an error, remove them.

    Temporary files are locked while their writer lives, so that the next build can tell and sweep what a killed one
    left. Modes follow the umask, as for any file a user makes.
    """
    with host_errors(f"output directory {directory}"):
        directory.mkdir(parents=True, exist_ok=True)
        for stale in directory.glob(f"{_PREFIX}*{_SUFFIX}"):
            sweep_unlocked(stale)
    opened: list[tuple[Path, BinaryIO]] = []
    try:
        with host_errors(f"write to {directory}"):
            for _ in names:
                path = directory / f"{_PREFIX}{secrets.token_hex(8)}{_SUFFIX}"
                stream = open(path, "xb")  # noqa: SIM115
                opened.append((path, stream))
                fcntl.flock(stream, fcntl.LOCK_EX)
            yield [stream for _, stream in opened]
            for _, stream in opened:
                stream.flush()
            for (path, _), name in zip(opened, names, strict=True):
                os.replace(path, directory / name)
    finally:
        for path, stream in opened:
            try:
                stream.close()
            except OSError:
                pass  # a full disk was reported by the flush above
            path.unlink(missing_ok=True)
