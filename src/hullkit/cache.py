"""The cache directory: shared by concurrent builds, never half-written, swept of what killed builds left.

    oci/      OCI image layout (``hullkit.oci.store``)
    debian/   verified indexes and packages (``hullkit.debian``)
    tools/    host tools unpacked from packages (``hullkit.component.tools``)
    steps/    results of build steps: steps/KIND/ID
    partial/  blobs whose transfer broke off, to be gone on with (``hullkit.oci.registry``)
    logs/     what the last build from source of each component printed (``hullkit.component.sourcebuild``)
    go-build/ Go's own build cache, for the guest's init
    machine/  what was found out about this host's KVM; the consoles of the last checked runs (``machine.consolelog``)
    tmp/      work in progress; one directory per running task, locked while it lives
    locks/    lock files

Everything outside ``tmp``, ``locks`` and ``go-build`` appears by rename, complete or not at all.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from hullkit.errors import HostError


def default_cache_root() -> Path:
    """``$HULLKIT_CACHE``, else ``$XDG_CACHE_HOME/hullkit``, else ``~/.cache/hullkit``."""
    if given := os.environ.get("HULLKIT_CACHE"):
        return Path(given)
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "hullkit"


@contextmanager
def host_errors(doing: str) -> Iterator[None]:
    """Turn the host's own refusals (disk full, no permission, read-only) into one HostError that says what was done."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise HostError(f"{doing}: no space left on the disk", hint="free some space and run it again") from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise HostError(f"{doing}: {error.strerror}: {error.filename or ''}".rstrip(": ")) from error
        raise


class Cache:
    """A cache rooted at ``root``; methods create what they need and are safe between processes and threads."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._swept = False

    def path(self, *parts: str) -> Path:
        """The path of a cache entry; its parent exists afterwards, the entry itself may not."""
        path = self.root.joinpath(*parts)
        with host_errors(f"cache directory {self.root}"):
            path.parent.mkdir(parents=True, exist_ok=True)
        return path

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Hold an exclusive lock between processes; ``name`` may be any text. Released even when killed."""
        path = self.path("locks", hashlib.sha256(name.encode()).hexdigest()[:32])
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    @contextmanager
    def temp_dir(self) -> Iterator[Path]:
        """A private directory on the cache's file system, gone afterwards (after SIGKILL: at the next use)."""
        self.sweep()
        base = self.path("tmp", "x").parent
        with host_errors(f"temporary directory in {base}"), self.lock("tmp"):
            directory = Path(tempfile.mkdtemp(dir=base))
            descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(descriptor, fcntl.LOCK_SH)
        try:
            with host_errors(f"work in {base}"):
                yield directory
        finally:
            remove_tree(directory)
            os.close(descriptor)

    def publish(self, made: Path, final: Path) -> Path:
        """Move a finished file or directory from ``temp_dir`` to its place; an entry already there wins."""
        final.parent.mkdir(parents=True, exist_ok=True)
        if made.is_dir():
            try:
                os.rename(made, final)
            except OSError as error:
                if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                    raise
                remove_tree(made)
        else:
            os.replace(made, final)
        return final

    def sweep(self) -> None:
        """Remove what killed processes left in ``tmp`` (their locks are gone); once per process."""
        if self._swept:
            return
        self._swept = True
        base = self.path("tmp", "x").parent
        base.mkdir(parents=True, exist_ok=True)
        with self.lock("tmp"):
            for directory in base.iterdir():
                sweep_unlocked(directory)


_PART_PREFIX, _PART_SUFFIX = ".hullkit-", ".part"


@contextmanager
def atomic_files(directory: Path, names: Sequence[str]) -> Iterator[list[BinaryIO]]:
    """Open a temporary file for each name and rename all at the end; on an error, remove them.

    Temporary files are locked while their writer lives, so that the next writer can tell and sweep what a killed one
    left. Modes follow the umask, as for any file a user makes.
    """
    opened: list[tuple[Path, BinaryIO]] = []
    try:
        with host_errors(f"write to {directory}"):
            directory.mkdir(parents=True, exist_ok=True)
            with _flock(directory):  # nobody sweeps a file between its making and its locking
                for stale in directory.glob(f"{_PART_PREFIX}*{_PART_SUFFIX}"):
                    sweep_unlocked(stale)
                for _ in names:
                    opened.append(_open_part(directory))
            yield [stream for _, stream in opened]
            for _, stream in opened:
                stream.flush()
            for (path, _), name in zip(opened, names, strict=True):
                os.replace(path, directory / name)
    finally:
        for path, stream in opened:
            with suppress(OSError):  # a full disk was reported by the flush above
                stream.close()
            path.unlink(missing_ok=True)


def _open_part(directory: Path) -> tuple[Path, BinaryIO]:
    path = directory / f"{_PART_PREFIX}{secrets.token_hex(8)}{_PART_SUFFIX}"
    stream: BinaryIO = open(path, "xb")  # noqa: SIM115
    fcntl.flock(stream, fcntl.LOCK_EX)
    return path, stream


@contextmanager
def _flock(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def atomic_write(path: Path, data: bytes) -> None:
    """Write a small file so that it is there complete or not at all."""
    with atomic_files(path.parent, [path.name]) as (stream,):
        stream.write(data)


def sweep_unlocked(path: Path) -> None:
    """Remove a temporary file or directory unless a living process holds its lock."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if path.is_dir():
            remove_tree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError:
        pass
    finally:
        os.close(descriptor)


def remove_tree(path: Path) -> None:
    """Like ``rm -rf``; directories without write permission are no obstacle."""

    def retry(function: object, name: str, _info: object) -> None:
        try:
            os.chmod(Path(name).parent, 0o700)
            os.chmod(name, 0o700)
            if os.path.isdir(name) and not os.path.islink(name):
                shutil.rmtree(name, onerror=None, ignore_errors=True)
            else:
                os.unlink(name)
        except OSError:
            pass

    shutil.rmtree(path, onerror=retry)
