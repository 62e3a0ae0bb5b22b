"""The default of ``hullkit run``: the guest's serial console on the person's terminal.

The bytes go through us, not through QEMU: it never touches the terminal, so however it ends, the terminal is ours to
restore. Without a terminal (a pipe, /dev/null) bytes pass as they are, and the end of input is not the end of the run.
"""

from __future__ import annotations

import os
import selectors
import socket
from contextlib import ExitStack
from pathlib import Path

from hullkit.context import Context
from hullkit.errors import ToolError
from hullkit.machine import ports
from hullkit.machine.boot import Boot
from hullkit.machine.consolelog import ConsoleLog
from hullkit.machine.launch import prepare
from hullkit.machine.options import MachineOptions
from hullkit.machine.process import Machine
from hullkit.machine.terminal import EscapeFilter, raw

_CHUNK = 1 << 14
#: typed (or piped) ahead of a guest that does not read
_AHEAD = 1 << 16
HELP = "\r\n[Ctrl-A x: switch the machine off and leave, Ctrl-A a: send Ctrl-A, Ctrl-A h: this help]\r\n"


def run_console(
    context: Context,
    boot: Boot,
    options: MachineOptions,
    *,
    console_log: Path | None = None,
    stdin: int = 0,
    stdout: int = 1,
) -> str:
    """Run the machine until it ends or the person leaves; how it ended, in a sentence for people.

    Raises Stopped on SIGINT, SIGTERM and SIGHUP when called under ``process.stop_signals``, and ToolError when QEMU
    breaks; the terminal is restored and the machine gone by then.
    """
    launch = prepare(context, boot, options)
    with ExitStack() as stack:
        work = stack.enter_context(context.cache.temp_dir())
        log = stack.enter_context(ConsoleLog(console_log)) if console_log is not None else None
        machine = stack.enter_context(launch.start(work))
        for line in introduction(boot, options, launch.accel, interactive=os.isatty(stdin)):
            context.bus.info(line)
        if os.isatty(stdin):
            stack.enter_context(raw(stdin))
        left = Bridge(machine, log, stdin, stdout).run()
    if left:
        return "the machine was switched off"
    if machine.exit_code:
        raise ToolError(
            f"QEMU ended with status {machine.exit_code}: {' '.join(machine.said().split())[:300]}",
            command=machine.shell_line,
        )
    return "the machine powered off"


def introduction(boot: Boot, options: MachineOptions, accel: str, *, interactive: bool) -> list[str]:
    """What is about to happen, and how to end it."""
    how = "KVM" if accel == "kvm" else accel.upper()
    cpus = f"{options.cpus} CPU{'s' if options.cpus > 1 else ''}"
    lines = [f"booting {boot.name}: {options.arch}, {cpus}, {options.mem} MiB, {how}"]
    for port in options.publish:
        lines.append(f"{ports.address_of(port)}:{port.host} leads to {port.protocol} port {port.guest} of the guest")
    lines.append("this terminal is its console; leave with Ctrl-A x" if interactive else "end it with Ctrl-C")
    return lines


class Bridge:
    """Carries bytes between a machine's console and two file descriptors."""

    def __init__(self, machine: Machine, log: ConsoleLog | None, stdin: int, stdout: int) -> None:
        self._machine = machine
        self._log = log
        self._stdin = stdin
        self._stdout = stdout
        self._filter = EscapeFilter() if os.isatty(stdin) else None
        self._pending = bytearray()
        # poll takes regular files too, epoll does not
        self._selector = selectors.PollSelector()
        self._listening = False
        self._end_of_input = False

    def run(self) -> bool:
        """Until the console closes (False) or the person leaves (True)."""
        console = self._machine.console
        self._selector.register(console, selectors.EVENT_READ)
        self._listen()
        while True:
            for key, mask in self._selector.select():
                if key.fileobj is console:
                    if mask & selectors.EVENT_READ and not self._from_guest(console):
                        self._machine.wait(5.0)
                        return False
                    if mask & selectors.EVENT_WRITE:
                        self._to_guest(console)
                elif self._from_person():
                    return True
            wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._pending else 0)
            self._selector.modify(console, wanted)

    def _listen(self) -> None:
        self._selector.register(self._stdin, selectors.EVENT_READ)
        self._listening = True

    def _mute(self) -> None:
        self._selector.unregister(self._stdin)
        self._listening = False

    def _from_guest(self, console: socket.socket) -> bool:
        try:
            data = console.recv(_CHUNK)
        except BlockingIOError:
            return True
        except OSError:
            data = b""
        if self._log is not None and data:
            self._log.feed(data)
        view = memoryview(data)
        while view:
            view = view[os.write(self._stdout, view) :]
        return bool(data)

    def _from_person(self) -> bool:
        """Take what was typed; whether it says to leave, or nobody is there any more."""
        try:
            data = os.read(self._stdin, _CHUNK)
        except OSError:
            data = b""
        if not data:
            self._end_of_input = True
            self._mute()
            # A raw terminal has no end of input: it has hung up, and nobody is left to leave in another way. (SIGHUP
            # comes only to the session whose controlling terminal it was.)
            return self._filter is not None
        command = ""
        if self._filter is not None:
            data, command = self._filter.feed(data)
        if command == "help":
            os.write(self._stdout, HELP.encode())
        self._pending += data
        if len(self._pending) > _AHEAD:
            self._mute()
        return command == "leave"

    def _to_guest(self, console: socket.socket) -> None:
        try:
            del self._pending[: console.send(self._pending)]
        except BlockingIOError:
            return
        except OSError:
            self._pending.clear()
        if len(self._pending) <= _AHEAD // 2 and not self._listening and not self._end_of_input:
            self._listen()
