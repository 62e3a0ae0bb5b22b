"""The terminal of the person in front: raw while the guest has it, as it was before in every case afterwards."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any

from hullkit.machine.process import shielded

if sys.platform != "win32":
    import termios

#: Ctrl-A, as in QEMU's own console and in screen
ESCAPE = 0x01
#: attributes off, line wrap on, cursor shown (ECMA-48 SGR; xterm's DECSET 7 and 25): a guest may have changed them
_SANE = b"\x1b[0m\x1b[?7h\x1b[?25h"


class EscapeFilter:
    """Takes Ctrl-A commands out of what a person types: x leaves, h helps, Ctrl-A itself is sent once."""

    def __init__(self) -> None:
        self._escaped = False

    def feed(self, data: bytes) -> tuple[bytes, str]:
        """What goes to the guest, and the command met: ``leave`` (what follows it is dropped), ``help`` or none."""
        passed = bytearray()
        command = ""
        for byte in data:
            if not self._escaped:
                self._escaped = byte == ESCAPE
                if not self._escaped:
                    passed.append(byte)
                continue
            self._escaped = False
            if byte in b"xX":
                return bytes(passed), "leave"
            if byte in b"hH?":
                command = "help"
            elif byte in (ESCAPE, ord("a")):
                passed.append(ESCAPE)
        return bytes(passed), command


@contextlib.contextmanager
def raw(descriptor: int) -> Iterator[None]:
    """Put a terminal into raw mode for a while; also after it was stopped and continued (SIGCONT)."""
    before = termios.tcgetattr(descriptor)

    def enter(_signum: int = 0, _frame: FrameType | None = None) -> None:
        with contextlib.suppress(termios.error):
            termios.tcsetattr(descriptor, termios.TCSADRAIN, raw_attributes(before))

    on_continue = signal.signal(signal.SIGCONT, enter)
    try:
        enter()
        yield
    finally:
        with shielded():
            signal.signal(signal.SIGCONT, on_continue)
            # A terminal that is gone (SIGHUP) cannot be restored, and need not be.
            with contextlib.suppress(termios.error):
                termios.tcsetattr(descriptor, termios.TCSANOW, before)
            with contextlib.suppress(OSError):
                os.write(descriptor, _SANE)


def raw_attributes(before: list[Any]) -> list[Any]:
    """Every key reaches the guest, and every byte of the guest the screen (as cfmakeraw of termios(3) does it)."""
    iflag, oflag, cflag, lflag, ispeed, ospeed, characters = before
    iflag &= ~(
        termios.IGNBRK
        | termios.BRKINT
        | termios.PARMRK
        | termios.ISTRIP
        | termios.INLCR
        | termios.IGNCR
        | termios.ICRNL
        | termios.IXON
    )
    oflag &= ~termios.OPOST
    lflag &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
    cflag = (cflag & ~(termios.CSIZE | termios.PARENB)) | termios.CS8
    characters = list(characters)
    characters[termios.VMIN] = 1
    characters[termios.VTIME] = 0
    return [iflag, oflag, cflag, lflag, ispeed, ospeed, characters]
