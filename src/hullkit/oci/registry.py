"""Client for image registries (OCI distribution-spec 1.1, and Docker's registry API v2, which it comes from).

One ``Client`` a run: it shares connections, logins and the threads that carry blobs between all repositories.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Executor, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from hullkit.context import Context
from hullkit.errors import HullError, NetworkError, NotFound, TrustError
from hullkit.net import Http, OnBytes, Policy, Reply
from hullkit.oci.auth import Authorization
from hullkit.oci.credentials import Login, find_login
from hullkit.oci.digest import check_digest, digest_of, split_digest
from hullkit.oci.document import MAX_DOCUMENT, Descriptor, parse_document
from hullkit.oci.index import KINDS, kind_of
from hullkit.oci.mirrors import Endpoint, endpoint
from hullkit.oci.reference import Reference
from hullkit.oci.store import Store

_ACCEPT = ", ".join(KINDS)
_MAX_LAYER = 64 << 30
#: parts of blobs that transfers left behind are dropped after a week
_PARTIAL_AGE = 7 * 24 * 3600.0
_PROBE = Policy(attempts=1, connect_timeout=5.0, read_timeout=5.0)
_SHOWN = 200


class Client:
    """A context manager; safe to share between threads."""

    def __init__(self, context: Context, *, policy: Policy | None = None) -> None:
        self.context = context
        self.http = Http(context, policy=policy, extra_ca=context.registries.certificates)
        self.policy = policy
        self._pool = ThreadPoolExecutor(max_workers=max(1, context.jobs), thread_name_prefix="blob")
        self._mutex = threading.Lock()
        self._logins: dict[str, Login | None] = {}
        self._schemes: dict[str, str] = {}
        self.stopped = threading.Event()
        self._drop_old_parts()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self.stop()
        self._pool.shutdown(wait=True, cancel_futures=kind is not None)

    def stop(self) -> None:
        """End all transfers: what they are for has failed, or nobody waits for it any more."""
        self.stopped.set()
        self.http.abort()

    def repository(self, reference: Reference, *, push: bool = False, mount_from: str = "") -> Repository:
        """The repository of a reference, at its registry or at the mirror that stands in for it.

        ``mount_from``: another repository of the same registry that blobs may be taken from when pushing.
        """
        place = endpoint(self.context.registries, reference)
        if not place.scheme:
            place = replace(place, scheme=self._scheme(place.host))
        scopes = [f"repository:{place.repository}:{'pull,push' if push else 'pull'}"]
        if mount_from:
            scopes.append(f"repository:{mount_from}:pull")
        return Repository(self, reference.name, place, scopes)

    @property
    def pool(self) -> Executor:
        """Carries blobs; what runs in it must not wait for others in it."""
        return self._pool

    def login(self, host: str) -> Login | None:
        with self._mutex:
            if host not in self._logins:
                self._logins[host] = find_login(self.context, host)
            return self._logins[host]

    def _scheme(self, host: str) -> str:
        """How a server of this very machine wants to be spoken to: plain, unless it answers only to TLS."""
        with self._mutex:
            if host not in self._schemes:
                self._schemes[host] = "https"
                with suppress(NetworkError, TrustError):
                    reply = self.http.exchange("GET", f"http://{host}/v2/", policy=_PROBE, max_size=64 << 10)
                    self._schemes[host] = "https" if reply.status == 400 else "http"
                if self._schemes[host] == "https" and not self._answers(f"https://{host}/v2/"):
                    self._schemes[host] = "http"
            return self._schemes[host]

    def _answers(self, url: str) -> bool:
        try:
            self.http.exchange("GET", url, policy=_PROBE, max_size=64 << 10)
        except NetworkError as error:
            return "certificate" in error.message
        except TrustError:
            pass
        return True

    def _drop_old_parts(self) -> None:
        directory = self.context.cache.root / "partial"
        for path in directory.iterdir() if directory.is_dir() else ():
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < time.time() - _PARTIAL_AGE:
                    path.unlink()


@dataclass(frozen=True, slots=True)
class Manifest:
    """A document as a registry gave it; ``descriptor.digest`` is that of ``data``."""

    descriptor: Descriptor
    data: bytes


class Repository:
    """One repository. ``name`` is for people; ``base`` is the URL below which the API lies."""

    def __init__(self, client: Client, name: str, place: Endpoint, scopes: Sequence[str]) -> None:
        self.client = client
        self.name = name
        self.path = place.repository
        self.base = f"{place.scheme}://{place.host}/v2/{place.repository}"
        self.authorization = Authorization(client.http, self.base, scopes, lambda: client.login(place.host))

    def authorizer(self, url: str) -> Authorization | None:
        """Credentials go to the registry itself, not to where it sends us."""
        return self.authorization if urlsplit(url)[:2] == urlsplit(self.base)[:2] else None

    def exchange(self, method: str, url: str, **more: Any) -> Reply:
        return self.client.http.exchange(method, url, authorizer=self.authorizer(url), **more)

    # -- manifests

    def manifest(self, reference: str, *, expect: Descriptor | None = None) -> Manifest:
        """The manifest or index with this tag or digest, checked against the digest (and ``expect``).

        Raises NotFound, NetworkError, TrustError.
        """
        what = f"{self.name}{'@' if ':' in reference else ':'}{reference}"
        reply = self.exchange(
            "GET", f"{self.base}/manifests/{reference}", headers={"Accept": _ACCEPT}, max_size=MAX_DOCUMENT
        )
        if reply.status != 200:
            raise self.refusal(reply, what)
        wanted = expect.digest if expect else reference if ":" in reference else ""
        told = reply.headers.get("Docker-Content-Digest", "")
        digest = _checked(reply.body, wanted or told, what)
        if expect is not None and expect.size != len(reply.body):
            raise TrustError(f"{what} has {len(reply.body)} bytes, it must have {expect.size}")
        media_type, _ = kind_of(parse_document(reply.body, what), reply.headers.get("Content-Type", ""), what)
        return Manifest(Descriptor(media_type, digest, len(reply.body)), reply.body)

    def digest(self, reference: str) -> str | None:
        """The digest of a tag (or digest), None when the registry does not have it. Raises NetworkError, TrustError."""
        url = f"{self.base}/manifests/{reference}"
        reply = self.exchange("HEAD", url, headers={"Accept": _ACCEPT})
        if reply.status == 404:
            return None
        if reply.status != 200:
            raise self.refusal(reply, f"{self.name}:{reference}")
        if told := reply.headers.get("Docker-Content-Digest"):
            return check_digest(told)
        return self.manifest(reference).descriptor.digest

    # -- blobs

    def has_blob(self, digest: str) -> bool:
        reply = self.exchange("HEAD", f"{self.base}/blobs/{digest}")
        if reply.status not in (200, 404):
            raise self.refusal(reply, f"{self.name}: blob {digest}")
        return reply.status == 200

    def fetch_blob(self, store: Store, descriptor: Descriptor, on_bytes: OnBytes | None = None) -> None:
        """Bring a blob into the store. What a broken transfer has brought stays in ``partial/`` for the next run.

        Raises NotFound, NetworkError, TrustError, HostError.
        """
        cache = self.client.context.cache
        url = f"{self.base}/blobs/{descriptor.digest}"
        store.receive(
            descriptor.digest,
            descriptor.size,
            lambda path: self.client.http.download(
                url,
                path,
                expect_digest=descriptor.digest,
                expect_size=descriptor.size,
                max_size=_MAX_LAYER,
                on_bytes=on_bytes,
                authorizer=self.authorizer(url),
                partial=cache.path("partial", "-".join(split_digest(descriptor.digest))),
            ),
        )

    # -- errors

    def refusal(self, reply: Reply, what: str) -> HullError:
        """What to raise for an answer that is not the one hoped for, with what the registry says itself."""
        said = _message(reply.body)
        if reply.status == 404:
            return NotFound(f"{what} is not in the registry ({said or reply.url})")
        told = f": {said}" if said else ""
        return NetworkError(f"{what}: {urlsplit(self.base).netloc} answered {reply.status}{told}")


def _checked(data: bytes, wanted: str, what: str) -> str:
    """The digest of a document, in the algorithm of the one that it must have. Raises TrustError."""
    if not wanted:
        return digest_of(data)
    import hashlib

    algorithm, value = split_digest(wanted)
    got = hashlib.new(algorithm, data).hexdigest()
    if got != value:
        raise TrustError(f"{what}: the registry gave the content of {algorithm}:{got} for {wanted}")
    return wanted


def _message(body: bytes) -> str:
    """The first error of a registry's answer (distribution-spec, "Error Codes"), in printable characters."""
    try:
        first = parse_document(body, "error")["errors"][0]
        text = f"{first.get('code', '')} {first.get('message', '')}".strip()
    except (HullError, KeyError, IndexError, TypeError, AttributeError):
        return ""
    return "".join(letter if letter.isprintable() else " " for letter in text)[:_SHOWN]


class Progress:
    """One step of the bus for several transfers; stops all of them once one has failed."""

    def __init__(self, client: Client, step: str, total: int) -> None:
        self._client = client
        self._step = step
        self._total = total
        self._done = 0
        self._mutex = threading.Lock()
        self._stopped = threading.Event()

    def __call__(self, count: int) -> None:
        if self._stopped.is_set() or self._client.stopped.is_set():
            raise Stopped
        with self._mutex:
            self._done += count
            self._client.context.bus.progress(self._step, self._done, self._total)

    def run_all(self, jobs: Sequence[Callable[[], object]]) -> None:
        """Run jobs in the client's threads and wait for all; raises the first error."""
        futures: list[Future[object]] = [self._client.pool.submit(job) for job in jobs]
        try:
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()
        except KeyboardInterrupt:
            self._client.stop()
            raise
        finally:
            self._stopped.set()
            for future in futures:
                future.cancel()
            wait(futures)


class Stopped(Exception):
    """Ends a transfer because what it is for has failed elsewhere."""
