"""Bringing blobs to a registry (OCI distribution-spec 1.1, "Push").

A blob goes in one piece. When that breaks off, the registry is asked how much it has, and the rest follows.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote, urljoin

from hullkit.errors import HullError, NetworkError
from hullkit.net import DEFAULT_POLICY, OnBytes, Reply
from hullkit.oci.document import Descriptor
from hullkit.oci.registry import Repository

_READ = 1 << 18


@dataclass(frozen=True, slots=True)
class FilePart:
    """A ``net.Upload``: a file from ``offset`` on."""

    path: Path
    offset: int
    size: int
    on_bytes: OnBytes

    def open(self) -> _Reader:
        stream = open(self.path, "rb", buffering=0)  # noqa: SIM115 (closed at its end, or with the request)
        stream.seek(self.offset)
        return _Reader(stream, self.on_bytes)


class _Reader:
    """What urllib3 reads a body from."""

    def __init__(self, stream: BinaryIO, on_bytes: OnBytes) -> None:
        self._stream = stream
        self._on_bytes = on_bytes

    def read(self, size: int = _READ) -> bytes:
        data = self._stream.read(max(size, _READ))
        self._on_bytes(len(data))
        if not data:
            self._stream.close()
        return data


class _Lost(Exception):
    """The registry no longer knows the upload: it begins anew."""


class BlobUpload:
    """One blob on its way into a repository."""

    def __init__(self, repository: Repository, path: Path, descriptor: Descriptor, on_bytes: OnBytes) -> None:
        self._repository = repository
        self._path = path
        self._descriptor = descriptor
        self._on_bytes = on_bytes
        self._told = 0
        self._policy = repository.client.policy or DEFAULT_POLICY
        self._what = f"{repository.name}: blob {descriptor.digest}"

    def push(self, mount_from: str = "") -> None:
        """Have the blob in the repository. ``mount_from``: a repository of the same registry that may have it.

        Raises NetworkError after several attempts that did not get on, and for refusals.
        """
        failures = farthest = 0
        while True:
            try:
                if self._repository.has_blob(self._descriptor.digest) or self._upload(mount_from):
                    self._tell(self._descriptor.size)
                    return
            except _Lost as lost:
                failures = 1 if self._told > farthest else failures + 1
                farthest = max(farthest, self._told)
                if failures >= self._policy.attempts:
                    raise NetworkError(f"{self._what}: {lost} (given up after {failures} attempts)") from lost
                time.sleep(min(self._policy.backoff * 2 ** (failures - 1), self._policy.backoff_max))
            self._tell(0)

    def _tell(self, position: int) -> None:
        """Progress: what the registry has for sure."""
        self._on_bytes(position - self._told)
        self._told = position

    def _upload(self, mount_from: str) -> bool:
        """One upload from its beginning to its end. Raises _Lost."""
        url = f"{self._repository.base}/blobs/uploads/"
        if mount_from:
            url += f"?mount={self._descriptor.digest}&from={quote(mount_from, safe='')}"
        reply = self._repository.exchange("POST", url, headers={"Content-Length": "0"})
        if reply.status == 201:
            return True  # mounted
        if reply.status != 202:
            raise self._repository.refusal(reply, f"{self._what}: begin of an upload")
        return self._finish(self._send(self._location(reply, url)))

    def _send(self, url: str) -> str:
        """The content, in one piece as long as nothing breaks off; returns the URL to finish at."""
        offset = failures = 0
        while offset < self._descriptor.size:
            size = self._descriptor.size - offset
            headers = {"Content-Type": "application/octet-stream"}
            if offset:
                headers["Content-Range"] = f"{offset}-{offset + size - 1}"
            try:
                reply = self._once("PATCH", url, headers, FilePart(self._path, offset, size, self._count))
                if reply.status == 202:
                    return self._location(reply, url)
                if reply.status not in (404, 416):
                    raise self._repository.refusal(reply, f"{self._what}: upload")
                broken: BaseException = _Lost(f"the registry answered {reply.status}")
            except NetworkError as error:
                broken = error.__cause__ or error
            before = offset
            offset, url = self._position(url, broken)
            failures = 1 if offset > before else failures + 1
            if failures >= self._policy.attempts:
                raise _Lost(str(broken)) from broken
            self._tell(offset)
        return url

    def _once(self, method: str, url: str, headers: dict[str, str], body: FilePart | bytes) -> Reply:
        """One attempt only: before another, the registry must be asked how far this one came."""
        return self._repository.exchange(
            method, url, headers=headers, body=body, policy=replace(self._policy, attempts=1)
        )

    def _count(self, count: int) -> None:
        self._on_bytes(count)
        self._told += count

    def _position(self, url: str, broken: BaseException) -> tuple[int, str]:
        """How much of the upload the registry has, and where it goes on."""
        try:
            reply = self._repository.exchange("GET", url)
        except HullError as error:
            raise _Lost(str(error)) from error
        match = re.fullmatch(r"(?:bytes=)?0-(\d+)", reply.headers.get("Range", ""))
        if reply.status != 204 or not match:
            raise _Lost(str(broken)) from broken
        # "0-0" is said of an empty upload as well as of one byte
        offset = int(match[1]) + 1 if int(match[1]) else 0
        if offset > self._descriptor.size:
            raise _Lost("the registry has more than was sent")
        return offset, self._location(reply, url)

    def _finish(self, url: str) -> bool:
        url += f"{'&' if '?' in url else '?'}digest={quote(self._descriptor.digest, safe='')}"
        try:
            reply = self._once("PUT", url, {"Content-Length": "0"}, b"")
        except NetworkError as error:
            raise _Lost(
                str(error.__cause__ or error)
            ) from error  # the answer may be lost only: the blob is looked for again
        if reply.status == 201:
            return True
        if reply.status in (400, 404, 416):  # damaged on the way, or forgotten
            raise _Lost(str(self._repository.refusal(reply, "upload")))
        raise self._repository.refusal(reply, f"{self._what}: end of the upload")

    def _location(self, reply: Reply, url: str) -> str:
        """Where an upload goes on; the registry may answer with a path only."""
        location = urljoin(reply.url or url, reply.headers.get("Location", "")) or url
        if url.startswith("https:") and not location.startswith("https:"):
            raise NetworkError(f"{self._what}: the registry wants it sent unencrypted to {location[:100]}")
        return location


def push_manifest(repository: Repository, reference: str, data: bytes, descriptor: Descriptor) -> None:
    """Put a manifest or index under a tag or digest. Raises NetworkError, TrustError."""
    reply = repository.exchange(
        "PUT",
        f"{repository.base}/manifests/{reference}",
        headers={"Content-Type": descriptor.media_type},
        body=data,
    )
    if reply.status not in (200, 201, 202):
        raise repository.refusal(reply, f"{repository.name}:{reference}")
