"""A peer in QEMU's place: a program that inherits the same three sockets and does as told, in milliseconds.

It stands in for QEMU and the guest together where a test is about our side of the sockets; ``test_boot`` has the real
ones.
"""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

from hullkit.cache import Cache
from hullkit.context import Context
from hullkit.events import Event
from hullkit.machine.boot import BootFiles
from hullkit.machine.options import MachineOptions

_PRELUDE = """
import json, os, re, signal, socket, sys, time
line = " ".join(sys.argv)
def inherited(name):
    return socket.socket(fileno=int(re.search(f"id={name},fd=([0-9]+)", line)[1]))
console, control, monitor = map(inherited, ("console", "control", "monitor"))
begun = time.monotonic()
def say(**event):
    control.sendall(json.dumps(event).encode() + b"\\n")
def stage(name):
    say(event="stage", name=name, uptime=time.monotonic() - begun)
def up():
    stage("init")
    say(event="container", name="web", kind="service", state="ready")
    say(event="up", uptime=time.monotonic() - begun)
CHECKS = [{"name": "web answers", "culprit": "web", "ok": True, "message": ""}]
def commands(checks=CHECKS, containers=(), poweroff=True):
    for text in control.makefile():
        command = json.loads(text)["command"]
        if command == "check":
            say(event="report", report={"version": 1, "name": "fake", "checks": checks, "containers": list(containers)})
        elif command == "poweroff" and poweroff:
            sys.exit(0)
"""


def fake_qemu(directory: Path, behaviour: str) -> Path:
    """An executable that runs ``behaviour`` (Python, with the names above at hand)."""
    path = directory / "fake-qemu"
    path.write_text(f"#!{sys.executable} -IS\n{_PRELUDE}\n{textwrap.dedent(behaviour)}\n")
    path.chmod(0o755)
    return path


def boot_files(directory: Path) -> BootFiles:
    for end, data in (("-kernel", b"k" * 100), ("-initrd.img", b"i" * 100), ("-cmdline", b"console=ttyS0 quiet")):
        (directory / f"fake{end}").write_bytes(data)
    return BootFiles.from_prefix(directory / "fake")


def context(directory: Path, events: list[Event] | None = None) -> Context:
    made = Context(Cache(directory / "cache"))
    if events is not None:
        made.bus.subscribe(events.append)
    return made


def options(qemu: Path, **more: object) -> MachineOptions:
    return MachineOptions(qemu=qemu, accel="tcg", **more)  # type: ignore[arg-type]
