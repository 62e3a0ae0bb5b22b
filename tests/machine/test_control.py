"""The control channel against a real peer on a socket: whole, half, huge and hostile lines."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hullkit.machine import control
from hullkit.machine.control import MAX_LINE, Channel, printable


@pytest.fixture
def pair() -> Iterator[tuple[Channel, socket.socket]]:
    ours, theirs = socket.socketpair()
    channel = Channel(ours)
    yield channel, theirs
    channel.close()
    theirs.close()


def test_events(pair: tuple[Channel, socket.socket]) -> None:
    channel, peer = pair
    peer.sendall(b'{"event":"stage","name":"init","uptime":1.5}\n{"event":"up","uptime":3,"new field":[]}\n')
    assert channel.receive() == [control.Stage("init", 1.5), control.Up(3.0)]
    assert channel.receive() == []


def test_a_line_in_halves(pair: tuple[Channel, socket.socket]) -> None:
    channel, peer = pair
    for byte in b'{"event":"fatal","message":"x"}':
        peer.sendall(bytes([byte]))
        assert channel.receive() == []
    peer.sendall(b"\n")
    assert channel.receive() == [control.Fatal("x")]


@pytest.mark.parametrize(
    "line",
    [
        b"{}",
        b"[]",
        b"null",
        b"\xff\xfe\x00",
        b'{"event":"moon"}',
        b'{"event":"up"}',
        b'{"event":"up","uptime":"soon"}',
        b'{"event":"up","uptime":NaN}',
        b'{"event":"report","report":{"version":1,"containers":7}}',
        b"[" * 100000,
        b'{"event":"log","name":"a"',
    ],
)
def test_garbage_is_counted_and_skipped(pair: tuple[Channel, socket.socket], line: bytes) -> None:
    channel, peer = pair
    sender = threading.Thread(target=peer.sendall, args=(line + b'\n{"event":"up","uptime":1}\n',))
    sender.start()
    events: list[control.Event] = []
    while not events:
        events += channel.receive()
    sender.join()
    assert events == [control.Up(1.0)]
    assert channel.garbage == 1


def test_a_huge_line_costs_no_memory(pair: tuple[Channel, socket.socket]) -> None:
    channel, peer = pair
    sender = threading.Thread(target=peer.sendall, args=(b"x" * (8 * MAX_LINE) + b'\n{"event":"up","uptime":1}\n',))
    sender.start()
    events: list[control.Event] = []
    while not events:
        events += channel.receive()
        assert len(channel._buffer) <= MAX_LINE + (1 << 16)
    sender.join()
    assert events == [control.Up(1.0)]
    assert channel.garbage == 1


@given(st.lists(st.binary(max_size=200), max_size=8))
def test_no_bytes_break_it(pieces: list[bytes]) -> None:
    ours, theirs = socket.socketpair()
    channel = Channel(ours)
    with theirs:
        for piece in pieces:
            theirs.sendall(piece)
            channel.receive()
        theirs.sendall(b'\n{"event":"up","uptime":1}\n')
        events: list[control.Event] = []
        while control.Up(1.0) not in events:
            events += channel.receive()
    channel.close()


def test_the_end_of_the_stream(pair: tuple[Channel, socket.socket]) -> None:
    channel, peer = pair
    assert channel.send("check")
    assert json.loads(peer.recv(100)) == {"command": "check"}
    peer.sendall(b'{"event":"up","uptime":1}\n')
    peer.close()
    assert channel.receive() == [control.Up(1.0)]
    assert channel.receive() == []
    assert channel.closed
    assert not channel.send("poweroff")


def test_nobody_reads_and_we_do_not_block(pair: tuple[Channel, socket.socket]) -> None:
    channel, _ = pair
    while channel.send("check"):
        pass


@given(st.text())
def test_printable_text_holds_no_control_characters(text: str) -> None:
    clean = printable(text, 50)
    assert len(clean) <= 51
    assert clean.isprintable()
