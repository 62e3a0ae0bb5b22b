"""Uploads to a registry that goes on with broken ones, as the specification has it (distribution-spec 1.1, "Push")."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from hullkit.cache import Cache
from hullkit.context import Context
from hullkit.errors import NetworkError
from hullkit.net import Policy
from hullkit.oci.document import Descriptor
from hullkit.oci.reference import Reference
from hullkit.oci.registry import Client
from hullkit.oci.store import Store
from hullkit.oci.upload import BlobUpload
from tests.support.served import listening, sha256

QUICK = Policy(attempts=3, backoff=0.01, backoff_max=0.02, connect_timeout=2, read_timeout=2, deadline=20)
DATA = random.Random(3).randbytes(1_000_000)


@dataclass
class Uploads:
    """``cuts``: after how many bytes of each PATCH, in turn, the connection is cut. ``blobs`` are those finished."""

    cuts: list[int] = field(default_factory=list)
    location: str = "{path}"
    host: str = ""
    part: bytearray = field(default_factory=bytearray)
    blobs: dict[str, bytes] = field(default_factory=dict)
    received: int = 0
    ranges: list[str] = field(default_factory=list)
    forget: bool = False
    login: bool = False
    authorizations: set[str] = field(default_factory=set)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    uploads: Uploads

    def log_message(self, *_args: object) -> None:
        pass

    def say(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", "0")
        self.end_headers()

    def go_on(self, status: int) -> None:
        where = self.uploads.location.format(path="/v2/a/b/blobs/uploads/1", host=self.uploads.host)
        self.say(status, Location=where, Range=f"0-{max(0, len(self.uploads.part) - 1)}")

    def parse_request(self) -> bool:
        parsed = super().parse_request()
        if parsed:
            self.uploads.authorizations.add(self.headers.get("Authorization", ""))
        return parsed

    def do_HEAD(self) -> None:
        if self.uploads.login and "Authorization" not in self.headers:
            self.say(401, **{"WWW-Authenticate": 'Basic realm="x"'})
            return
        self.say(200 if self.path.rpartition("/")[2] in self.uploads.blobs else 404)

    def do_GET(self) -> None:
        if urlsplit(self.path).path.endswith("/uploads/1") and not self.uploads.forget:
            self.go_on(204)
        else:
            self.say(200 if self.path == "/v2/" else 404)

    def do_POST(self) -> None:
        self.uploads.part.clear()
        self.go_on(202)

    def do_PATCH(self) -> None:
        uploads = self.uploads
        asked = self.headers.get("Content-Range", "")
        uploads.ranges.append(asked)
        start = int(asked.partition("-")[0]) if asked else 0
        assert re.fullmatch(r"(\d+-\d+)?", asked) and start == len(uploads.part)
        left = int(self.headers["Content-Length"])
        cut = uploads.cuts.pop(0) if uploads.cuts else left
        data = self.rfile.read(min(cut, left))
        uploads.part += data
        uploads.received += len(data)
        if cut < left:
            self.close_connection = True
        else:
            self.go_on(202)

    def do_PUT(self) -> None:
        (digest,) = parse_qs(urlsplit(self.path).query)["digest"]
        if sha256(bytes(self.uploads.part)) != digest:
            self.say(400)
            return
        self.uploads.blobs[digest] = bytes(self.uploads.part)
        self.say(201)


@contextmanager
def taking(uploads: Uploads) -> Iterator[Uploads]:
    with listening(_Handler, uploads=uploads) as uploads.host:
        yield uploads


def upload(tmp_path: Path, uploads: Uploads) -> int:
    """Push DATA; returns how many bytes progress was told of."""
    context = Context(Cache(tmp_path / "cache"))
    path = Store(context.cache).blob(Store(context.cache).add_blob(DATA).digest)
    told = [0]
    with Client(context, policy=QUICK) as client:
        repository = client.repository(Reference.parse(f"{uploads.host}/a/b"), push=True)
        descriptor = Descriptor("application/octet-stream", sha256(DATA), len(DATA))
        BlobUpload(repository, path, descriptor, told.append).push()
    return sum(told)


def test_plain(tmp_path: Path) -> None:
    with taking(Uploads()) as uploads:
        assert upload(tmp_path, uploads) == len(DATA)
        assert uploads.blobs == {sha256(DATA): DATA} and uploads.ranges == [""]
        assert upload(tmp_path, uploads) == len(DATA)
        assert uploads.received == len(DATA), "it is there already"


@pytest.mark.parametrize("location", ["{path}", "http://{host}{path}", "{path}?state=x%3D"])
def test_broken_uploads_go_on_where_they_ended(tmp_path: Path, location: str) -> None:
    with taking(Uploads(cuts=[400_000, 0, 300_000], location=location)) as uploads:
        assert upload(tmp_path, uploads) == len(DATA)
        assert uploads.blobs == {sha256(DATA): DATA}
        assert uploads.received == len(DATA)
        assert uploads.ranges == ["", "400000-999999", "400000-999999", "700000-999999"]


def test_an_upload_that_is_forgotten_begins_anew(tmp_path: Path) -> None:
    with taking(Uploads(cuts=[400_000], forget=True)) as uploads:
        assert upload(tmp_path, uploads) == len(DATA)
        assert uploads.ranges == ["", ""] and uploads.blobs == {sha256(DATA): DATA}


def test_an_upload_that_never_gets_on_is_given_up(tmp_path: Path) -> None:
    with taking(Uploads(cuts=[0] * 100)) as uploads:
        with pytest.raises(NetworkError, match="given up after 3 attempts") as caught:
            upload(tmp_path, uploads)
        assert "\n" not in str(caught.value)
        assert not uploads.blobs and len(uploads.ranges) <= 9


def test_an_upload_goes_where_the_registry_says_and_credentials_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    with taking(Uploads()) as elsewhere, taking(Uploads(login=True)) as uploads:
        uploads.location = f"http://{elsewhere.host}{{path}}"
        config = {"auths": {uploads.host: {"username": "u", "password": "p"}}}
        (tmp_path / "config.json").write_text(json.dumps(config))
        upload(tmp_path, uploads)
        assert elsewhere.blobs and not uploads.blobs
        assert len(uploads.authorizations) == 2 and elsewhere.authorizations == {""}
