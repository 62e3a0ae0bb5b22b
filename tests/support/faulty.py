"""A real HTTP server on loopback that serves a directory, well or badly, as told."""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

_CHUNK = 16 << 10


@dataclass
class Fault:
    """What goes wrong for paths that contain ``match``, for the next ``times`` requests (-1: for all).

    ``kind``: "status" (answer ``value``), "drop" (close after ``value`` bytes of the body), "stall" (nothing for
    ``seconds`` after ``value`` bytes), "trickle" (one byte each ``seconds``), "corrupt" (a flipped byte at ``value``),
    "longer"/"shorter" (Content-Length off by ``value``), "no-range" (Range is ignored), "wrong-range" (another part
    than asked for), "changed" (another ETag and body at each request), "redirect" (to ``where``).
    """

    match: str
    kind: str
    value: int = 0
    times: int = -1
    seconds: float = 0.0
    where: str = ""


@dataclass
class Mirror:
    """A running server; ``requests`` has the (path, Range header) of each request."""

    root: Path
    url: str = ""
    faults: list[Fault] = field(default_factory=list)
    requests: list[tuple[str, str]] = field(default_factory=list)
    mutex: threading.Lock = field(default_factory=threading.Lock)

    def fail(self, match: str, kind: str, value: int = 0, **more: Any) -> None:
        self.faults.append(Fault(match, kind, value, **more))

    def take(self, path: str) -> dict[str, Fault]:
        with self.mutex:
            found = {}
            for fault in self.faults:
                if fault.match in path and fault.times != 0:
                    fault.times -= 1
                    found[fault.kind] = fault
            return found

    def paths(self) -> list[str]:
        return [path for path, _ in self.requests]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    mirror: Mirror

    def log_message(self, *_args: object) -> None:
        pass

    def do_GET(self) -> None:
        # A proxy is asked with the whole URL.
        path = unquote(urlsplit(self.path).path) if self.path.startswith("http") else unquote(self.path)
        mirror = self.mirror
        with mirror.mutex:
            mirror.requests.append((self.path, self.headers.get("Range", "")))
        faults = mirror.take(self.path)
        if fault := faults.get("status"):
            self.answer(fault.value, b"no\n")
            return
        if fault := faults.get("redirect"):
            self.send_response(302)
            self.send_header("Location", fault.where)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        file = mirror.root / path.lstrip("/")
        if not file.is_file():
            self.answer(404, b"none\n")
            return
        self.serve(file.read_bytes(), faults)

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def serve(self, data: bytes, faults: dict[str, Fault]) -> None:
        if "changed" in faults:
            data = len(self.mirror.requests).to_bytes(4, "big") + data[4:]
        tag = f'"{hashlib.sha256(data).hexdigest()[:16]}"'
        total, start = len(data), 0
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if asked and "no-range" not in faults and self.headers.get("If-Range", tag) == tag:
            start = int(asked[1])
            if "wrong-range" in faults:
                start //= 2
            if start >= total:
                self.answer(416, b"")
                return
        body = bytearray(data[start:])
        if (fault := faults.get("corrupt")) and start <= fault.value < total:
            body[fault.value - start] ^= 0xFF
        length = len(body)
        length += faults["longer"].value if "longer" in faults else 0
        length -= faults["shorter"].value if "shorter" in faults else 0
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        self.send_header("ETag", tag)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.send(bytes(body[:length]), faults)
        if "longer" in faults:
            self.close_connection = True

    def send(self, body: bytes, faults: dict[str, Fault]) -> None:
        if fault := faults.get("drop"):
            self.wfile.write(body[: fault.value])
            self.close_connection = True
            return
        if fault := faults.get("trickle"):
            for byte in body:
                self.wfile.write(bytes([byte]))
                time.sleep(fault.seconds)
        if fault := faults.get("stall"):
            self.wfile.write(body[: fault.value])
            time.sleep(fault.seconds)
            body = body[fault.value :]
        for offset in range(0, len(body), _CHUNK):
            self.wfile.write(body[offset : offset + _CHUNK])


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is what these tests are about."""


@contextmanager
def serve(root: Path) -> Iterator[Mirror]:
    """Serve ``root`` on a free loopback port."""
    mirror = Mirror(root)
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"mirror": mirror}))
    mirror.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield mirror
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
