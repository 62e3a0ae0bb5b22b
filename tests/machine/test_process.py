"""The process around a machine: it ends with us, whatever it does and however we end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from hullkit.hosttools.tool import HostTool
from hullkit.machine.process import Machine
from tests.machine.fakes import context
from tests.support.user import CHECKOUT

#: says so once it ignores SIGTERM
STUBBORN = (
    "import signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    "print('ready', file=sys.stderr, flush=True); time.sleep(60)"
)


def python(code: str) -> HostTool:
    return HostTool((sys.executable, "-IS", "-c", code), "python")


def test_a_machine_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    with Machine(context(tmp_path), python(STUBBORN), lambda _: []) as machine:
        while not machine.said():
            assert not machine.ended()
            time.sleep(0.02)
        begun = time.monotonic()
    assert time.monotonic() - begun < 30
    assert machine.exit_code == -signal.SIGKILL


def test_what_it_says_and_costs(tmp_path: Path) -> None:
    code = "import sys; sum(range(3000000)); sys.stderr.write('x' * 100000 + ' last words'); sys.exit(5)"
    with Machine(context(tmp_path), python(code), lambda _: []) as machine:
        while not machine.wait(0.05):
            machine.said()
    assert machine.exit_code == 5
    assert machine.said().endswith("last words") and len(machine.said()) < 20000
    assert 0.01 < machine.cpu_seconds() < 30
    assert machine.peak_bytes() > 1 << 20


def test_its_children_go_too(tmp_path: Path) -> None:
    code = "import subprocess, sys, time; print(subprocess.Popen(['sleep', '60']).pid, file=sys.stderr); time.sleep(60)"
    with Machine(context(tmp_path), python(code), lambda _: []) as machine:
        while not machine.said():
            time.sleep(0.02)
        child = int(machine.said())
        assert Path(f"/proc/{child}").exists()
    deadline = time.monotonic() + 30
    while _alive(child) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _alive(child)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_sigkill_of_hullkit_takes_the_machine_along(tmp_path: Path) -> None:
    program = f"""
import sys, time
from pathlib import Path
from tests.machine.fakes import context
from tests.machine.test_process import python
from hullkit.machine.process import Machine
machine = Machine(context(Path({str(tmp_path)!r})), python({STUBBORN!r}), lambda _: [])
print(machine._process.pid, flush=True)
time.sleep(60)
"""
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, cwd=CHECKOUT)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert _alive(child)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 30
    while _alive(child) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _alive(child)


def test_no_descriptor_is_left(tmp_path: Path) -> None:
    made = context(tmp_path)
    for _ in range(2):
        before = set(os.listdir("/proc/self/fd"))
        with Machine(made, python("pass"), lambda _: []) as machine:
            machine.wait(10)
        after = set(os.listdir("/proc/self/fd"))
    assert len(after) == len(before)
