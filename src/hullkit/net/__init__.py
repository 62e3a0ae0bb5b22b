"""The one HTTP client: retries, resume, connection pools, verification while streaming, and the offline guard.

A transfer is retried as long as it gets on: an attempt that brought new bytes does not count against the limit.
A broken one is resumed with ``Range`` (RFC 9110, 14.2) under ``If-Range``; a server that ignores it is read from the
start again. Nothing appears at the destination until size and digest are right.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote, urlsplit

from hullkit.cache import host_errors
from hullkit.context import Context
from hullkit.errors import HostError, NetworkError, NotFound, TrustError
from hullkit.net.transfer import (
    CHUNK,
    Authorizer,
    Broken,
    Challenged,
    OnBytes,
    Transfer,
    check_overload,
    mendable,
    place_body,
)

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse, PoolManager

__all__ = ["Authorizer", "Http", "OnBytes", "Policy", "Reply", "Upload"]

#: what a transfer may bring when its size is not known beforehand
DEFAULT_MAX_SIZE = 8 << 30
#: bytes beyond all attempts before that an attempt must bring so that it does not count as a failed one
GETTING_ON = 64 << 10
#: how often a server may ask for other credentials during one transfer that does not get on
CHALLENGES = 3
USER_AGENT = "hullkit"


@dataclass(frozen=True, slots=True)
class Policy:
    """How patient the client is; times in seconds.

    ``read_timeout`` bounds the wait for the next bytes, ``upload_timeout`` for the answer to an upload. A transfer
    slower than ``slow_rate`` bytes/s over ``slow_window`` counts as broken; ``deadline`` is for all its attempts.
    """

    attempts: int = 4
    backoff: float = 0.4
    backoff_max: float = 8.0
    connect_timeout: float = 10.0
    read_timeout: float = 20.0
    upload_timeout: float = 300.0
    slow_rate: int = 1024
    slow_window: float = 30.0
    deadline: float = 3600.0


DEFAULT_POLICY = Policy()


class Upload(Protocol):
    """The body of a request, a file-like object made anew for each attempt; ``size`` in bytes."""

    @property
    def size(self) -> int: ...
    def open(self) -> Any: ...


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer; ``headers`` are found whatever their case; ``url`` is where redirects ended."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str


class Http:
    """A client for one run; safe to share between threads. ``extra_ca``: PEM files trusted beside the system's."""

    def __init__(
        self, context: Context, *, policy: Policy | None = None, extra_ca: Path | tuple[Path, ...] | None = None
    ) -> None:
        self._context = context
        self._policy = policy or DEFAULT_POLICY
        given = (extra_ca,) if isinstance(extra_ca, Path) else tuple(extra_ca or ())
        named = os.environ.get("HULLKIT_EXTRA_CA")
        self._extra_ca = (*given, Path(named)) if named else given
        self._pools: dict[str, PoolManager] = {}
        self._mutex = threading.Lock()
        self._aborted = threading.Event()
        self._open: set[BaseHTTPResponse] = set()

    def abort(self) -> None:
        """End everything that other threads are bringing: they raise NetworkError, at once where a body has begun."""
        self._aborted.set()
        with self._mutex:
            for response in self._open:
                response.shutdown()

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
        digest = expect_sha256 and f"sha256:{expect_sha256}"
        self._transfer(Transfer(url, buffer, headers or {}, digest, expect_size, max_size, on_bytes))
        return buffer.getvalue()

    def download(
        self,
        url: str,
        into: Path,
        *,
        expect_sha256: str | None = None,
        expect_digest: str | None = None,
        expect_size: int | None = None,
        max_size: int = DEFAULT_MAX_SIZE,
        headers: dict[str, str] | None = None,
        on_bytes: OnBytes | None = None,
        authorizer: Authorizer | None = None,
        partial: Path | None = None,
    ) -> Path:
        """The resource as the file ``into`` (on the file system of the cache), which appears when it is right.

        ``expect_digest`` is ``sha256:HEX`` or ``sha512:HEX``. With ``partial`` (only under a digest, and the caller's
        lock) what a transfer that broke off for good has brought stays there, and the next one goes on behind it.
        Raises as ``get``, and HostError (disk full).
        """
        self._guard(url)
        digest = expect_digest or (expect_sha256 and f"sha256:{expect_sha256}")
        with host_errors(f"download of {url}"), self._partial(partial) as path:
            with open(path, "a+b", buffering=0) as stream:
                transfer = Transfer(url, stream, headers or {}, digest, expect_size, max_size, on_bytes, authorizer)
                stream.seek(0)
                transfer.take_up(stream)
                self._transfer(transfer)
            return self._context.cache.publish(path, into)

    @contextmanager
    def _partial(self, partial: Path | None) -> Iterator[Path]:
        """Where the bytes go at first. What turned out wrong does not stay."""
        if partial is None:
            with self._context.cache.temp_dir() as work:
                yield work / "partial"
            return
        try:
            yield partial
        except TrustError:
            partial.unlink(missing_ok=True)
            raise

    def exchange(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | Upload | None = None,
        max_size: int = 4 << 20,
        authorizer: Authorizer | None = None,
        policy: Policy | None = None,
    ) -> Reply:
        """One request and its whole answer, whatever its status; made again while the server is out of order.

        Redirects are followed only by requests without a body; one with a body gets the redirect as its answer.
        Raises NetworkError (also when offline, or when redirected from https to http), TrustError when the answer is
        larger than ``max_size``.
        """
        import io

        self._guard(url)
        policy = policy or self._policy
        challenges = failures = 0
        while True:
            sent = authorizer.headers() if authorizer else {}
            transfer = Transfer(url, io.BytesIO(), {**(headers or {}), **sent}, None, None, max_size, None)
            try:
                with mendable(), self._request(method, url, transfer.headers, body, policy) as response:
                    check_overload(response)
                    reply = self._reply(transfer, response)
                if reply.status != 401 or authorizer is None:
                    return reply
                challenge = reply.headers.get("WWW-Authenticate", "")
                challenges = self._challenge(url, authorizer, sent, challenge, challenges)
            except Broken as broken:
                failures += 1
                self._wait(url, broken, failures, policy)

    def _reply(self, transfer: Transfer, response: BaseHTTPResponse) -> Reply:
        self._stream(transfer, response, time.monotonic() + self._policy.deadline)
        url = response.geturl() or transfer.url
        history = response.retries.history if response.retries else ()
        hops = [transfer.url, *(hop.redirect_location or "" for hop in history), url]
        if transfer.url.startswith("https:") and any(hop.startswith("http:") for hop in hops):
            raise NetworkError(f"{transfer.url}: redirected from https to http, which is not followed")
        body = transfer.sink.getvalue()  # type: ignore[attr-defined]
        return Reply(response.status, response.headers, body, url if "://" in url else transfer.url)

    def _guard(self, url: str) -> None:
        if not url.startswith(("http://", "https://", "file:/")):
            raise NetworkError(f"{url[:200]!r} is not a URL that can be fetched", hint="http, https and file can")
        if self._context.offline and not url.startswith("file:"):
            raise NetworkError(
                f"{url} is not in the cache, and --offline forbids to fetch it", hint="run it once online"
            )

    def _transfer(self, transfer: Transfer) -> None:
        """Bring a resource and check it; a wrong digest is tried once more from the start, for a bad proxy's sake."""
        self._guard(transfer.url)
        if transfer.expect_size is not None and transfer.expect_size > transfer.max_size:
            raise TrustError(
                f"{transfer.url}: {transfer.expect_size} bytes are more than the {transfer.max_size} allowed"
            )
        deadline = time.monotonic() + self._policy.deadline
        for last in (False, True):
            self._run(transfer, deadline)
            wrong = transfer.wrong_digest()
            if not wrong:
                break
            if last:
                raise TrustError(f"{transfer.url}: {wrong}")
            transfer.restart()

    def _run(self, transfer: Transfer, deadline: float) -> None:
        """Attempts until the transfer is whole."""
        failures = challenges = 0
        farthest = transfer.done
        while not (transfer.whole and transfer.expect_digest):
            try:
                if transfer.url.startswith("file:"):
                    self._read_file(transfer)
                    return
                sent = transfer.authorizer.headers() if transfer.authorizer else {}
                self._attempt(transfer, sent, deadline)
                return
            except Challenged as challenged:
                assert transfer.authorizer is not None
                challenges = 0 if transfer.done >= farthest + GETTING_ON else challenges
                farthest = max(farthest, transfer.done)
                challenges = self._challenge(transfer.url, transfer.authorizer, sent, str(challenged), challenges)
            except Broken as broken:
                failures = 1 if transfer.done >= farthest + GETTING_ON else failures + 1
                farthest = max(farthest, transfer.done)
                self._wait(transfer.url, broken, failures, replace(self._policy, deadline=deadline - time.monotonic()))

    def _challenge(self, url: str, authorizer: Authorizer, sent: dict[str, str], challenge: str, before: int) -> int:
        """Have credentials changed; returns how often that was needed. Raises NetworkError when it is of no use."""
        if before >= CHALLENGES:
            raise NetworkError(f"{url}: the server keeps asking for other credentials")
        authorizer.challenged(sent, challenge)
        return before + 1

    def _wait(self, url: str, broken: Broken, failures: int, policy: Policy) -> None:
        """Pause before the next attempt, or give up."""
        if self._aborted.is_set():
            raise NetworkError(f"{url}: broken off") from broken
        pause: float = min(policy.backoff * 2 ** (failures - 1), policy.backoff_max)
        pause = max(broken.wait, pause * (0.5 + random.random() / 2))  # noqa: S311 (spreads clients, guards nothing)
        if failures >= policy.attempts or pause > policy.deadline:
            raise NetworkError(
                f"{url}: {broken} (given up after {failures} attempts)",
                hint="check the network and the mirror, and run it again",
            ) from broken
        self._aborted.wait(pause)

    def _attempt(self, transfer: Transfer, sent: dict[str, str], deadline: float) -> None:
        """One request, resumed where the one before broke off. Raises Broken when another attempt may help."""
        headers = {**transfer.headers, **sent}
        if transfer.done and (transfer.validator or transfer.expect_digest):
            headers["Range"] = f"bytes={transfer.done}-"
            if transfer.validator:
                headers["If-Range"] = transfer.validator
        elif transfer.done:
            transfer.restart()
        with mendable(), self._request("GET", transfer.url, headers, None, self._policy) as response:
            if response.status == 401 and transfer.authorizer is not None:
                raise Challenged(response.headers.get("WWW-Authenticate", ""))
            place_body(transfer, response)
            self._stream(transfer, response, deadline)
        if transfer.expect_size is not None and transfer.done < transfer.expect_size:
            raise Broken(f"ended after {transfer.done} of {transfer.expect_size} bytes")

    @contextmanager
    def _request(
        self, method: str, url: str, headers: dict[str, str], body: bytes | Upload | None, policy: Policy
    ) -> Iterator[BaseHTTPResponse]:
        from urllib3 import Retry, Timeout

        headers = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity", **headers}
        read = policy.read_timeout
        data: Any = body
        if body is not None and not isinstance(body, bytes):
            headers["Content-Length"] = str(body.size)
            read, data = policy.upload_timeout, body.open()
        response = self._pool(url).request(
            method,
            url,
            body=data,
            headers=headers,
            preload_content=False,
            decode_content=False,
            timeout=Timeout(connect=policy.connect_timeout, read=read),
            retries=Retry(connect=0, read=0, other=0, redirect=8, status=0, respect_retry_after_header=False),
            # A body may hold a secret (an identity token): a redirect must not carry it to whoever it names.
            redirect=body is None,
        )
        drained = False
        with self._mutex:
            self._open.add(response)
        try:
            yield response
            drained = True
        finally:
            with self._mutex:
                self._open.discard(response)
            if drained:
                response.release_conn()
            else:
                response.close()

    def _stream(self, transfer: Transfer, response: BaseHTTPResponse, deadline: float) -> None:
        window_start, window_bytes = time.monotonic(), 0
        while data := response.read1(CHUNK):
            transfer.take(data)
            now = time.monotonic()
            window_bytes += len(data)
            if now > deadline:
                raise Broken("took too long")
            if now - window_start > self._policy.slow_window:
                if window_bytes < self._policy.slow_rate * self._policy.slow_window:
                    raise Broken(f"slower than {self._policy.slow_rate} bytes/s")
                window_start, window_bytes = now, 0

    def _read_file(self, transfer: Transfer) -> None:
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
        """The system's certificate authorities (``SSL_CERT_FILE`` and ``SSL_CERT_DIR`` honoured) and the extra ones."""
        import ssl

        context = ssl.create_default_context()
        for path in self._extra_ca:
            try:
                context.load_verify_locations(cafile=path)
            except OSError as error:
                raise HostError(f"certificate authority {path}: {error}") from error
        return context
