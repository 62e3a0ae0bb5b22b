"""The control channel: newline-delimited JSON on a virtio-serial port (docs/guest.md).

The guest is not trusted: lines are bounded, what is not a known event is counted and skipped, and text from the
guest is cleaned before a person sees it (``printable``).
"""

from __future__ import annotations

import json
import socket
from typing import Literal

import msgspec

from hullkit.machine.report import GuestReport

PORT_NAME = "org.hullkit.control"
#: A report of a thousand containers is about 200 kB.
MAX_LINE = 1 << 20
_READ = 1 << 16

Kind = Literal["onboot", "onshutdown", "service"]
Command = Literal["check", "poweroff", "reboot"]


class Stage(msgspec.Struct, frozen=True, tag_field="event", tag="stage"):
    """A stage of the boot begins; ``uptime`` is in seconds since the kernel started."""

    name: str
    uptime: float


class Container(msgspec.Struct, frozen=True, tag_field="event", tag="container"):
    """A container changed its state; ``exit`` and ``signal`` are set once it has ended."""

    name: str
    state: str
    kind: str = ""
    exit: int | None = None
    signal: int | None = None
    restarts: int = 0
    uptime: float = 0.0
    message: str = ""


class Log(msgspec.Struct, frozen=True, tag_field="event", tag="log"):
    """One of the last lines of a container that failed."""

    name: str
    line: str


class Up(msgspec.Struct, frozen=True, tag_field="event", tag="up"):
    """Every service is ready."""

    uptime: float


class Failed(msgspec.Struct, frozen=True, tag_field="event", tag="failed"):
    """Up cannot be reached any more, because of ``culprit``."""

    culprit: str
    message: str = ""


class Fatal(msgspec.Struct, frozen=True, tag_field="event", tag="fatal"):
    """Init cannot go on."""

    message: str


class Reported(msgspec.Struct, frozen=True, tag_field="event", tag="report"):
    """The answer to ``check``."""

    report: GuestReport


Event = Stage | Container | Log | Up | Failed | Fatal | Reported


class Channel:
    """The host's end; ``stream`` is a connected stream socket, owned (and closed) by the channel."""

    def __init__(self, stream: socket.socket) -> None:
        self._stream = stream
        self._stream.setblocking(False)
        self._decoder = msgspec.json.Decoder(Event)
        self._buffer = bytearray()
        self._skipping = False
        #: lines that were no event, or too long
        self.garbage = 0
        #: why the latest of them was refused
        self.garbage_reason = ""
        self.closed = False

    def fileno(self) -> int:
        return self._stream.fileno()

    def receive(self) -> list[Event]:
        """The events that have come in since, without blocking; ``closed`` is set at the end of the stream."""
        try:
            data = self._stream.recv(_READ)
        except BlockingIOError:
            return []
        except OSError:
            data = b""
        if not data:
            self.closed = True
            return []
        self._buffer += data
        *lines, rest = self._buffer.split(b"\n")
        self._buffer = rest
        events = [event for line in lines if (event := self._event(bytes(line))) is not None]
        if len(self._buffer) > MAX_LINE:
            if not self._skipping:
                self._refuse("a line is too long")
            self._skipping = True
            self._buffer.clear()
        return events

    def _event(self, line: bytes) -> Event | None:
        if self._skipping:
            # This is the end of a line whose beginning was thrown away.
            self._skipping = False
            return None
        if not line.strip():
            return None
        if len(line) > MAX_LINE:
            self._refuse("a line is too long")
            return None
        try:
            event: Event = self._decoder.decode(line)
            return event
        except (msgspec.MsgspecError, RecursionError) as error:
            self._refuse(str(error))
            return None

    def _refuse(self, reason: str) -> None:
        self.garbage += 1
        self.garbage_reason = reason

    def send(self, command: Command) -> bool:
        """Ask the guest; False when it cannot be asked (QEMU is gone, or nobody reads)."""
        line = json.dumps({"command": command}).encode() + b"\n"
        try:
            return self._stream.send(line) == len(line)
        except OSError:
            return False

    def close(self) -> None:
        self._stream.close()


def printable(text: str, limit: int = 500) -> str:
    """Guest text made safe for a terminal: no control characters (escape sequences), bounded."""
    clean = "".join(character if character.isprintable() else " " for character in text[: limit + 1])
    return clean if len(clean) <= limit else clean[:limit] + "…"
