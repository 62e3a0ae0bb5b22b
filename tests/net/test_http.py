"""The HTTP client against a real server that misbehaves: always right, or one clear error."""

from __future__ import annotations

import hashlib
import random
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from hullkit.cache import Cache
from hullkit.context import Context
from hullkit.errors import HullError, NetworkError, NotFound, TrustError
from hullkit.net import Http, Policy
from tests.support.faulty import Mirror, serve

QUICK = Policy(attempts=3, backoff=0.01, backoff_max=0.05, connect_timeout=2, read_timeout=0.3, deadline=20)
DATA = random.Random(1).randbytes(700_000)
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[Mirror]:
    root = tmp_path / "served"
    root.mkdir()
    (root / "data").write_bytes(DATA)
    (root / "empty").write_bytes(b"")
    with serve(root) as mirror:
        yield mirror


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context(Cache(tmp_path / "cache"), jobs=2)


def download(context: Context, mirror: Mirror, *, known: bool = True, policy: Policy = QUICK) -> bytes:
    into = context.cache.path("out", "data")
    expected = {"expect_sha256": SHA256, "expect_size": len(DATA)} if known else {}
    Http(context, policy=policy).download(f"{mirror.url}/data", into, **expected)  # type: ignore[arg-type]
    return into.read_bytes()


def nothing_left(context: Context) -> bool:
    root = context.cache.root
    return not list((root / "tmp").glob("*")) and not list((root / "out").glob("*"))


def test_plain(context: Context, mirror: Mirror) -> None:
    counts: list[int] = []
    into = context.cache.path("out", "data")
    Http(context).download(f"{mirror.url}/data", into, expect_sha256=SHA256, on_bytes=counts.append)
    assert into.read_bytes() == DATA
    assert sum(counts) == len(DATA)
    assert Http(context).get(f"{mirror.url}/empty") == b""


def test_one_connection_serves_many_requests(context: Context, mirror: Mirror) -> None:
    http = Http(context)
    for _ in range(3):
        http.get(f"{mirror.url}/empty")
    pool = http._pool(mirror.url).connection_from_url(mirror.url)
    assert pool.num_connections == 1 and pool.num_requests == 3


@pytest.mark.parametrize("known", [True, False])
def test_broken_off_transfers_are_resumed(context: Context, mirror: Mirror, known: bool) -> None:
    mirror.fail("/data", "drop", 200_000, times=3)
    assert download(context, mirror, known=known) == DATA
    starts = [ranges for _, ranges in mirror.requests]
    assert len(starts) == 4 and starts[0] == "" and all(start.startswith("bytes=") for start in starts[1:])


def test_progress_never_counts_a_byte_twice(context: Context, mirror: Mirror) -> None:
    mirror.fail("/data", "drop", 100_000, times=2)
    mirror.fail("/data", "no-range")
    counts: list[int] = []
    into = context.cache.path("out", "data")
    Http(context, policy=QUICK).download(f"{mirror.url}/data", into, expect_sha256=SHA256, on_bytes=counts.append)
    assert sum(counts) == len(DATA) and min(counts) < 0


@pytest.mark.parametrize("kind", ["no-range", "wrong-range", "changed"])
def test_a_server_that_cannot_resume_is_read_again(context: Context, mirror: Mirror, kind: str) -> None:
    mirror.fail("/data", "drop", 300_000, times=1)
    if kind != "changed":
        mirror.fail("/data", kind)
        assert download(context, mirror) == DATA
        return
    # Another content at each request: the parts must never be joined, and the digest tells in the end.
    mirror.fail("/data", kind)
    with pytest.raises(TrustError, match="SHA-256"):
        download(context, mirror)
    assert nothing_left(context)


def test_stalled_transfer_is_resumed(context: Context, mirror: Mirror) -> None:
    mirror.fail("/data", "stall", 250_000, times=1, seconds=1.0)
    assert download(context, mirror) == DATA
    assert mirror.requests[1][1].startswith("bytes=")


def test_always_stalling_gives_up(context: Context, mirror: Mirror) -> None:
    mirror.fail("/data", "stall", 100, seconds=1.0)
    with pytest.raises(NetworkError, match="given up after 3 attempts"):
        download(context, mirror)
    assert nothing_left(context)


def test_trickle_counts_as_broken(context: Context, mirror: Mirror) -> None:
    mirror.fail("/data", "trickle", seconds=0.02)
    policy = Policy(attempts=2, backoff=0.01, read_timeout=1, slow_rate=10_000, slow_window=0.3)
    with pytest.raises(NetworkError, match="slower than"):
        download(context, mirror, policy=policy)


def test_deadline_bounds_the_whole(context: Context, mirror: Mirror) -> None:
    mirror.fail("/data", "drop", 70_000)
    policy = Policy(attempts=100, backoff=0.2, read_timeout=1, deadline=0.6)
    with pytest.raises(NetworkError):
        download(context, mirror, policy=policy)


@pytest.mark.parametrize("status", [500, 502, 503, 429])
def test_server_errors_are_retried(context: Context, mirror: Mirror, status: int) -> None:
    mirror.fail("/data", "status", status, times=2)
    assert download(context, mirror) == DATA


def test_server_errors_end(context: Context, mirror: Mirror) -> None:
    mirror.fail("/data", "status", 503)
    with pytest.raises(NetworkError, match="503") as caught:
        download(context, mirror)
    assert "\n" not in str(caught.value) and nothing_left(context)


@pytest.mark.parametrize(
    ("status", "error"), [(404, NotFound), (410, NotFound), (403, NetworkError), (401, NetworkError)]
)
def test_refusals_are_not_retried(context: Context, mirror: Mirror, status: int, error: type[HullError]) -> None:
    mirror.fail("/data", "status", status)
    with pytest.raises(error, match=str(status)):
        download(context, mirror)
    assert len(mirror.requests) == 1 and nothing_left(context)


def test_corruption_once_is_mended_always_is_refused(context: Context, mirror: Mirror) -> None:
    mirror.fail("/data", "corrupt", 5, times=1)
    assert download(context, mirror) == DATA
    context.cache.path("out", "data").unlink()
    mirror.fail("/data", "corrupt", 5)
    with pytest.raises(TrustError, match="SHA-256"):
        download(context, mirror)
    assert nothing_left(context)


@pytest.mark.parametrize(("kind", "known"), [("longer", True), ("shorter", True), ("longer", False)])
def test_lies_about_length(context: Context, mirror: Mirror, kind: str, known: bool) -> None:
    mirror.fail("/data", kind, 1000)
    with pytest.raises((TrustError, NetworkError)):
        download(context, mirror, known=known)
    assert nothing_left(context)


def test_size_limit(context: Context, mirror: Mirror) -> None:
    with pytest.raises(TrustError, match="700000 bytes are more than"):
        Http(context).get(f"{mirror.url}/data", max_size=1000)


def test_offline_opens_no_socket(tmp_path: Path, mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    monkeypatch.setattr(socket, "socket", None)
    context = Context(Cache(tmp_path / "cache"), offline=True)
    with pytest.raises(NetworkError, match="offline"):
        Http(context).get(f"{mirror.url}/data")
    assert not mirror.requests
    assert Http(context).get(f"file://{mirror.root}/data") == DATA


def test_file_urls(context: Context, mirror: Mirror) -> None:
    http = Http(context)
    with pytest.raises(NotFound):
        http.get(f"file://{mirror.root}/none")
    with pytest.raises(NotFound):
        http.get(f"file://{mirror.root}")
    with pytest.raises(TrustError):
        http.get(f"file://{mirror.root}/data", expect_size=len(DATA) + 1)
    with pytest.raises(TrustError):
        http.get(f"file://{mirror.root}/data", expect_sha256="0" * 64)


def test_nobody_listens(context: Context) -> None:
    for url in ("http://127.0.0.1:1/x", "http://no-such-host.invalid/x", "gopher://127.0.0.1/", "http://[::1/", "x"):
        with pytest.raises(NetworkError) as caught:
            Http(context, policy=QUICK).get(url)
        assert "0x" not in str(caught.value)


def test_redirects(context: Context, mirror: Mirror) -> None:
    mirror.fail("/elsewhere", "redirect", where="/data")
    assert Http(context).get(f"{mirror.url}/elsewhere") == DATA
    mirror.fail("/loop", "redirect", where="/loop")
    with pytest.raises(NetworkError, match="redirect"):
        Http(context, policy=QUICK).get(f"{mirror.url}/loop")
    mirror.fail("/away", "redirect", where="file:///etc/passwd")
    with pytest.raises(NetworkError):
        Http(context, policy=QUICK).get(f"{mirror.url}/away")


def test_proxy_from_the_environment(context: Context, mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", mirror.url)
    monkeypatch.delenv("no_proxy", raising=False)
    assert Http(context, policy=QUICK).get("http://mirror.example/data") == DATA
    assert mirror.requests[-1][0] == "http://mirror.example/data"
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert Http(context, policy=QUICK).get(f"{mirror.url}/data") == DATA
    assert mirror.requests[-1][0] == "/data"


def test_many_threads_share_one_client(context: Context, mirror: Mirror) -> None:
    http = Http(context, policy=QUICK)
    mirror.fail("/data", "drop", 400_000, times=6)
    results: list[bytes] = []

    def work() -> None:
        results.append(http.get(f"{mirror.url}/data", expect_sha256=SHA256))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [DATA] * 8


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes its certificate with openssl")
def test_tls_trusts_the_extra_authority_only_when_given(context: Context, mirror: Mirror, tmp_path: Path) -> None:
    import http.server
    import ssl

    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    files = ["-keyout", str(key), "-out", str(certificate), "-days", "2"]
    subprocess.run([*command, *files, *subject], check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_args: object) -> None:
            pass

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = tls.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        url = f"https://127.0.0.1:{server.server_address[1]}/"
        assert Http(context, policy=QUICK, extra_ca=certificate).get(url) == b"ok"
        with pytest.raises(NetworkError, match="certificate is not trusted"):
            Http(context, policy=QUICK).get(url)
    finally:
        server.shutdown()
        server.server_close()
