"""Which accelerator: KVM when it is there, allowed, alive and worth it; else TCG.

A /dev/kvm that opens proves little. Some hang, even so that the process in it cannot be killed; some (nested ones) work
and are ten times slower than emulation; some disagree with this QEMU about the processor. So QEMU itself boots a
boot sector of five instructions under both, with a deadline, and the answer is kept for this boot of the host.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from select import select
from typing import Any

from hullkit.context import Context, Tool, host_arch
from hullkit.errors import HostError
from hullkit.hosttools.run import start
from hullkit.machine.options import MachineOptions
from hullkit.machine.qemu import WIRINGS, Program, value

DEVICE = Path("/dev/kvm")
#: seconds; with a healthy KVM the boot sector runs 0.2 s after the start
PATIENCE = 5.0
#: KVM may take so many times as long as TCG (0.4 s), and this much more
_RATIO, _ALLOWANCE = 2.0, 0.5
#: raise it when the test changes, so that no answer of an older one is recalled
_PROBE = "2"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
#: mov al, 0x10; out 0xf4, al; hlt - which the isa-debug-exit device turns into exit code 0x10 * 2 + 1
_BOOT_SECTOR = b"\xb0\x10\xe6\xf4\xf4".ljust(510, b"\0") + b"\x55\xaa"
_EXIT_OF_BOOT_SECTOR = 0x21
#: bytes; SeaBIOS reads nothing from a disk that is smaller than one cylinder (16 heads of 63 sectors)
_DISK_SIZE = 1 << 20


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether KVM can be used; ``reason`` says why not."""

    usable: bool
    reason: str = ""


def choose_accel(context: Context, options: MachineOptions, program: Program, device: Path = DEVICE) -> str:
    """``kvm``, ``tcg`` or ``hvf``.

    ``auto`` falls back to TCG with a note on the bus; a KVM that was asked for and fails is a HostError.
    """
    if options.accel in ("tcg", "hvf"):
        return options.accel
    if options.arch != host_arch():
        if options.accel == "kvm":
            raise HostError(f"--accel kvm: this host is {host_arch()} and the system is {options.arch}")
        return "tcg"
    verdict = kvm_verdict(context, options.arch, program, device)
    if verdict.usable:
        return "kvm"
    if options.accel == "kvm":
        raise HostError(f"--accel kvm: {verdict.reason}", hint="leave --accel out to run without KVM")
    context.bus.info(f"running without KVM: {verdict.reason}")
    return "tcg"


def kvm_verdict(context: Context, arch: str, program: Program, device: Path = DEVICE) -> Verdict:
    """Try KVM with this QEMU, or recall what came out earlier in this boot of the host."""
    if not device.exists():
        return Verdict(False, f"there is no {device}")
    if not os.access(device, os.R_OK | os.W_OK):
        return Verdict(False, f"no permission for {device}")
    situation = _situation(device, program)
    name = hashlib.sha256("\0".join(program.tool.argv).encode()).hexdigest()[:16]
    path = context.cache.path("machine", f"kvm-{name}.json")
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        kept = json.loads(path.read_text())
        if kept["situation"] == situation:
            return Verdict(bool(kept["usable"]), str(kept["reason"]))
    with context.cache.temp_dir() as work:
        verdict = try_kvm(context, program, arch, device, work)
        made = work / "kvm.json"
        made.write_text(json.dumps({"situation": situation, "usable": verdict.usable, "reason": verdict.reason}))
        context.cache.publish(made, path)
    return verdict


def _situation(device: Path, program: Program) -> str:
    """Names this test, boot, device and QEMU: when one of them is another, an old answer says nothing."""
    facts = [_PROBE, _BOOT_ID.read_text() if _BOOT_ID.exists() else ""]
    for path in (str(device), *program.tool.argv):
        with contextlib.suppress(OSError):
            status = os.stat(path)
            facts.append(f"{path} {status.st_ino} {status.st_rdev} {status.st_mode} {status.st_ctime_ns}")
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()


def try_kvm(
    context: Context, program: Program, arch: str, device: Path, work: Path, patience: float = PATIENCE
) -> Verdict:
    """Time a start under TCG and under KVM; takes ``patience`` at most for each, whatever hangs.

    Raises HostError when QEMU does not run the test under TCG: that says nothing about KVM.
    """
    emulated = _start(context, program, arch, "tcg", work, patience)
    if emulated.seconds is None and not emulated.hangs:
        raise HostError(
            f"QEMU cannot run the test of {device}, not even without KVM: {emulated.reason}",
            hint="--accel tcg runs the system without the test",
        )
    if emulated.seconds is None:
        return Verdict(False, f"the test of {device} does not work without it either: {emulated.reason}")
    real = _start(context, program, arch, "kvm", work, patience)
    if real.seconds is None:
        return Verdict(False, f"{device} does not work: {real.reason}")
    if real.seconds > _RATIO * emulated.seconds + _ALLOWANCE:
        return Verdict(False, f"{device} is slower than none ({real.seconds:.1f} s against {emulated.seconds:.1f} s)")
    return Verdict(True)


def _start(context: Context, program: Program, arch: str, accel: str, work: Path, patience: float) -> Attempt:
    wiring = WIRINGS[arch]
    argv = [*program.options, "-nodefaults", "-no-user-config", "-display", "none", "-machine", wiring.machine]
    argv += ["-accel", accel, "-cpu", "host" if accel == "kvm" else wiring.tcg_cpu, "-m", "64"]
    if arch != "amd64":
        # No way to end from inside that needs no firmware: be content when the processor can be set up.
        return attempt(context, program.tool, [*argv, "-S", "-monitor", "stdio"], b"quit\n", 0, patience)
    sector = work / "sector"
    sector.write_bytes(_BOOT_SECTOR)
    os.truncate(sector, _DISK_SIZE)
    # virtio like every disk of a system: the machine has no IDE or SATA bus, and QEMU refuses a drive on a missing one
    argv += ["-drive", f"if=none,id=sector,format=raw,read-only=on,file={value(sector)}"]
    argv += ["-device", "virtio-blk-pci,drive=sector"]
    argv += ["-device", "isa-debug-exit,iobase=0xf4,iosize=1"]
    return attempt(context, program.tool, argv, b"", _EXIT_OF_BOOT_SECTOR, patience)


@dataclass(frozen=True, slots=True)
class Attempt:
    """How long a start took; ``seconds`` is None when it failed, and ``reason`` says how; ``hangs``: it did not end."""

    seconds: float | None
    reason: str = ""
    hangs: bool = False


def attempt(context: Context, tool: Tool, args: Sequence[str], said: bytes, expect: int, patience: float) -> Attempt:
    """Run a program that must exit with ``expect``; never takes longer than ``patience`` (and a moment)."""
    begun = time.monotonic()
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    process = start(context, tool, args, start_new_session=True, **pipes)
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(said)
        process.stdin.close()
    try:
        messages, closed = _read_until_closed(process, begun + patience)
        if closed:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.05, begun + patience - time.monotonic()))
    finally:
        _leave(process)
    if process.returncode is None or process.returncode == -signal.SIGKILL:
        return Attempt(None, f"it hangs (no answer in {patience:g} s)", hangs=True)
    if process.returncode != expect:
        return Attempt(None, messages or f"QEMU ended with status {process.returncode}")
    return Attempt(time.monotonic() - begun)


def _read_until_closed(process: subprocess.Popen[bytes], deadline: float) -> tuple[str, bool]:
    """The first line of stderr that says something, and whether stderr was closed (the program is gone, or nearly)."""
    assert process.stderr is not None
    pipe, data = process.stderr.fileno(), b""
    while select([pipe], [], [], max(0.0, deadline - time.monotonic()))[0]:
        piece = os.read(pipe, 4096)
        if not piece:
            lines = data.decode(errors="replace").strip().splitlines()
            return (lines[0][:200] if lines else ""), True
        data = (data + piece)[:4096]
    return "", False


def _leave(process: subprocess.Popen[bytes]) -> None:
    """Kill what still runs and reap it if it dies at once; what hangs in the kernel is left to the kernel."""
    assert process.stderr is not None
    process.stderr.close()
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.2)
    if process.returncode is None:
        # Popen would warn about a child that was not reaped, and nobody can do anything about it.
        process.returncode = -signal.SIGKILL
