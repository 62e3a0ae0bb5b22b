"""Real boots of a guest that behaves, and of guests that do not, by an unprivileged user with the pinned QEMU."""

from __future__ import annotations

import os
import pty
import select
import signal
import socket
import subprocess
import termios
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import Hullkit, strays

pytestmark = [pytest.mark.net, pytest.mark.boot]
System = Callable[[str], Path]


def boot(machine: Hullkit, prefix: Path, *words: str) -> tuple[int, dict[str, Any]]:
    result = machine.report("--mem", "256", *words, prefix)
    assert not strays(machine.cache)
    return result


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_up_and_off_again(machine: Hullkit, system: System) -> None:
    code, report = boot(machine, system("up"))
    assert (code, report["ok"]) == (0, True), report
    stages = {stage["name"]: stage for stage in report["stages"]}
    assert list(stages) == ["firmware", "kernel", "init", "services", "up"]
    assert 0 < stages["kernel"]["seconds"] < stages["up"]["at"] <= report["host"]["wall_seconds"]
    assert abs(stages["up"]["at"] - report["host"]["up_seconds"]) < 2
    assert 0 < report["host"]["up_cpu_seconds"] <= report["host"]["cpu_seconds"]
    assert report["guest"]["addresses"] == ["eth0 10.0.2.15/24"]


@pytest.mark.parametrize(
    ("mode", "culprit", "words"),
    [
        ("badcheck", "web", "status 404"),
        ("failed", "web", "given up after 5 restarts"),
        ("fatal", "init", "hull.json is missing"),
        ("panic", "kernel", "sysrq triggered crash"),
        ("exit", "kernel", "Attempted to kill init!"),
        ("poweroff", "boot", "in stage init"),
        ("oom", "memory", "Out of memory: Killed process"),
        ("slow", "web", "waiting for web"),
    ],
)
def test_whoever_is_to_blame_is_named(machine: Hullkit, system: System, mode: str, culprit: str, words: str) -> None:
    code, report = boot(machine, system(mode), "--timeout", "40" if mode == "slow" else "180")
    assert (code, report["ok"]) == (1, False)
    assert report["culprit"] == culprit
    assert words in report["message"]
    assert any("test guest: hello" in line for line in report["console"]) or mode in ("panic", "oom", "exit")


@pytest.mark.parametrize("mode", ["garbage", "spam"])
def test_noise_on_channel_and_console_does_no_harm(machine: Hullkit, system: System, mode: str) -> None:
    code, report = boot(machine, system(mode))
    assert code == 0, report


def test_a_damaged_initramfs_is_named(machine: Hullkit, system: System) -> None:
    prefix = system("damaged")
    initrd = prefix.with_name("damaged-initrd.img")
    data = initrd.read_bytes()
    initrd.unlink()
    initrd.write_bytes(data[: len(data) // 2])
    code, report = boot(machine, prefix)
    assert code == 1
    assert report["culprit"] in ("initramfs", "kernel")


def test_too_little_memory_is_named(machine: Hullkit, system: System) -> None:
    code, report = machine.report("--mem", "48", "--timeout", "30", system("up"))
    assert code == 1 and report["ok"] is False
    assert report["culprit"] in ("memory", "kernel", "firmware", "initramfs")


@pytest.mark.parametrize(("mode", "ok"), [("silent", True), ("closed", False), ("unplugged", False)])
def test_a_port_without_a_web_server(machine: Hullkit, system: System, mode: str, ok: bool) -> None:
    code, report = boot(machine, system(mode), "--publish", f"{free_port()}:80", "--hold", "0")
    assert report["ok"] == ok == (code == 0)
    assert ok or report["culprit"] == "port 80"


def test_a_published_page_is_there_while_it_is_held(machine: Hullkit, system: System) -> None:
    port = free_port()
    process = machine.user.start(
        machine.argv("run", "--check", "--mem", "256", "--hold", "60", "--publish", f"{port}:80", system("up")),
        env=machine.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    said: list[str] = []
    for line in process.stderr:  # Ctrl-C ends the waiting only: before that it ends the run
        said.append(line)
        if "staying up for" in line:
            break
    assert process.poll() is None, said
    page = urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=30).read()
    assert page == b"hello from the test guest\n"
    refused = machine.refused("run", "--check", "--publish", f"{port}:80", system("up"), code=7)
    assert "in use" in refused
    os.kill(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=180)
    assert process.returncode == 0, (said, err)
    assert out.endswith("all checks hold\n")


def test_disk_and_metadata_reach_the_guest(machine: Hullkit, system: System) -> None:
    disk = machine.user.directory("disks") / "data.qcow2"
    words = ("--disk", f"{disk},size=1G", "--data", "hello metadata")
    code, report = boot(machine, system("devices"), *words)
    assert code == 0, report
    console = Path(report["host"]["console_log"]).read_text()
    assert "disk vda 2097152 sectors, serial disk0" in console
    assert 'metadata "hello metadata"' in console


def test_sigkill_leaves_no_machine(machine: Hullkit, system: System) -> None:
    process = machine.user.start(
        machine.argv("run", "--check", "--mem", "256", system("slow")),
        env=machine.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 180
    while not (machines := children(process.pid)) and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(1)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    while any(Path(f"/proc/{pid}").exists() for pid in machines) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert machines and not any(Path(f"/proc/{pid}").exists() for pid in machines)
    machine.ok("run", "--check", "--mem", "256", system("up"))
    assert not strays(machine.cache)


def children(pid: int) -> list[int]:
    """QEMUs below a process."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == pid and b"-nodefaults" in (path / "cmdline").read_bytes():
                found.append(int(path.name))
        except OSError:
            continue
    return found


def test_a_person_at_the_console(machine: Hullkit, system: System) -> None:
    main, side = pty.openpty()
    before = termios.tcgetattr(side)
    process = machine.user.start(
        machine.argv("run", "--mem", "256", system("console")),
        env=machine.environment(),
        stdin=side,
        stdout=side,
        stderr=side,
    )
    seen, typed, deadline = b"", False, time.monotonic() + 180
    while process.poll() is None and time.monotonic() < deadline:
        if select.select([main], [], [], 0.2)[0]:
            seen += os.read(main, 65536)
        if b"test guest: ready" in seen and not typed:
            os.write(main, b"hello\roff\r")
            typed = True
    while select.select([main], [], [], 0.2)[0]:
        seen += os.read(main, 65536)
    assert process.returncode == 0, seen
    assert b'you said "hello"' in seen
    assert b"Ctrl-A x" in seen
    assert termios.tcgetattr(side) == before
    os.close(main)
    os.close(side)
