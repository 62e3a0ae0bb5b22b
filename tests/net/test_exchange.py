"""What registries need beyond plain downloads: any method, credentials, transfers that go on in the next run."""

from __future__ import annotations

import random
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hullkit.cache import Cache
from hullkit.context import Context
from hullkit.errors import NetworkError, TrustError
from hullkit.net import Http, Policy
from tests.support.faulty import Mirror, serve
from tests.support.served import Answer, Served, serving, sha256

QUICK = Policy(attempts=3, backoff=0.01, backoff_max=0.05, connect_timeout=2, read_timeout=5, deadline=20)
DATA = random.Random(1).randbytes(700_000)


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context(Cache(tmp_path / "cache"), jobs=2)


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[Mirror]:
    root = tmp_path / "served"
    root.mkdir()
    (root / "data").write_bytes(DATA)
    with serve(root) as mirror:
        yield mirror


@pytest.fixture
def served() -> Iterator[Served]:
    with serving() as served:
        yield served


class Keys:
    """An authorizer with some keys to try one after the other."""

    def __init__(self, *keys: str) -> None:
        self.keys = list(keys)
        self.challenges: list[str] = []

    def headers(self) -> dict[str, str]:
        return {"Authorization": self.keys[0]} if self.keys[0] else {}

    def challenged(self, sent: dict[str, str], challenge: str) -> None:
        self.challenges.append(challenge)
        if len(self.keys) == 1:
            raise NetworkError("no more keys")
        del self.keys[0]


def partial_download(context: Context, url: str, **more: object) -> Path:
    options: dict[str, object] = {"expect_digest": sha256(DATA), "expect_size": len(DATA), **more}
    partial = context.cache.path("partial", "data")
    into = context.cache.path("out", "data")
    return Http(context, policy=QUICK).download(url, into, partial=partial, **options)  # type: ignore[arg-type]


def test_answers_are_given_whatever_their_status(context: Context, served: Served) -> None:
    served.answers["/x"] = Answer(b"why", "text/plain", 418, {"X-A": "1"})
    reply = Http(context).exchange("GET", f"http://{served.host}/x")
    assert (reply.status, reply.body, reply.headers.get("x-a")) == (418, b"why", "1")
    assert Http(context).exchange("HEAD", f"http://{served.host}/x").body == b""
    assert Http(context).exchange("POST", f"http://{served.host}/x", body=b"abc").status == 418


def test_a_server_out_of_order_is_asked_again(context: Context, served: Served) -> None:
    served.answers["/x"] = Answer(b"", status=503)
    with pytest.raises(NetworkError, match=r"503.*given up after 3"):
        Http(context, policy=QUICK).exchange("GET", f"http://{served.host}/x")
    assert len(served.requests) == 3


def test_answers_are_bounded(context: Context, served: Served) -> None:
    served.answers["/x"] = Answer(bytes(100_000))
    with pytest.raises(TrustError, match="longer than"):
        Http(context).exchange("GET", f"http://{served.host}/x", max_size=1000)


def test_one_connection_serves_a_challenge_and_what_follows(context: Context, served: Served) -> None:
    served.basic = "good"
    served.answers["/x"] = Answer(b"data")
    http, keys = Http(context, policy=QUICK), Keys("", "bad", "good")
    url = f"http://{served.host}/x"
    assert http.exchange("GET", url, authorizer=keys).body == b"data"
    assert len(keys.challenges) == 2 and keys.challenges[0].startswith("Basic")
    pool = http._pool(url).connection_from_url(url)
    assert (pool.num_connections, pool.num_requests) == (1, 3)
    with pytest.raises(NetworkError, match="no more keys"):
        http.exchange("GET", url, authorizer=Keys("bad"))
    assert http.exchange("GET", url).status == 401, "without an authorizer it is an answer like any other"


def test_endless_challenges_end(context: Context, served: Served) -> None:
    served.basic = "good"
    for ask in (
        lambda url, keys: Http(context, policy=QUICK).exchange("GET", url, authorizer=keys),
        lambda url, keys: partial_download(context, url, authorizer=keys),
    ):
        with pytest.raises(NetworkError, match="keeps asking"):
            ask(f"http://{served.host}/x", Keys(*"0123456789"))
    # ... even when something of it is there already.
    context.cache.path("partial", "data").write_bytes(DATA[:200_000])
    with pytest.raises(NetworkError, match="keeps asking"):
        partial_download(context, f"http://{served.host}/x", authorizer=Keys(*"0123456789"))


def test_a_transfer_goes_on_in_the_next_run(context: Context, mirror: Mirror) -> None:
    mirror.fail("/data", "drop", 100, times=3)
    with pytest.raises(NetworkError):
        partial_download(context, f"{mirror.url}/data")
    assert context.cache.path("partial", "data").read_bytes() == DATA[:300]
    counts: list[int] = []
    assert partial_download(context, f"{mirror.url}/data", on_bytes=counts.append).read_bytes() == DATA
    assert mirror.requests[-1][1] == "bytes=300-" and counts[0] == 300 and sum(counts) == len(DATA)
    assert not context.cache.path("partial", "data").exists()


@pytest.mark.parametrize("left", [DATA, DATA + b"more", bytes(1000), b"", bytes(len(DATA))])
def test_whatever_was_left_behind_the_result_is_right(context: Context, mirror: Mirror, left: bytes) -> None:
    context.cache.path("partial", "data").write_bytes(left)
    assert partial_download(context, f"{mirror.url}/data").read_bytes() == DATA
    assert (not mirror.requests) == (left == DATA), "what is whole is not asked for"


def test_what_is_wrong_does_not_stay(context: Context, mirror: Mirror) -> None:
    mirror.fail("/data", "corrupt", 5)
    with pytest.raises(TrustError, match="SHA-256"):
        partial_download(context, f"{mirror.url}/data")
    assert not context.cache.path("partial", "data").exists() and not context.cache.path("out", "data").exists()


def test_sha512(context: Context, mirror: Mirror) -> None:
    import hashlib

    digest = "sha512:" + hashlib.sha512(DATA).hexdigest()
    assert partial_download(context, f"{mirror.url}/data", expect_digest=digest).read_bytes() == DATA
    with pytest.raises(TrustError, match="SHA-512"):
        partial_download(context, f"{mirror.url}/data", expect_digest="sha512:" + "0" * 128)


def test_abort_ends_what_other_threads_wait_for(context: Context, mirror: Mirror) -> None:
    mirror.fail("/data", "stall", 300_000, seconds=4.0)
    http = Http(context, policy=QUICK)
    raised: list[Exception] = []

    def work() -> None:
        try:
            http.get(f"{mirror.url}/data")
        except Exception as error:
            raised.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    time.sleep(0.5)
    begun = time.monotonic()
    http.abort()
    thread.join()
    assert time.monotonic() - begun < 2 and isinstance(raised[0], NetworkError)


def test_https_is_not_left_for_http(context: Context, served: Served, tmp_path: Path) -> None:
    from tests.support.registry import make_certificate
    from tests.support.served import _Handler, _Server

    certificate, key = make_certificate(tmp_path)
    secure = Served(answers={"/x": Answer(b"", status=302, headers={"Location": f"http://{served.host}/y"})})
    served.answers["/y"] = Answer(b"anything")
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"served": secure}))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    server.socket = tls.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        with pytest.raises(NetworkError, match="from https to http"):
            url = f"https://127.0.0.1:{server.server_address[1]}/x"
            Http(context, policy=QUICK, extra_ca=certificate).exchange("GET", url)
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.hostile
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_body_follows_no_redirect(context: Context, served: Served, status: int) -> None:
    """An identity token lies in the body of a request: nobody but the server that was asked may get it."""
    with serving() as other:
        served.answers["/token"] = Answer(b"", status=status, headers={"Location": f"http://{other.host}/steal"})
        reply = Http(context, policy=QUICK).exchange(
            "POST", f"http://{served.host}/token", body=b"refresh_token=secret"
        )
        assert reply.status == status
        assert served.asked("/token") == 1
        assert other.requests == []
