"""The one HTTP client: retries, resume, connection pools, verification while streaming, and the offline guard.

A transfer is retried as long as it gets on: an attempt that brought new bytes does not count against the limit.
A broken one is resumed with ``Range`` (RFC 9110, 14.2) under ``If-Range``; a server that ignores it is read from the
start again. Nothing appears at the destination until size and digest are right.
"""

from __future__ import annotations

import hashlib
import os
import random
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote, urlsplit

from hullkit.cache import host_errors
from hullkit.context import Context
from hullkit.errors import HostError, HullError, NetworkError, NotFound, TrustError

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse, PoolManager

CHUNK = 1 << 18
#: what a transfer may bring when its size is not known beforehand
DEFAULT_MAX_SIZE = 8 << 30
#: bytes beyond all attempts before that an attempt must bring so that it does not count as a failed one
GETTING_ON = 64 << 10
USER_AGENT = "hullkit"


@dataclass(frozen=True, slots=True)
class Policy:
    """How patient the client is; times in seconds.

    ``read_timeout`` bounds the wait for the next bytes; a transfer slower than ``slow_rate`` bytes/s over
    ``slow_window`` counts as broken; ``deadline`` bounds a transfer with all its attempts.
    """

    attempts: int = 4
    backoff: float = 0.4
    backoff_max: float = 8.0
    connect_timeout: float = 10.0
    read_timeout: float = 20.0
    slow_rate: int = 1024
    slow_window: float = 30.0
    deadline: float = 3600.0


DEFAULT_POLICY = Policy()
#: told how many more bytes have come (less than 0: that many are thrown away); for progress over several transfers
OnBytes = Callable[[int], None]


class _Sink(Protocol):
    """Where a transfer writes: a file or a buffer that can be emptied again."""

    def write(self, data: bytes, /) -> object: ...
    def seek(self, offset: int, /) -> object: ...
    def truncate(self, size: int, /) -> object: ...


class _Broken(Exception):
    """An attempt failed in a way that another one may mend."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


@dataclass(slots=True)
class _Transfer:
    """One resource on its way: what is asked for, and how far it has come."""

    url: str
    sink: _Sink
    headers: dict[str, str]
    expect_size: int | None
    max_size: int
    on_bytes: OnBytes | None
    validator: str = ""
    done: int = 0
    digest: Any = field(default_factory=hashlib.sha256)

    def restart(self) -> None:
        if self.on_bytes:
            self.on_bytes(-self.done)
        self.sink.seek(0)
        self.sink.truncate(0)
        self.done = 0
        self.validator = ""
        self.digest = hashlib.sha256()

    def take(self, data: bytes) -> None:
        """Write the next bytes. Raises TrustError when there are more than there may be."""
        self.done += len(data)
        if self.expect_size is not None and self.done > self.expect_size:
            raise TrustError(f"{self.url}: longer than the {self.expect_size} bytes it must have")
        if self.done > self.max_size:
            raise TrustError(f"{self.url}: longer than the {self.max_size} bytes allowed")
        self.sink.write(data)
        self.digest.update(data)
        if self.on_bytes:
            self.on_bytes(len(data))


class Http:
    """A client for one run; safe to share between threads. ``extra_ca``: a PEM file trusted beside the system's."""

    def __init__(self, context: Context, *, policy: Policy | None = None, extra_ca: Path | None = None) -> None:
        self._context = context
        self._policy = policy or DEFAULT_POLICY
        self._extra_ca = extra_ca or (Path(given) if (given := os.environ.get("HULLKIT_EXTRA_CA")) else None)
        self._pools: dict[str, PoolManager] = {}
        self._mutex = threading.Lock()

    def get(
        self,
        url: str,
        *,
        expect_sha256: str | None = None,
        expect_size: int | None = None,
        max_size: int = 64 << 20,
        headers: dict[str, str] | None = None,
        on_bytes: OnBytes | None = None,
    ) -> bytes:
        """The resource in memory; for small ones.

        Raises NetworkError (also when offline), NotFound (404, 410), TrustError (digest or size).
        """
        import io

        buffer = io.BytesIO()
        self._transfer(_Transfer(url, buffer, headers or {}, expect_size, max_size, on_bytes), expect_sha256)
        return buffer.getvalue()

    def download(
        self,
        url: str,
        into: Path,
        *,
        expect_sha256: str | None = None,
        expect_size: int | None = None,
        max_size: int = DEFAULT_MAX_SIZE,
        headers: dict[str, str] | None = None,
        on_bytes: OnBytes | None = None,
    ) -> Path:
        """The resource as the file ``into`` (on the file system of the cache), which appears when it is right.

        Raises as ``get``, and HostError (disk full).
        """
        self._guard(url)
        with self._context.cache.temp_dir() as work, host_errors(f"download of {url}"):
            partial = work / "partial"
            with open(partial, "wb", buffering=0) as stream:
                self._transfer(_Transfer(url, stream, headers or {}, expect_size, max_size, on_bytes), expect_sha256)
            return self._context.cache.publish(partial, into)

    def _guard(self, url: str) -> None:
        if not url.startswith(("http://", "https://", "file:/")):
            raise NetworkError(f"{url[:200]!r} is not a URL that can be fetched", hint="http, https and file can")
        if self._context.offline and not url.startswith("file:"):
            raise NetworkError(
                f"{url} is not in the cache, and --offline forbids to fetch it", hint="run it once online"
            )

    def _transfer(self, transfer: _Transfer, expect_sha256: str | None) -> None:
        """Bring a resource and check it; a wrong digest is tried once more from the start, for a bad proxy's sake."""
        self._guard(transfer.url)
        if transfer.expect_size is not None and transfer.expect_size > transfer.max_size:
            raise TrustError(
                f"{transfer.url}: {transfer.expect_size} bytes are more than the {transfer.max_size} allowed"
            )
        deadline = time.monotonic() + self._policy.deadline
        for last in (False, True):
            self._run(transfer, deadline)
            got = transfer.digest.hexdigest()
            if expect_sha256 is None or got == expect_sha256:
                break
            if last:
                raise TrustError(f"{transfer.url}: its SHA-256 is {got}, it must be {expect_sha256}")
            transfer.restart()

    def _run(self, transfer: _Transfer, deadline: float) -> None:
        """Attempts until the transfer is whole."""
        failures = farthest = 0
        while True:
            try:
                if transfer.url.startswith("file:"):
                    self._read_file(transfer)
                else:
                    self._attempt(transfer, deadline)
                return
            except _Broken as broken:
                failures = 1 if transfer.done >= farthest + GETTING_ON else failures + 1
                farthest = max(farthest, transfer.done)
                wait = max(broken.wait, self._pause(failures))
                if failures >= self._policy.attempts or time.monotonic() + wait > deadline:
                    raise NetworkError(
                        f"{transfer.url}: {broken} (given up after {failures} attempts)",
                        hint="check the network and the mirror, and run it again",
                    ) from broken
                time.sleep(wait)

    def _pause(self, failures: int) -> float:
        pause: float = min(self._policy.backoff * 2 ** (failures - 1), self._policy.backoff_max)
        return pause * (0.5 + random.random() / 2)  # noqa: S311 (spreads clients, guards nothing)

    def _attempt(self, transfer: _Transfer, deadline: float) -> None:
        """One request, resumed where the one before broke off. Raises _Broken when another attempt may help."""
        headers = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity", **transfer.headers}
        if transfer.done and transfer.validator:
            headers |= {"Range": f"bytes={transfer.done}-", "If-Range": transfer.validator}
        elif transfer.done:
            transfer.restart()
        with _mendable(), self._request(transfer.url, headers) as response:
            _check_status(transfer, response)
            self._stream(transfer, response, deadline)
        if transfer.expect_size is not None and transfer.done < transfer.expect_size:
            raise _Broken(f"ended after {transfer.done} of {transfer.expect_size} bytes")

    @contextmanager
    def _request(self, url: str, headers: dict[str, str]) -> Iterator[BaseHTTPResponse]:
        from urllib3 import Retry, Timeout

        response = self._pool(url).request(
            "GET",
            url,
            headers=headers,
            preload_content=False,
            decode_content=False,
            timeout=Timeout(connect=self._policy.connect_timeout, read=self._policy.read_timeout),
            retries=Retry(connect=0, read=0, other=0, redirect=8, status=0, respect_retry_after_header=False),
        )
        drained = False
        try:
            yield response
            drained = True
        finally:
            if drained:
                response.release_conn()
            else:
                response.close()

    def _stream(self, transfer: _Transfer, response: BaseHTTPResponse, deadline: float) -> None:
        window_start, window_bytes = time.monotonic(), 0
        while data := response.read1(CHUNK):
            transfer.take(data)
            now = time.monotonic()
            window_bytes += len(data)
            if now > deadline:
                raise _Broken("took too long")
            if now - window_start > self._policy.slow_window:
                if window_bytes < self._policy.slow_rate * self._policy.slow_window:
                    raise _Broken(f"slower than {self._policy.slow_rate} bytes/s")
                window_start, window_bytes = now, 0

    def _read_file(self, transfer: _Transfer) -> None:
        """A ``file:`` URL, for mirrors on a disk."""
        path = Path(unquote(urlsplit(transfer.url).path))
        try:
            with open(path, "rb") as stream:
                while data := stream.read(CHUNK):
                    transfer.take(data)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise NotFound(f"{transfer.url}: no such file") from error
        except IsADirectoryError as error:
            raise NotFound(f"{transfer.url}: is a directory") from error
        if transfer.expect_size is not None and transfer.done < transfer.expect_size:
            raise TrustError(f"{transfer.url}: has {transfer.done} bytes, it must have {transfer.expect_size}")

    def _pool(self, url: str) -> PoolManager:
        """The pool for a URL: direct, or through the proxy that the environment names for it."""
        from urllib.request import getproxies, proxy_bypass

        from urllib3 import PoolManager, ProxyManager

        try:
            parts = urlsplit(url)
        except ValueError as error:
            raise NetworkError(f"{url}: not a usable URL: {error}") from error
        proxies = getproxies()
        proxy = proxies.get(parts.scheme) or proxies.get("all") or ""
        if proxy and proxy_bypass(parts.netloc.rpartition("@")[2]):
            proxy = ""
        with self._mutex:
            if proxy not in self._pools:
                settings: dict[str, Any] = {"maxsize": max(8, self._context.jobs), "ssl_context": self._tls()}
                self._pools[proxy] = ProxyManager(proxy, **settings) if proxy else PoolManager(**settings)
            return self._pools[proxy]

    def _tls(self) -> Any:
        """The system's certificate authorities (``SSL_CERT_FILE`` and ``SSL_CERT_DIR`` honoured) and the extra one."""
        import ssl

        context = ssl.create_default_context()
        if self._extra_ca is not None:
            try:
                context.load_verify_locations(cafile=self._extra_ca)
            except OSError as error:
                raise HostError(f"certificate authority {self._extra_ca}: {error}") from error
        return context


@contextmanager
def _mendable() -> Iterator[None]:
    """Turn urllib3's errors into _Broken, or into NetworkError where another attempt cannot help."""
    from urllib3 import exceptions

    try:
        yield
    except HullError:
        raise
    except (exceptions.LocationParseError, exceptions.LocationValueError, exceptions.URLSchemeUnknown) as error:
        raise NetworkError(f"not a usable URL: {error}") from error
    except exceptions.MaxRetryError as error:
        cause = error.reason or error
        if isinstance(cause, exceptions.ResponseError):
            raise NetworkError(f"{error.url}: too many redirects") from error
        if isinstance(cause, exceptions.SSLError) and "CERTIFICATE_VERIFY_FAILED" in str(cause):
            raise NetworkError(
                f"{error.url}: its certificate is not trusted: {_reason(cause)}",
                hint="set SSL_CERT_FILE or HULLKIT_EXTRA_CA to a PEM file with its authority",
            ) from error
        raise _Broken(_reason(cause)) from error
    except exceptions.HTTPError as error:
        raise _Broken(_reason(error)) from error


def _reason(error: BaseException) -> str:
    """What happened, without the object addresses that urllib3 puts before it."""
    text = re.sub(r"^<[^>]*>: |^\w+\(.*?\): ", "", str(error))
    return " ".join(text.split()) or type(error).__name__


def _check_status(transfer: _Transfer, response: BaseHTTPResponse) -> None:
    """Decide by status and headers where the body belongs; leaves the transfer ready to take it."""
    status = response.status
    if status in (404, 410):
        raise NotFound(f"{transfer.url}: not found ({status})")
    if status == 416:
        transfer.restart()
        raise _Broken("the server refused the range")
    if status in (408, 425, 429) or status >= 500:
        after = response.headers.get("Retry-After", "")
        raise _Broken(f"the server answered {status}", wait=min(float(after), 30.0) if after.isdecimal() else 0.0)
    if status not in (200, 206):
        raise NetworkError(f"{transfer.url}: the server answered {status} {response.reason or ''}".rstrip())
    start = 0
    if status == 206:
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        start = int(match[1]) if match else -1
    if start != transfer.done:
        transfer.restart()
        if start:
            raise _Broken("the server sent another range than asked for")
    length = response.headers.get("Content-Length", "")
    total = transfer.done + int(length) if length.isdecimal() else None
    if total is not None and transfer.expect_size is not None and total != transfer.expect_size:
        raise TrustError(f"{transfer.url}: has {total} bytes, it must have {transfer.expect_size}")
    if total is not None and total > transfer.max_size:
        raise TrustError(f"{transfer.url}: {total} bytes are more than the {transfer.max_size} allowed")
    etag = response.headers.get("ETag", "")
    transfer.validator = etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified", "")
