"""Whether KVM is used: programs in QEMU's place that hang, crash, are slow or do well."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from hullkit.context import host_arch
from hullkit.errors import HostError
from hullkit.events import Event
from hullkit.hosttools.tool import HostTool
from hullkit.machine import kvm
from hullkit.machine.kvm import attempt, choose_accel, kvm_verdict, try_kvm
from hullkit.machine.options import MachineOptions
from hullkit.machine.qemu import Program
from tests.machine.fakes import context
from tests.support.command import Hullkit

#: what the boot sector's exit looks like, under "tcg" and under "kvm"
GOOD = 0x21 if host_arch() == "amd64" else 0


def qemu(directory: Path, under_kvm: str, under_tcg: str = f"sys.exit({GOOD})") -> Program:
    path = directory / "qemu"
    text = f"open({str(directory / 'calls')!r}, 'a').write('x')\n"
    text += f"if 'kvm' in sys.argv:\n    {under_kvm}\nelse:\n    {under_tcg}\n"
    path.write_text(f"#!{sys.executable} -IS\nimport os, signal, sys, time\n{text}")
    path.chmod(0o755)
    return Program(HostTool((str(path),), "fake"))


@pytest.fixture
def device(tmp_path: Path) -> Path:
    path = tmp_path / "kvm"
    os.mkfifo(path, 0o600)
    return path


@pytest.mark.parametrize(
    ("under_kvm", "reason", "patience"),
    [
        ("time.sleep(60)", "hangs", 2.0),
        ("signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)", "hangs", 2.0),
        ("os.closerange(0, 3); time.sleep(60)", "hangs", 2.0),
        ("os.kill(os.getpid(), signal.SIGABRT)", "does not work: QEMU ended with status -6", 30.0),
        ("sys.exit('failed to set MSR 0x10a')", "failed to set MSR 0x10a", 30.0),
        (f"time.sleep(1.5); sys.exit({GOOD})", "slower than none", 30.0),
        ("sys.stderr.write('y' * 10000000); sys.exit(1)", "yyy", 30.0),
    ],
)
def test_a_bad_kvm_is_not_used(tmp_path: Path, device: Path, under_kvm: str, reason: str, patience: float) -> None:
    begun = time.monotonic()
    verdict = try_kvm(context(tmp_path), qemu(tmp_path, under_kvm), host_arch(), device, tmp_path, patience)
    assert not verdict.usable
    assert reason in verdict.reason and len(verdict.reason) < 300
    # what hangs would do so for a minute
    assert time.monotonic() - begun < 30


def test_a_good_kvm_is_used(tmp_path: Path, device: Path) -> None:
    assert try_kvm(context(tmp_path), qemu(tmp_path, f"sys.exit({GOOD})"), host_arch(), device, tmp_path).usable


def test_a_qemu_that_never_works(tmp_path: Path, device: Path) -> None:
    """A command line that QEMU rejects is a fault to tell, not a host without KVM; and no answer is kept."""
    program = qemu(tmp_path, "pass", "sys.exit('broken')")
    with pytest.raises(HostError, match="not even without KVM: broken"):
        kvm_verdict(context(tmp_path), host_arch(), program, device)
    assert not list((tmp_path / "cache").rglob("kvm-*"))


#: the test of KVM with the tools tree's QEMU, on the machine of a real system, up to the boot sector's own exit code
REAL = """
import sys
from pathlib import Path
from hullkit.cache import Cache
from hullkit.context import Context, host_arch
from hullkit.component.tools import DebianTools
from hullkit.machine.kvm import _start
from hullkit.machine.options import MachineOptions
from hullkit.machine.qemu import find_qemu
bare = Context(Cache(Path(sys.argv[1])))
made = Context(bare.cache, tools=DebianTools(bare))
program = find_qemu(made, MachineOptions(arch=host_arch()))
with made.cache.temp_dir() as work:
    result = _start(made, program, host_arch(), "tcg", work, 120.0)
print(result)
sys.exit(result.seconds is None)
"""


def test_the_real_qemu_runs_the_test_under_tcg(hullkit: Hullkit) -> None:
    environment = {"PYTHONPATH": str(hullkit.checkout / "src")}
    done = hullkit.user.run([sys.executable, "-P", "-c", REAL, hullkit.cache], env=environment)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_process_that_cannot_be_killed_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stands for one in uninterruptible sleep: SIGKILL does not reach it."""
    left: list[int] = []
    monkeypatch.setattr(os, "killpg", lambda pid, _number: left.append(pid))
    begun = time.monotonic()
    tool = HostTool(("/bin/sleep",), "sleep")
    result = attempt(context(tmp_path), tool, ["60"], b"", 0, patience=0.5)
    assert result.seconds is None and "hangs" in result.reason
    assert time.monotonic() - begun < 20
    monkeypatch.undo()
    (pid,) = left
    os.killpg(pid, 9)
    os.waitpid(pid, 0)


def test_the_answer_is_kept_for_this_boot(tmp_path: Path, device: Path) -> None:
    made, program, calls = context(tmp_path), qemu(tmp_path, "sys.exit('no')"), tmp_path / "calls"
    first = kvm_verdict(made, host_arch(), program, device)
    assert not first.usable
    asked = calls.stat().st_size
    assert kvm_verdict(made, host_arch(), program, device) == first
    assert calls.stat().st_size == asked
    qemu(tmp_path, f"sys.exit({GOOD})")  # another QEMU at the same place
    assert kvm_verdict(made, host_arch(), program, device).usable
    for file in (tmp_path / "cache" / "machine").iterdir():  # a damaged answer is no answer
        file.write_text("{")
    assert kvm_verdict(made, host_arch(), program, device).usable


def test_no_device_and_no_permission(tmp_path: Path, device: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, program = context(tmp_path), qemu(tmp_path, "pass")
    assert "there is no" in kvm_verdict(made, host_arch(), program, tmp_path / "missing").reason
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert "no permission" in kvm_verdict(made, host_arch(), program, device).reason
    assert not (tmp_path / "calls").exists()


def test_choice(tmp_path: Path, device: Path) -> None:
    events: list[Event] = []
    made, bad = context(tmp_path, events), qemu(tmp_path, "sys.exit('no')")
    other = "s390x" if host_arch() != "s390x" else "amd64"
    assert choose_accel(made, MachineOptions(accel="tcg"), bad, device) == "tcg"
    assert choose_accel(made, MachineOptions(arch=other), bad, device) == "tcg"
    assert not (tmp_path / "calls").exists()
    assert choose_accel(made, MachineOptions(), bad, device) == "tcg"
    assert "without KVM" in events[-1].text
    with pytest.raises(HostError, match="--accel kvm"):
        choose_accel(made, MachineOptions(accel="kvm"), bad, device)
    with pytest.raises(HostError, match="the system is"):
        choose_accel(made, MachineOptions(accel="kvm", arch=other), bad, device)
    assert str(kvm.DEVICE) == "/dev/kvm"
