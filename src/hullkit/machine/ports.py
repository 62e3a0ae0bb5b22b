"""Published ports: free before the start, answering when the system is up.

QEMU's user network accepts a connection on the host before it asks the guest, so that one was accepted proves
nothing: a port answers when it brings data, or when QEMU says that the guest's side is established too.
"""

from __future__ import annotations

import errno
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from hullkit.errors import HostError
from hullkit.machine.monitor import Monitor
from hullkit.machine.options import Publish
from hullkit.machine.report import CheckReport

#: seconds in which a guest that refuses has done so (slirp closes the connection then), or one that greets has greeted
GREETING = 2.0
#: seconds that one attempt may take at most
LONGEST = 10.0
_BODY = 1 << 20


@dataclass(frozen=True, slots=True)
class HttpCheck:
    """What a guest's port must answer: ``status`` to a GET of ``path``, and ``contains`` in the body."""

    port: int
    path: str = "/"
    status: int = 200
    contains: str = ""


def check_free(publish: Sequence[Publish]) -> None:
    """Raises HostError for the first port that QEMU would not get."""
    for port in publish:
        kind = socket.SOCK_DGRAM if port.protocol == "udp" else socket.SOCK_STREAM
        with socket.socket(socket.AF_INET, kind) as probe:
            if kind == socket.SOCK_STREAM:
                # as slirp does: a connection that lingers from an earlier run is no obstacle
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((port.address, port.host))
                if kind == socket.SOCK_STREAM:
                    probe.listen(1)
            except OSError as error:
                raise HostError(f"--publish {port}: {_why(error)}", hint=_instead(error, port)) from error


def _why(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "the port is in use on this host"
    if error.errno == errno.EADDRNOTAVAIL:
        return "this host does not have that address"
    if error.errno == errno.EACCES:
        return "only root may listen on that port"
    return str(error.strerror)


def _instead(error: OSError, port: Publish) -> str | None:
    if error.errno in (errno.EADDRINUSE, errno.EACCES):
        return (
            f"choose another: --publish {port.host + 8000 if port.host < 1024 else port.host % 65535 + 1}:{port.guest}"
        )
    return None


def address_of(port: Publish) -> str:
    """Where a person on this host reaches it."""
    return "127.0.0.1" if port.address == "0.0.0.0" else port.address  # noqa: S104


class Probe(threading.Thread):
    """Asks one published TCP port from the host until it answers as it must, or ``patience`` seconds are over."""

    def __init__(self, port: Publish, checks: Sequence[HttpCheck], patience: float, monitor: Monitor) -> None:
        super().__init__(daemon=True)
        self._port = port
        self._checks = checks
        self._patience = patience
        self._monitor = monitor
        self.give_up = threading.Event()
        self.result: CheckReport | None = None

    def run(self) -> None:
        deadline = time.monotonic() + self._patience
        name = f"port {self._port.host} of the host leads to port {self._port.guest}"
        while (wrong := self._ask()) is not None:
            if time.monotonic() >= deadline or self.give_up.wait(0.5):
                self.result = CheckReport(name, ok=False, culprit=f"port {self._port.guest}", message=wrong)
                return
        self.result = CheckReport(name, ok=True)

    def _ask(self) -> str | None:
        """What is wrong with the port right now."""
        for check in self._checks:
            if wrong := _get(self._port, check):
                return wrong
        return None if self._checks else self._connect()

    def _connect(self) -> str | None:
        try:
            with socket.create_connection((address_of(self._port), self._port.host), timeout=GREETING) as connection:
                try:
                    return None if connection.recv(1) else "the guest refused or closed the connection"
                except TimeoutError:
                    accepted = self._monitor.is_established(self._port.host)
                    return None if accepted else "the guest does not accept the connection"
        except OSError as error:
            return f"no connection: {error.strerror or error}"


def _get(port: Publish, check: HttpCheck) -> str | None:
    import http.client

    connection = http.client.HTTPConnection(address_of(port), port.host, timeout=LONGEST)
    try:
        connection.request("GET", check.path, headers={"Connection": "close"})
        answer = connection.getresponse()
        body = answer.read(_BODY)
    except (OSError, http.client.HTTPException) as error:
        return f"GET {check.path}: {type(error).__name__} {error}".strip()
    finally:
        connection.close()
    if answer.status != check.status:
        return f"GET {check.path}: status {answer.status}, not {check.status}"
    if check.contains and check.contains.encode() not in body:
        return f"GET {check.path}: the answer does not contain {check.contains!r}"
    return None
