"""One running QEMU: started so that it dies with us, watched through its sockets, and always reaped."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NamedTuple

from hullkit.context import Context, Tool
from hullkit.hosttools.run import shell_line, start

#: of what QEMU itself says (its stderr), this much of the end is kept
_SAID = 1 << 14
_PR_SET_PDEATHSIG = 1


class Stopped(KeyboardInterrupt):
    """A signal asked this process to end; the exit code of a shell is 128 + ``signum``."""

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
        self.signum = signum


@contextmanager
def stop_signals() -> Iterator[None]:
    """SIGTERM, SIGHUP and SIGINT raise Stopped in the main thread, so that ``finally`` blocks run."""

    def stop(signum: int, _frame: FrameType | None) -> None:
        raise Stopped(signum)

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def shielded() -> Iterator[None]:
    """Hold those signals back while something short must be finished: killing a machine, restoring a terminal."""
    numbers = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Inherited(NamedTuple):
    """Descriptors of connected sockets in QEMU: the serial console, the control channel, the monitor (QMP)."""

    console: int
    control: int
    monitor: int


class Machine:
    """A started QEMU; use as a context manager, which kills and reaps it at the end.

    ``arguments`` gets the file descriptors that QEMU inherits and gives the command line.
    """

    def __init__(self, context: Context, tool: Tool, arguments: Callable[[Inherited], Sequence[str]]) -> None:
        pairs = [socket.socketpair() for _ in Inherited._fields]
        self.console, self.control, self.monitor = (ours for ours, _ in pairs)
        inherited = Inherited(*(theirs.fileno() for _, theirs in pairs))
        given = arguments(inherited)
        #: the command to show to a person; the inherited sockets do not survive pasting
        self.shell_line = shell_line(tool, given)
        self._usage: resource.struct_rusage | None = None
        self._said = b""
        try:
            # preexec_fn is safe: all it does is call prctl, which wants no lock that another thread might hold
            self._process = start(
                context,
                tool,
                given,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                pass_fds=inherited,
                start_new_session=True,
                preexec_fn=_die_with_parent(),
            )
        except BaseException:
            self._close_sockets()
            raise
        finally:
            for _, theirs in pairs:
                theirs.close()
        self.started = time.monotonic()
        assert self._process.stderr is not None
        os.set_blocking(self._process.stderr.fileno(), False)
        self.console.setblocking(False)

    def __enter__(self) -> Machine:
        return self

    def __exit__(self, *_: object) -> None:
        with shielded():
            self.kill()
            self.said()
            self._close_sockets()
            assert self._process.stderr is not None
            self._process.stderr.close()

    def _close_sockets(self) -> None:
        for each in (self.console, self.control, self.monitor):
            each.close()

    def cpu_seconds(self) -> float:
        """User and system time so far; of a machine that has ended, all of it."""
        if self._usage is not None:
            return self._usage.ru_utime + self._usage.ru_stime
        try:
            fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0.0
        # proc(5): utime and stime are fields 14 and 15; the first one after the ")" is 3
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def peak_bytes(self) -> int:
        """The largest resident set, known once the machine has ended; 0 before."""
        return self._usage.ru_maxrss * 1024 if self._usage is not None else 0

    def said(self) -> str:
        """The end of what QEMU itself has written to stderr so far."""
        assert self._process.stderr is not None
        if not self._process.stderr.closed:
            while data := self._process.stderr.read(_SAID):
                self._said = (self._said + data)[-_SAID:]
        return self._said.decode(errors="replace").strip()

    def ended(self) -> bool:
        """Whether QEMU is gone (it is reaped then)."""
        if self._process.returncode is None:
            pid, status, usage = os.wait4(self._process.pid, os.WNOHANG)
            if pid:
                self._process.returncode = os.waitstatus_to_exitcode(status)
                self._usage = usage
        return self._process.returncode is not None

    @property
    def exit_code(self) -> int | None:
        """As of subprocess: negative when a signal ended it, None while it runs."""
        return self._process.returncode

    def wait(self, seconds: float) -> bool:
        """Wait for the end at most so long."""
        deadline = time.monotonic() + seconds
        while not self.ended():
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.02)
        return True

    def kill(self) -> None:
        """End the machine at once, and whatever it started (its process group)."""
        if not self.ended():
            for number, patience in ((signal.SIGTERM, 1.0), (signal.SIGKILL, 10.0)):
                try:
                    os.killpg(self._process.pid, number)
                except ProcessLookupError:
                    pass
                if self.wait(patience):
                    break


def _die_with_parent() -> Callable[[], None] | None:
    """For a child: SIGKILL when its parent dies, even by SIGKILL (prctl(2)); Linux only."""
    if sys.platform != "linux":
        return None
    import ctypes

    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def apply() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before the call
            os._exit(1)

    return apply
