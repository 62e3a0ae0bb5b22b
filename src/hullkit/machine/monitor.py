"""QEMU's own word on its user network, over QMP (docs/interop/qmp-spec): is a forwarded connection established?"""

from __future__ import annotations

import json
import re
import socket
from typing import Any

#: seconds that QEMU may take to answer; it answers from its main loop, at once
_PATIENCE = 5.0
_MAX_ANSWER = 1 << 20
#: a line of ``info usernet`` (libslirp, slirp_connection_info): TCP[STATE] FD SOURCE PORT DESTINATION PORT ...;
#: the source of a forwarded connection is the published address of the host
_CONNECTION = re.compile(r"^\s*TCP\[(\w+)\]\s+-?\d+\s+\S+\s+(\d+)\s", re.MULTILINE)


class Monitor:
    """A QMP client on a connected socket. Not for several threads at once."""

    def __init__(self, stream: socket.socket) -> None:
        self._stream = stream
        self._buffer = b""
        self._ready = False

    def is_established(self, host_port: int) -> bool:
        """Whether a TCP connection to this published port of the host has been accepted by the guest.

        False also when QEMU does not answer.
        """
        try:
            self._stream.settimeout(_PATIENCE)
            if not self._ready:
                self._answer("QMP")
                self._execute("qmp_capabilities", {})
                self._ready = True
            text = self._execute("human-monitor-command", {"command-line": "info usernet"})
        except (OSError, ValueError):
            return False
        return any(state == "ESTABLISHED" and int(port) == host_port for state, port in _CONNECTION.findall(str(text)))

    def _execute(self, command: str, arguments: dict[str, Any]) -> Any:
        self._stream.sendall(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        return self._answer("return")

    def _answer(self, key: str) -> Any:
        """The value of the next message that has ``key``; events in between are skipped, an error is a ValueError."""
        while True:
            line, newline, rest = self._buffer.partition(b"\n")
            if newline:
                self._buffer = rest
                message = json.loads(line)
                if "error" in message:
                    raise ValueError(message["error"])
                if key in message:
                    return message[key]
                continue
            data = self._stream.recv(1 << 16)
            if not data or len(self._buffer) > _MAX_ANSWER:
                raise OSError("the monitor is gone")
            self._buffer += data
