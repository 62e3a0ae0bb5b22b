"""A registry of a few lines that serves what it is given, true or not: for what no honest registry would say."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from hullkit.oci.image import Image
from tests.support.tokens import Tokens

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"


def sha256(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


@dataclass
class Answer:
    body: bytes
    content_type: str = "application/octet-stream"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Served:
    """``answers``: path → what is said; a path that is not there is a 404. ``requests`` has (path, Authorization)."""

    host: str = ""
    answers: dict[str, Answer] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)
    tokens: Tokens | None = None
    basic: str = ""

    def manifest(self, repository: str, document: Any, *tags: str, media_type: str = OCI_MANIFEST) -> dict[str, Any]:
        """Serve a document (JSON, or bytes as they are) by digest and tags; returns its descriptor."""
        data = document if isinstance(document, bytes) else json.dumps(document).encode()
        for reference in (sha256(data), *tags):
            self.answers[f"/v2/{repository}/manifests/{reference}"] = Answer(data, media_type)
        return {"mediaType": media_type, "digest": sha256(data), "size": len(data)}

    def index(self, repository: str, children: list[dict[str, Any]], *tags: str) -> dict[str, Any]:
        document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": children}
        return self.manifest(repository, document, *tags, media_type=OCI_INDEX)

    def blob(self, repository: str, data: bytes) -> str:
        self.answers[f"/v2/{repository}/blobs/{sha256(data)}"] = Answer(data)
        return sha256(data)

    def image(self, repository: str, image: Image, *tags: str) -> dict[str, Any]:
        """Serve an image of a store."""
        for digest in (str(image.manifest["config"]["digest"]), *(each.descriptor.digest for each in image.layers)):
            self.blob(repository, image.store.blob(digest).read_bytes())
        described = self.manifest(repository, image.store.blob(image.digest).read_bytes(), *tags)
        return {**described, "platform": {"os": "linux", "architecture": image.architecture}}

    def asked(self, part: str) -> int:
        return sum(part in path for path, _ in self.requests)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    served: Served

    def log_message(self, *_args: object) -> None:
        pass

    def do_GET(self) -> None:
        served = self.served
        authorization = self.headers.get("Authorization", "")
        served.requests.append((self.path, authorization))
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if served.tokens and self.path.startswith("/token"):
            status, data = served.tokens.answer(self.command, self.path, authorization, body)
            self.say(Answer(data, status=status))
            return
        repository = re.fullmatch(r"/v2/(.+)/(?:manifests|blobs)/[^/]+", self.path)
        if served.tokens and repository and not served.tokens.allows(authorization, repository[1], "pull"):
            challenge = served.tokens.challenge(repository[1], "pull")
            self.say(Answer(b"{}", status=401, headers={"WWW-Authenticate": challenge}))
        elif served.basic and authorization != served.basic:
            self.say(Answer(b"{}", status=401, headers={"WWW-Authenticate": 'Basic realm="here"'}))
        elif self.path == "/v2/":
            self.say(Answer(b"{}"))
        else:
            error = b'{"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}'
            self.say(served.answers.get(self.path, Answer(error, status=404)))

    do_HEAD = do_POST = do_GET

    def say(self, answer: Answer) -> None:
        self.send_response(answer.status)
        headers = {"Content-Type": answer.content_type, "Content-Length": str(len(answer.body)), **answer.headers}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is its own business."""


@contextmanager
def listening(handler: type[BaseHTTPRequestHandler], **attributes: Any) -> Iterator[str]:
    """Run a handler on a free loopback port; gives HOST:PORT."""
    server = _Server(("127.0.0.1", 0), type("Handler", (handler,), attributes))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def serving(served: Served | None = None) -> Iterator[Served]:
    """A running registry that serves nothing yet."""
    served = served or Served()
    with listening(_Handler, served=served) as host:
        served.host = host
        if served.tokens and not served.tokens.realm:
            served.tokens.realm = f"http://{host}/token"
        yield served
