"""Published ports: taken ones are refused before the start; real servers are asked."""

from __future__ import annotations

import http.server
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from hullkit.errors import HostError
from hullkit.machine import ports
from hullkit.machine.monitor import Monitor
from hullkit.machine.options import Publish
from hullkit.machine.ports import HttpCheck, Probe, check_free
from hullkit.machine.report import CheckReport


@contextmanager
def listening(kind: int = socket.SOCK_STREAM) -> Iterator[tuple[socket.socket, int]]:
    with socket.socket(socket.AF_INET, kind) as server:
        server.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            server.listen(8)
        yield server, server.getsockname()[1]


def ask(port: int, monitor: Monitor, *checks: HttpCheck) -> CheckReport:
    probe = Probe(Publish("127.0.0.1", port, 80), checks, 0.0, monitor)
    probe.start()
    probe.join(20)
    assert probe.result is not None
    return probe.result


@pytest.mark.parametrize(("kind", "protocol"), [(socket.SOCK_STREAM, "tcp"), (socket.SOCK_DGRAM, "udp")])
def test_a_port_in_use_is_refused(kind: int, protocol: str) -> None:
    with listening(kind) as (_, port):
        with pytest.raises(HostError, match="in use") as error:
            check_free([Publish.parse(f"127.0.0.1:{port}:80/{protocol}")])
        assert "choose another" in str(error.value)
        other = "udp" if protocol == "tcp" else "tcp"
        check_free([Publish.parse(f"127.0.0.1:{port}:80/{other}")])
    check_free([Publish.parse(f"127.0.0.1:{port}:80/{protocol}")])


def test_an_address_of_somebody_else() -> None:
    with pytest.raises(HostError, match="does not have that address"):
        check_free([Publish.parse("192.0.2.1:8080:80")])


class QmpPeer:
    """QEMU's side of a monitor, saying that the connection is in a given state."""

    def __init__(self, state: str, port: int) -> None:
        ours, self._stream = socket.socketpair()
        self.monitor = Monitor(ours)
        self._text = (
            "Hub -1 (net):\r\n  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ\r\n"
            f"  TCP[{state}]   80       127.0.0.1 {port:5}       10.0.2.15    80     0     0\r\n"
            f"  TCP[HOST_FORWARD]   3       127.0.0.1 {port:5}       10.0.2.15    80     0     0\r\n"
            "  UDP[236 sec]      99       10.0.2.15   68       10.0.2.2    67     0     0\r\n"
        )
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        self._send({"QMP": {"version": {}, "capabilities": []}})
        for line in self._stream.makefile():
            command = json.loads(line)["execute"]
            self._send({"event": "NIC_RX_FILTER_CHANGED"})
            self._send({"return": self._text if command == "human-monitor-command" else {}})

    def _send(self, message: object) -> None:
        self._stream.sendall(json.dumps(message).encode() + b"\r\n")


@pytest.mark.parametrize(("state", "ok"), [("ESTABLISHED", True), ("SYN_SENT", False), ("CLOSED", False)])
def test_a_silent_port_is_what_qemu_says(monkeypatch: pytest.MonkeyPatch, state: str, ok: bool) -> None:
    monkeypatch.setattr(ports, "GREETING", 0.2)
    with listening() as (_, port):
        result = ask(port, QmpPeer(state, port).monitor)
        assert result.ok == ok
        assert result.culprit == ("" if ok else "port 80")
        assert not ask(port, QmpPeer("ESTABLISHED", port + 1).monitor).ok


def test_a_monitor_that_is_gone_or_talks_nonsense() -> None:
    for said in (b"", b"nonsense\n", b'{"error": {"desc": "no"}}\n', b'{"QMP": {}}\n{"error": 1}\n', b"[]\n"):
        ours, theirs = socket.socketpair()
        theirs.sendall(said)
        theirs.shutdown(socket.SHUT_WR)
        assert not Monitor(ours).is_established(80)
        ours.close()
        theirs.close()


def served(server: socket.socket, handle: Callable[[socket.socket], None]) -> None:
    def serve() -> None:
        connection, _ = server.accept()
        with connection:
            handle(connection)

    threading.Thread(target=serve, daemon=True).start()


def test_a_port_that_greets_and_one_that_closes() -> None:
    never = Monitor(socket.socket())
    with listening() as (server, port):
        served(server, lambda connection: connection.sendall(b"SSH-2.0-x\r\n"))
        assert ask(port, never).ok
        served(server, lambda connection: None)
        closed = ask(port, never)
        assert not closed.ok and "refused or closed" in closed.message
    gone = ask(port, never)
    assert not gone.ok and "no connection" in gone.message


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b"hello from hullkit"
        self.send_response(200 if self.path == "/" else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize(
    ("check", "wrong"),
    [
        (HttpCheck(80), ""),
        (HttpCheck(80, "/missing", 404, "hullkit"), ""),
        (HttpCheck(80, "/missing"), "status 404, not 200"),
        (HttpCheck(80, "/", 204), "status 200, not 204"),
        (HttpCheck(80, "/", 200, "goodbye"), "does not contain 'goodbye'"),
    ],
)
def test_pages(check: HttpCheck, wrong: str) -> None:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        result = ask(server.server_address[1], Monitor(socket.socket()), HttpCheck(80), check)
    finally:
        server.shutdown()
        server.server_close()
    assert result.ok == (not wrong)
    assert wrong in result.message


def test_something_that_is_no_web_server() -> None:
    with listening() as (server, port):
        served(server, lambda connection: connection.sendall(b"\x00\xffgarbage\n" * 3))
        result = ask(port, Monitor(socket.socket()), HttpCheck(80))
    assert not result.ok and result.message.startswith("GET /: ")


def test_a_probe_can_be_given_up() -> None:
    with listening() as (_, port):
        pass
    probe = Probe(Publish("127.0.0.1", port, 80), (), 1000.0, Monitor(socket.socket()))
    probe.start()
    probe.give_up.set()
    probe.join(5)
    assert probe.result is not None and not probe.result.ok
