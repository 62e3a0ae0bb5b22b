"""Which accelerator: KVM when it is there, allowed and alive, else TCG.

A /dev/kvm that opens may still hang, even so that the process in it cannot be killed. So a helper tries it, and is
left behind when it does not answer in time. The answer is kept per boot of the host.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from select import select

from hullkit.context import Context, host_arch
from hullkit.errors import HostError
from hullkit.machine.options import MachineOptions

DEVICE = Path("/dev/kvm")
#: seconds; a healthy KVM answers in under 0.2, and a loaded host needs some to start the helper
PATIENCE = 5.0
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_HELPER = Path(__file__).with_name("kvmprobe.py")


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether KVM can be used; ``reason`` says why not."""

    usable: bool
    reason: str = ""


def choose_accel(context: Context, options: MachineOptions, device: Path = DEVICE) -> str:
    """``kvm``, ``tcg`` or ``hvf``.

    ``auto`` falls back to TCG with a note on the bus; a KVM that was asked for and fails is a HostError.
    """
    if options.accel in ("tcg", "hvf"):
        return options.accel
    if options.arch != host_arch():
        if options.accel == "kvm":
            raise HostError(f"--accel kvm: this host is {host_arch()} and the system is {options.arch}")
        return "tcg"
    verdict = kvm_verdict(context, device)
    if verdict.usable:
        return "kvm"
    if options.accel == "kvm":
        raise HostError(f"--accel kvm: {verdict.reason}", hint="leave --accel out to run without KVM, slower")
    context.bus.info(f"running without KVM, slower: {verdict.reason}")
    return "tcg"


def kvm_verdict(context: Context, device: Path = DEVICE) -> Verdict:
    """Try ``device``, or recall what came out earlier in this boot of the host."""
    if not device.exists():
        return Verdict(False, f"there is no {device}")
    if not os.access(device, os.R_OK | os.W_OK):
        return Verdict(False, f"no permission for {device} (be in its group, often kvm)")
    path = context.cache.path("machine", f"kvm-{_situation(device)}.json")
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        kept = json.loads(path.read_text())
        return Verdict(bool(kept["usable"]), str(kept["reason"]))
    verdict = probe([sys.executable, "-I", "-S", str(_HELPER), str(device), host_arch()], device)
    with context.cache.temp_dir() as work:
        made = work / "kvm.json"
        made.write_text(json.dumps({"usable": verdict.usable, "reason": verdict.reason}))
        _forget_other_boots(path.parent)
        context.cache.publish(made, path)
    return verdict


def _situation(device: Path) -> str:
    """Names this boot, this device and this helper: when one of them is another, an old answer says nothing."""
    with contextlib.suppress(OSError):
        boot = _BOOT_ID.read_text()
        status = device.stat()
        text = f"{boot}{device}{status.st_rdev}{status.st_ino}{status.st_ctime_ns}"
        return hashlib.sha256(text.encode() + _HELPER.read_bytes()).hexdigest()[:16]
    return "unknown"


def _forget_other_boots(directory: Path) -> None:
    for old in directory.glob("kvm-*.json"):
        old.unlink(missing_ok=True)


def probe(helper: Sequence[str], device: Path, patience: float = PATIENCE) -> Verdict:
    """Run a helper that prints ``ok`` or what is wrong; never takes longer than ``patience`` (and a moment)."""
    process = subprocess.Popen(
        helper,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert process.stdout is not None
    pipe = process.stdout.fileno()
    deadline = time.monotonic() + patience
    said = b""
    try:
        while len(said) < 1024:
            ready, _, _ = select([pipe], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                return Verdict(False, f"{device} hangs (no answer in {patience:g} s)")
            data = os.read(pipe, 1024)
            if not data:
                break
            said += data
    finally:
        _leave(process)
    answer = " ".join(said.decode(errors="replace").split())
    if answer == "ok":
        return Verdict(True)
    return Verdict(False, f"{device} does not work: {answer or 'the test of it crashed'}")


def _leave(process: subprocess.Popen[bytes]) -> None:
    """Kill a helper and reap it if it dies at once; one that hangs in the kernel is left to the kernel."""
    assert process.stdout is not None
    process.stdout.close()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(0.2)
    # Popen would complain about a child it has not reaped, and nobody can do anything about it.
    process.returncode = process.returncode if process.returncode is not None else -signal.SIGKILL
