"""Debian's docker-registry on a free loopback port, from the product's own tools tree."""

from __future__ import annotations

import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hullkit.context import Context
from hullkit.hosttools.run import start

USER, PASSWORD = "alice", "s3cret"
#: bcrypt of PASSWORD, the only kind that docker-registry takes
_HTPASSWD = f"{USER}:$2y$05$abcdefghijklmnopqrstuuLK7U1u6pVRmL7L1BBM2aS35PSZnDXlK\n"


@dataclass(frozen=True)
class Registry:
    """``host`` is 127.0.0.1:PORT; its blobs lie below ``root``."""

    host: str
    root: Path

    def blobs(self) -> set[str]:
        """Digests of all blobs that were pushed."""
        return {f"sha256:{path.name}" for path in self.root.glob("docker/registry/v2/blobs/sha256/*/*")}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def make_certificate(directory: Path) -> tuple[Path, Path]:
    """(certificate, key) of an authority of its own for 127.0.0.1."""
    certificate, key = directory / "cert.pem", directory / "key.pem"
    words = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
    command = ["openssl", *words, *subject, "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


@contextmanager
def registry(
    context: Context, directory: Path, *, login: bool = False, tls: tuple[Path, Path] | None = None
) -> Iterator[Registry]:
    """A running registry; ``login``: only for USER with PASSWORD. ``context.tools`` gives the program."""
    directory.mkdir(parents=True, exist_ok=True)
    root = directory / "data"
    host = f"127.0.0.1:{free_port()}"
    lines = [
        "version: 0.1",
        "log: {level: error, accesslog: {disabled: true}}",
        f"storage: {{filesystem: {{rootdirectory: {root}}}, delete: {{enabled: true}}}}",
        f"http: {{addr: {host}, secret: x" + (f", tls: {{certificate: {tls[0]}, key: {tls[1]}}}}}" if tls else "}"),
    ]
    if login:
        (directory / "htpasswd").write_text(_HTPASSWD)
        lines.append(f"auth: {{htpasswd: {{realm: test, path: {directory / 'htpasswd'}}}}}")
    (directory / "config.yml").write_text("\n".join(lines) + "\n")
    with open(directory / "log", "wb") as log:
        tool = context.tools.get("docker-registry")
        process = start(context, tool, ["serve", str(directory / "config.yml")], stdout=log, stderr=log)
    try:
        _wait(host, process, directory / "log")
        yield Registry(host, root)
    finally:
        process.terminate()
        process.wait(60)


def _wait(host: str, process: subprocess.Popen[bytes], log: Path) -> None:
    port = int(host.partition(":")[2])
    for _ in range(1200):
        assert process.poll() is None, log.read_text()
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(f"the registry does not answer: {log.read_text()}")


def answer(url: str) -> int:
    """Status of a GET, proxies of the environment left out."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url) as reply:
        status: int = reply.status
        return status
