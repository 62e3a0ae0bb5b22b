"""The interactive console under a real pseudo-terminal: what is typed, how one leaves, and the terminal afterwards."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hullkit.machine.terminal import EscapeFilter
from tests.machine.fakes import boot_files, fake_qemu
from tests.support.user import CHECKOUT

ECHO = """
open(PID, "w").write(str(os.getpid()))
console.sendall(b"ready\\r\\n")
while data := console.recv(1000):
    console.sendall(b"got " + data.replace(b"\\x01", b"^A").replace(b"\\x03", b"^C"))
    if b"off" in data:
        sys.exit(0)
    if b"crash" in data:
        sys.stderr.write("assertion failed")
        sys.exit(3)
"""


class Person:
    """Somebody at a terminal with ``hullkit run`` in front."""

    def __init__(self, directory: Path, behaviour: str = ECHO) -> None:
        boot_files(directory)
        self.pid_file = directory / "pid"
        qemu = fake_qemu(directory, behaviour.replace("PID", repr(str(self.pid_file))))
        self.main, self.side = pty.openpty()
        self.before = termios.tcgetattr(self.side)
        words = [
            sys.executable,
            "-m",
            "hullkit",
            "run",
            "--accel",
            "tcg",
            "--qemu",
            qemu,
            "--cache",
            directory / "cache",
        ]
        self.process = subprocess.Popen(
            [*words, directory / "fake"],
            stdin=self.side,
            stdout=self.side,
            stderr=self.side,
            cwd=CHECKOUT,
            start_new_session=True,
        )
        self.seen = b""

    def read(self, seconds: float) -> bool:
        if not select.select([self.main], [], [], seconds)[0]:
            return False
        self.seen += os.read(self.main, 65536)
        return True

    def wait_for(self, pattern: bytes) -> None:
        deadline = time.monotonic() + 60
        while not re.search(pattern, self.seen):
            assert time.monotonic() < deadline, self.seen
            self.read(0.2)

    def type(self, data: bytes) -> None:
        os.write(self.main, data)

    def leaves(self) -> int:
        deadline = time.monotonic() + 60
        while self.process.poll() is None:
            assert time.monotonic() < deadline, self.seen
            self.read(0.05)
        while self.read(0.05):
            pass
        return self.process.returncode

    def terminal_is_as_before(self) -> bool:
        return termios.tcgetattr(self.side) == self.before

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.main)
        os.close(self.side)


@pytest.fixture
def person(tmp_path: Path) -> Iterator[Person]:
    somebody = Person(tmp_path)
    yield somebody
    somebody.close()


def test_typing_and_leaving_with_ctrl_a_x(person: Person) -> None:
    person.wait_for(b"leave with Ctrl-A x")
    person.wait_for(b"ready")
    assert not person.terminal_is_as_before()
    person.type(b"hi\x03")
    person.wait_for(rb"got hi\^C")
    person.type(b"\x01h")
    person.wait_for(b"this help")
    person.type(b"\x01\x01")
    person.wait_for(rb"got \^A")
    person.type(b"\x01x")
    assert person.leaves() == 0
    assert person.terminal_is_as_before()
    assert b"switched off" in person.seen
    assert not Path("/proc", person.pid_file.read_text()).exists()


def test_the_guest_powers_off(person: Person) -> None:
    person.wait_for(b"ready")
    person.type(b"off")
    assert person.leaves() == 0
    assert person.terminal_is_as_before()
    assert b"powered off" in person.seen


def test_qemu_crashes(person: Person) -> None:
    person.wait_for(b"ready")
    person.type(b"crash")
    assert person.leaves() == 6
    assert person.terminal_is_as_before()
    assert b"status 3: assertion failed" in person.seen


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_restores_the_terminal(person: Person, number: signal.Signals) -> None:
    person.wait_for(b"ready")
    person.process.send_signal(number)
    assert person.leaves() == 128 + number
    assert person.terminal_is_as_before()
    assert not Path("/proc", person.pid_file.read_text()).exists()


def test_after_stop_and_continue_the_terminal_is_raw_again(person: Person) -> None:
    person.wait_for(b"ready")
    raw = termios.tcgetattr(person.side)
    termios.tcsetattr(person.side, termios.TCSANOW, person.before)  # as a shell does when it gets the terminal back
    person.process.send_signal(signal.SIGCONT)
    person.type(b"x")
    person.wait_for(b"got x")
    assert termios.tcgetattr(person.side) == raw


def test_a_terminal_that_hangs_up_ends_the_machine(tmp_path: Path) -> None:
    """The terminal is not the controlling one here, so that no SIGHUP tells."""
    somebody = Person(tmp_path)
    somebody.wait_for(b"ready")
    os.close(somebody.side)
    os.close(somebody.main)
    try:
        somebody.process.wait(60)
    finally:
        somebody.process.kill()
    assert not Path("/proc", somebody.pid_file.read_text()).exists()
    assert not list((tmp_path / "cache" / "tmp").iterdir())


def test_a_guest_that_hangs_does_not_hold_the_person(tmp_path: Path) -> None:
    somebody = Person(tmp_path, "open(PID, 'w').write('1'); console.sendall(b'ready'); time.sleep(60)")
    try:
        somebody.wait_for(b"ready")
        somebody.type(b"y" * 3000)
        time.sleep(0.2)
        somebody.type(b"\x01x")
        assert somebody.leaves() == 0
        assert somebody.terminal_is_as_before()
    finally:
        somebody.close()


def run_piped(directory: Path, behaviour: str, **more: object) -> subprocess.CompletedProcess[bytes]:
    boot_files(directory)
    qemu = fake_qemu(directory, behaviour.replace("PID", repr(str(directory / "pid"))))
    words = [sys.executable, "-m", "hullkit", "run", "--accel", "tcg", "--qemu", qemu, "--cache", directory / "cache"]
    return subprocess.run(
        [*words, directory / "fake"],
        cwd=CHECKOUT,
        capture_output=True,
        timeout=180,
        **more,  # type: ignore[call-overload]
    )


def test_a_pipe_instead_of_a_terminal(tmp_path: Path) -> None:
    done = run_piped(tmp_path, ECHO, input=b"\x01x not a command here, off")
    assert done.returncode == 0
    assert done.stdout == b"ready\r\ngot ^Ax not a command here, off"


def test_a_file_on_standard_input(tmp_path: Path) -> None:
    typed = tmp_path / "typed"
    typed.write_bytes(b"x" * 200000 + b" off")
    behaviour = """
    size = 0
    while data := console.recv(1000):
        size += len(data)
        if b"off" in data:
            console.sendall(str(size).encode())
            sys.exit(0)
    """
    with open(typed, "rb") as stream:
        done = run_piped(tmp_path, behaviour, stdin=stream)
    assert done.returncode == 0
    assert done.stdout == b"200004"


def test_the_end_of_input_is_not_the_end_of_the_run(tmp_path: Path) -> None:
    done = run_piped(tmp_path, "time.sleep(0.5); console.sendall(b'late')", stdin=subprocess.DEVNULL)
    assert done.returncode == 0
    assert done.stdout == b"late"


def test_a_reader_that_goes_away(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    boot_files(tmp_path)
    qemu = fake_qemu(tmp_path, "console.sendall(b'x'); time.sleep(60)")
    words = [sys.executable, "-m", "hullkit", "run", "--accel", "tcg", "--qemu", qemu, "--cache", tmp_path / "cache"]
    done = subprocess.run([*words, tmp_path / "fake"], cwd=CHECKOUT, stdout=write, stderr=subprocess.PIPE, timeout=120)
    os.close(write)
    assert done.returncode in (1, 141)
    assert b"Traceback" not in done.stderr


@given(st.lists(st.binary(max_size=30), max_size=5))
def test_escapes_are_found_however_typing_is_cut(pieces: list[bytes]) -> None:
    whole, cut = EscapeFilter(), EscapeFilter()
    expected, command = whole.feed(b"".join(pieces))
    passed, left = b"", False
    for piece in pieces:
        part, said = cut.feed(piece)
        passed += part
        left = said == "leave"
        if left:
            break
    assert passed == expected
    assert left == (command == "leave")
