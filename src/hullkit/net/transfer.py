"""One resource on its way over HTTP: what is asked for, how far it has come, and what an answer means for it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from hullkit.errors import HullError, NetworkError, NotFound, TrustError

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

CHUNK = 1 << 18
#: told how many more bytes have come (less than 0: that many are thrown away); for progress over several transfers
OnBytes = Callable[[int], None]
_NAMES = {"sha256": "SHA-256", "sha512": "SHA-512"}


class Authorizer(Protocol):
    """Gives requests to one server their credentials (RFC 9110, 11)."""

    def headers(self) -> dict[str, str]: ...

    def challenged(self, sent: dict[str, str], challenge: str) -> None:
        """The server answered 401 with this WWW-Authenticate header to a request with ``sent``.

        Returns when ``headers`` has something else now; raises NetworkError when there is nothing else to offer.
        """
        ...


class Broken(Exception):
    """An attempt failed in a way that another one may mend."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


class Challenged(Exception):
    """The server wants (other) credentials; they are there now, and the request is made again."""


class Sink(Protocol):
    """Where a transfer writes: a file or a buffer that can be emptied again."""

    def write(self, data: bytes, /) -> object: ...
    def seek(self, offset: int, /) -> object: ...
    def truncate(self, size: int, /) -> object: ...


@dataclass(slots=True)
class Transfer:
    """``expect_digest`` is ``sha256:HEX`` or ``sha512:HEX``; with it bytes may be joined that come from servers without
    a validator (ETag, Last-Modified), since the digest tells in the end."""

    url: str
    sink: Sink
    headers: dict[str, str]
    expect_digest: str | None
    expect_size: int | None
    max_size: int
    on_bytes: OnBytes | None
    authorizer: Authorizer | None = None
    validator: str = ""
    done: int = 0
    hasher: Any = field(init=False)

    def __post_init__(self) -> None:
        self.hasher = self._new_hasher()

    def _new_hasher(self) -> Any:
        return hashlib.new(self.expect_digest.partition(":")[0] if self.expect_digest else "sha256")

    @property
    def whole(self) -> bool:
        """Nothing is left to ask for."""
        return self.done > 0 and self.done == self.expect_size

    def restart(self) -> None:
        if self.on_bytes:
            self.on_bytes(-self.done)
        self.sink.seek(0)
        self.sink.truncate(0)
        self.done = 0
        self.validator = ""
        self.hasher = self._new_hasher()

    def take(self, data: bytes) -> None:
        """Write the next bytes. Raises TrustError when there are more than there may be."""
        self.done += len(data)
        if self.expect_size is not None and self.done > self.expect_size:
            raise TrustError(f"{self.url}: longer than the {self.expect_size} bytes it must have")
        if self.done > self.max_size:
            raise TrustError(f"{self.url}: longer than the {self.max_size} bytes allowed")
        self.sink.write(data)
        self.hasher.update(data)
        if self.on_bytes:
            self.on_bytes(len(data))

    def take_up(self, stream: BinaryIO) -> None:
        """Go on behind what an earlier run has left in the sink."""
        while data := stream.read(CHUNK):
            self.hasher.update(data)
            self.done += len(data)
        if self.expect_size is not None and self.done > self.expect_size:
            self.on_bytes, told = None, self.on_bytes
            self.restart()
            self.on_bytes = told
        elif self.on_bytes and self.done:
            self.on_bytes(self.done)

    def wrong_digest(self) -> str:
        """What is wrong with the digest of the whole; empty when it is right."""
        if self.expect_digest is None:
            return ""
        algorithm, _, expected = self.expect_digest.partition(":")
        got = self.hasher.hexdigest()
        return "" if got == expected else f"its {_NAMES[algorithm]} is {got}, it must be {expected}"


@contextmanager
def mendable() -> Iterator[None]:
    """Turn urllib3's errors into Broken, or into NetworkError where another attempt cannot help."""
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
                hint="give a PEM file with its authority in HULLKIT_EXTRA_CA (or, for a registry, with --cert-file)",
            ) from error
        raise Broken(_reason(cause)) from error
    except exceptions.HTTPError as error:
        raise Broken(_reason(error)) from error


def _reason(error: BaseException) -> str:
    """What happened, without the object addresses that urllib3 puts before it."""
    parts = error.args if len(error.args) == 2 and isinstance(error.args[1], BaseException) else (error,)
    text = re.sub(r"^<[^>]*>: |^\w+\(.*?\): ", "", " ".join(map(str, parts)))
    return " ".join(text.split()) or type(error).__name__


def check_overload(response: BaseHTTPResponse) -> None:
    """Raise Broken for the statuses that mean "try again later"."""
    status = response.status
    if status in (408, 425, 429) or status >= 500:
        after = response.headers.get("Retry-After", "")
        raise Broken(f"the server answered {status}", wait=min(float(after), 30.0) if after.isdecimal() else 0.0)


def place_body(transfer: Transfer, response: BaseHTTPResponse) -> None:
    """Decide by status and headers where the body belongs; leaves the transfer ready to take it.

    Raises NotFound (404, 410), NetworkError (other refusals), TrustError (a size that cannot be), Broken.
    """
    status = response.status
    if status in (404, 410):
        raise NotFound(f"{transfer.url}: not found ({status})")
    if status == 416:
        transfer.restart()
        raise Broken("the server refused the range")
    check_overload(response)
    if status not in (200, 206):
        raise NetworkError(f"{transfer.url}: the server answered {status} {response.reason or ''}".rstrip())
    start = 0
    if status == 206:
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        start = int(match[1]) if match else -1
    if start != transfer.done:
        transfer.restart()
        if start:
            raise Broken("the server sent another range than asked for")
    length = response.headers.get("Content-Length", "")
    total = transfer.done + int(length) if length.isdecimal() else None
    if total is not None and transfer.expect_size is not None and total != transfer.expect_size:
        raise TrustError(f"{transfer.url}: has {total} bytes, it must have {transfer.expect_size}")
    if total is not None and total > transfer.max_size:
        raise TrustError(f"{transfer.url}: {total} bytes are more than the {transfer.max_size} allowed")
    etag = response.headers.get("ETag", "")
    transfer.validator = etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified", "")
