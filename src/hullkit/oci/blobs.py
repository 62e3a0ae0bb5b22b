"""The blobs of the image store: files by their digests (OCI image-layout.md), shared by concurrent builds.

They appear by rename and never change.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from hullkit.cache import Cache, host_errors
from hullkit.errors import NotFound, TrustError
from hullkit.oci.digest import split_digest
from hullkit.oci.document import Descriptor, encode
from hullkit.tree.entry import CHUNK, Bytes

LAYOUT = {"imageLayoutVersion": "1.0.0"}


class Blobs:
    """The blobs of a cache; cheap to make, safe between processes and threads."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    def _path(self, digest: str) -> Path:
        return self._cache.root.joinpath("oci", "blobs", *split_digest(digest))

    def has(self, digest: str) -> bool:
        return self._path(digest).is_file()

    def blob(self, digest: str) -> Path:
        """The file that holds a blob; NotFound when the store does not have it."""
        path = self._path(digest)
        if not path.is_file():
            raise NotFound(f"the cache does not hold the blob {digest}")
        return path

    def add_blob(
        self,
        source: Path | bytes | Iterable[bytes],
        *,
        media_type: str = "application/octet-stream",
        expect_digest: str | None = None,
        expect_size: int | None = None,
        move: bool = False,
    ) -> Descriptor:
        """Add content from a file, from memory, or from chunks as they come.

        TrustError, and nothing added, when digest or size is not as expected. ``move``: a file of ``cache.temp_dir``
        is moved, not copied.
        """
        checked = _Checked(expect_digest, expect_size)
        with self._cache.temp_dir() as work:
            if move and isinstance(source, Path):
                made = source
                for _ in checked.chunks(source):
                    pass
            else:
                made = work / "blob"
                with open(made, "xb") as out:
                    for chunk in checked.chunks(source):
                        out.write(chunk)
            digest = checked.finish()
            self._publish(made, digest)
        return Descriptor(media_type, digest, checked.size)

    def blobs(self) -> list[str]:
        """The digests of all blobs, sorted."""
        paths = self._cache.root.glob("oci/blobs/*/*")
        return sorted(f"{path.parent.name}:{path.name}" for path in paths)

    def receive(self, digest: str, size: int, bring: Callable[[Path], object]) -> None:
        """Have a blob brought unless it is there: ``bring(path)`` makes the file complete and verified, or raises.

        One at a time for each blob, between processes too.
        """
        path = self._path(digest)
        with self._cache.lock(f"blob {digest}"):
            if path.is_file() and path.stat().st_size == size:
                return
            self._ensure_layout()
            path.parent.mkdir(parents=True, exist_ok=True)
            bring(path)

    def _publish(self, made: Path, digest: str) -> None:
        self._ensure_layout()
        self._cache.publish(made, self._path(digest))

    def _ensure_layout(self) -> None:
        marker = self._cache.path("oci", "oci-layout")
        if not marker.exists():
            self._write(marker, encode(LAYOUT))

    def _write(self, path: Path, data: bytes) -> None:
        with self._cache.temp_dir() as work:
            made = work / "document"
            made.write_bytes(data)
            self._cache.publish(made, path)


class _Checked:
    """Passes content through while it is counted and hashed; TrustError when it is not as expected."""

    def __init__(self, expect_digest: str | None, expect_size: int | None) -> None:
        self._algorithm = split_digest(expect_digest)[0] if expect_digest else "sha256"
        self._hasher = hashlib.new(self._algorithm)
        self._digest, self._size = expect_digest, expect_size
        self._what = f"the blob {expect_digest}" if expect_digest else "a blob"
        self.size = 0

    def chunks(self, source: Path | bytes | Iterable[bytes]) -> Iterator[bytes]:
        for chunk in _chunks(source):
            self.size += len(chunk)
            if self._size is not None and self.size > self._size:
                raise TrustError(f"{self._what} has more than the expected {self._size} bytes")
            self._hasher.update(chunk)
            yield chunk

    def finish(self) -> str:
        digest = f"{self._algorithm}:{self._hasher.hexdigest()}"
        if self._size not in (None, self.size):
            raise TrustError(f"{self._what} has {self.size} bytes instead of {self._size}")
        if self._digest not in (None, digest):
            raise TrustError(f"{self._what} has the content of {digest}")
        return digest


def _chunks(source: Path | bytes | Iterable[bytes]) -> Iterator[bytes]:
    if isinstance(source, bytes):
        yield from Bytes(source).chunks()
    elif isinstance(source, Path):
        with host_errors(f"read {source}"), open(source, "rb", buffering=0) as stream:
            while data := stream.read(CHUNK):
                yield data
    else:
        yield from source
