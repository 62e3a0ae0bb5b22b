"""A proxy in front of a real registry that does harm on the way, or wants tokens."""

from __future__ import annotations

import http.client
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.support.served import listening
from tests.support.tokens import Tokens

_CHUNK = 64 << 10
_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}


@dataclass
class Harm:
    """What goes wrong for requests of ``method`` whose path contains ``match``, the next ``times`` times (-1: always),
    the first ``skip`` left out.

    ``kind``: "status" (answers ``value``), "drop" (closes after ``value`` bytes of the answer), "drop-upload" (closes
    after ``value`` bytes of the request), "delay" (waits ``seconds``), "stall" (waits in the middle), "corrupt" (flips
    a byte at ``value`` of the whole), "longer"/"shorter" (Content-Length off by ``value``), "lost" (the registry does
    its work, its answer is lost).
    """

    match: str
    kind: str
    value: int = 0
    times: int = -1
    method: str = ""
    seconds: float = 0.0
    skip: int = 0


@dataclass
class Proxy:
    """``sent`` and ``received`` count bytes of bodies to and from the client by path (without query)."""

    upstream: str
    host: str = ""
    tokens: Tokens | None = None
    harms: list[Harm] = field(default_factory=list)
    requests: list[tuple[str, str, str]] = field(default_factory=list)
    sent: dict[str, int] = field(default_factory=dict)
    received: dict[str, int] = field(default_factory=dict)
    mutex: threading.Lock = field(default_factory=threading.Lock)

    def harm(self, match: str, kind: str, value: int = 0, **more: Any) -> None:
        self.harms.append(Harm(match, kind, value, **more))

    def take(self, method: str, path: str) -> dict[str, Harm]:
        with self.mutex:
            found: dict[str, Harm] = {}
            # A refused request suffers no other harm: that is left for the next one.
            for harm in sorted(self.harms, key=lambda harm: harm.kind != "status"):
                if "status" in found:
                    break
                if harm.match not in path or harm.method not in ("", method) or harm.times == 0:
                    continue
                if harm.skip:
                    harm.skip -= 1
                    continue
                harm.times -= 1
                found[harm.kind] = harm
            return found

    def count(self, where: dict[str, int], path: str, size: int) -> None:
        with self.mutex:
            where[path] = where.get(path, 0) + size

    def ranges(self, match: str) -> list[str]:
        """Range headers of the requests for a path, in order."""
        return [asked for method, path, asked in self.requests if match in path and method == "GET"]


class _Broken(Exception):
    pass


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    proxy: Proxy

    def log_message(self, *_args: object) -> None:
        pass

    def handle_any(self) -> None:
        proxy = self.proxy
        with proxy.mutex:
            proxy.requests.append((self.command, self.path, self.headers.get("Range", "")))
        harms = proxy.take(self.command, self.path)
        try:
            if proxy.tokens and not self.let_in(proxy.tokens):
                return
            if harm := harms.get("delay"):
                time.sleep(harm.seconds)
            if harm := harms.get("status"):
                self.drain()
                self.say(harm.value, {}, b"{}")
                return
            self.forward(harms)
        except (_Broken, OSError):
            self.close_connection = True

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = handle_any

    def let_in(self, tokens: Tokens) -> bool:
        """The token server, and the check of its tokens."""
        authorization = self.headers.get("Authorization", "")
        if self.path.startswith("/token"):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, answer = tokens.answer(self.command, self.path, authorization, body)
            self.say(status, {}, answer)
            return False
        found = re.match(r"/v2/(.+)/(?:manifests|blobs)/", self.path)
        action = "pull" if self.command in ("GET", "HEAD") else "push"
        if not found or tokens.allows(authorization, found[1], action):
            return True
        self.drain()
        self.say(401, {"WWW-Authenticate": tokens.challenge(found[1], action)}, b"{}")
        return False

    def drain(self) -> None:
        left = int(self.headers.get("Content-Length", 0))
        while left and (data := self.rfile.read(min(_CHUNK, left))):
            left -= len(data)

    def say(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def forward(self, harms: dict[str, Harm]) -> None:
        upstream = http.client.HTTPConnection(self.proxy.upstream, timeout=60)
        try:
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in ("connection", "authorization"):
                    upstream.putheader(name, value)
            upstream.endheaders()
            self.upload(upstream, harms.get("drop-upload"))
            response = upstream.getresponse()
            if "lost" in harms:
                response.read()
                raise _Broken
            self.relay(response, harms)
        finally:
            upstream.close()

    def upload(self, upstream: http.client.HTTPConnection, drop: Harm | None) -> None:
        left = int(self.headers.get("Content-Length", 0))
        path = self.path.partition("?")[0]
        allowed = drop.value if drop else left
        while left:
            data = self.rfile.read(min(_CHUNK, left))
            if not data:
                raise _Broken
            left -= len(data)
            self.proxy.count(self.proxy.received, path, len(data))
            upstream.send(data[:allowed])
            allowed -= len(data)
            if drop and allowed <= 0:
                raise _Broken

    def relay(self, response: http.client.HTTPResponse, harms: dict[str, Harm]) -> None:
        length = int(response.headers.get("Content-Length") or 0)
        length += harms["longer"].value if "longer" in harms else 0
        length -= harms["shorter"].value if "shorter" in harms else 0
        self.send_response(response.status)
        for name, value in response.headers.items():
            if name.lower() not in _HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        if self.command == "HEAD":
            return
        start = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
        self.body(response, int(start[1]) if start else 0, length, harms)
        if "longer" in harms:
            raise _Broken

    def body(self, response: http.client.HTTPResponse, position: int, length: int, harms: dict[str, Harm]) -> None:
        sent = 0
        path = self.path.partition("?")[0]
        while sent < length and (data := response.read(_CHUNK)):
            data = data[: length - sent]
            if (harm := harms.get("corrupt")) and position <= harm.value < position + len(data):
                flipped = bytearray(data)
                flipped[harm.value - position] ^= 0xFF
                data = bytes(flipped)
            if harm := harms.get("drop"):
                data = data[: harm.value - sent]
            self.wfile.write(data)
            self.proxy.count(self.proxy.sent, path, len(data))
            sent += len(data)
            position += len(data)
            if (harm := harms.get("drop")) and sent >= harm.value:
                raise _Broken
            if (harm := harms.get("stall")) and sent >= harm.value:
                time.sleep(harm.seconds)
                harm.seconds = 0


@contextmanager
def proxying(upstream: str, tokens: Tokens | None = None) -> Iterator[Proxy]:
    """A proxy in front of the registry at ``upstream`` (HOST:PORT)."""
    proxy = Proxy(upstream, tokens=tokens)
    with listening(_Handler, proxy=proxy) as host:
        proxy.host = host
        if tokens and not tokens.realm:
            tokens.realm = f"http://{host}/token"
        yield proxy
