"""A checked boot, decision by decision: the machine's other side is a program on the same sockets (``fakes``)."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hullkit.errors import ConfigError, HostError, NotFound, ToolError
from hullkit.events import Event
from hullkit.machine import check
from hullkit.machine.check import run_check
from hullkit.machine.options import Publish
from hullkit.machine.process import Stopped, stop_signals
from hullkit.machine.report import Report
from tests.machine.fakes import boot_files, context, fake_qemu, options


def checked(directory: Path, behaviour: str, **more: object) -> Report:
    hold = float(more.pop("hold", 0.0))  # type: ignore[arg-type]
    qemu = fake_qemu(directory, behaviour)
    made = context(directory)
    report = run_check(made, boot_files(directory), options(qemu, **more), hold=hold)
    assert not list((directory / "cache" / "tmp").iterdir())
    return report


@contextmanager
def signal_when_there(path: Path, number: signal.Signals) -> Iterator[None]:
    """Send ourselves a signal as soon as a file has something in it, unless the block ends before."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.02):
            if path.exists() and path.read_text():
                os.kill(os.getpid(), number)
                return

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


def test_all_is_well(tmp_path: Path) -> None:
    events: list[Event] = []
    qemu = fake_qemu(tmp_path, "console.sendall(b'hello\\r\\n'); up(); commands()")
    report = run_check(context(tmp_path, events), boot_files(tmp_path), options(qemu))
    assert report.ok and not report.failures and report.culprit == ""
    assert [stage.name for stage in report.stages] == ["firmware", "kernel", "init", "up"]
    assert report.guest is not None and report.guest.checks[0].name == "web answers"
    assert report.host is not None and report.host.accel == "tcg"
    assert report.host.kernel_bytes == report.host.initrd_bytes == 100
    assert report.host.cpu_seconds > 0 and report.host.peak_bytes > 1 << 20
    assert Path(report.host.console_log).read_bytes() == b"hello\r\n"
    assert any(event.text.startswith("up ") for event in events)


@pytest.mark.parametrize(
    ("behaviour", "culprit", "words"),
    [
        ("up(); commands([{'name': 'page', 'culprit': 'web', 'ok': False, 'message': '404'}])", "web", "page: 404"),
        ("up(); commands([{'name': 'page', 'ok': False}])", "page", "page"),
        (
            "up(); commands(CHECKS, [{'name': 'cron', 'state': 'failed', 'exit': 3}])",
            "cron",
            "failed (exit status 3)",
        ),
        ("stage('init'); say(event='failed', culprit='dns', message='gave up'); commands()", "dns", "gave up"),
        ("stage('init'); say(event='fatal', message='no hull.json'); commands()", "init", "no hull.json"),
        ("stage('init'); say(event='fatal', message='no hull.json'); sys.exit(0)", "init", "no hull.json"),
        ("console.sendall(b'Kernel panic - not syncing: no\\n'); time.sleep(60)", "kernel", "no"),
        ("stage('init'); console.sendall(b'Kernel panic - not syncing: no\\n'); sys.exit(0)", "kernel", "no"),
        ("up(); console.sendall(b'Kernel panic - not syncing: no\\n'); time.sleep(60)", "kernel", "no"),
        ("console.sendall(b'[ 1.0] Initramfs unpacking failed: x\\n'); time.sleep(60)", "initramfs", "unpacking"),
        ("stage('root'); sys.exit(0)", "boot", "by itself, in stage root"),
        ("stage('root'); sys.stderr.write('boom'); sys.exit(4)", "qemu", "exit status 4, in stage root: boom"),
        ("stage('root'); os.kill(os.getpid(), signal.SIGSEGV)", "qemu", "signal 11"),
        ("up(); sys.exit(0)", "boot", "after it was up"),
        ("up(); commands(poweroff=False)", "init", "did not power off"),
        (
            "import atexit; atexit.register(console.sendall, b'Kernel panic - not syncing: late\\n'); up(); commands()",
            "kernel",
            "late",
        ),
    ],
)
def test_somebody_is_to_blame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, behaviour: str, culprit: str, words: str
) -> None:
    monkeypatch.setattr(check, "POWER_OFF", 0.5)
    monkeypatch.setattr(check, "AFTERMATH", 0.5)
    report = checked(tmp_path, behaviour)
    assert not report.ok
    assert report.culprit == culprit
    assert words in report.message


@pytest.mark.parametrize(
    ("behaviour", "culprit", "words"),
    [
        ("time.sleep(60)", "firmware", "before the kernel wrote anything"),
        ("console.sendall(b'Linux\\r\\n'); time.sleep(60)", "kernel", "before init reported"),
        ("stage('modules'); time.sleep(60)", "modules", "in stage modules"),
        (
            "stage('services'); say(event='container', name='web', state='running'); commands()",
            "web",
            "in stage services, waiting for web",
        ),
    ],
)
def test_time_runs_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, behaviour: str, culprit: str, words: str
) -> None:
    monkeypatch.setattr(check, "AFTERMATH", 0.2)
    begun = time.monotonic()
    report = checked(tmp_path, behaviour, timeout=2.5)
    assert time.monotonic() - begun < 40
    assert report.culprit == culprit
    assert words in report.message


def test_no_answer_to_the_checks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "ANSWER", 0.3)
    monkeypatch.setattr(check, "AFTERMATH", 0.2)
    report = checked(tmp_path, "up(); time.sleep(60)")
    assert report.culprit == "init" and "no answer" in report.message


def test_a_service_that_fails_after_up_is_told_by_its_state(tmp_path: Path) -> None:
    behaviour = """
    import threading
    up()
    died = dict(event="container", name="web", kind="service", state="failed", exit=1, message="exited with 1")
    threading.Timer(0.5, lambda: say(**died)).start()
    commands()
    """
    report = checked(tmp_path, behaviour, hold=30.0)
    assert (report.culprit, report.message) == ("web", "exited with 1")


def test_a_failed_boot_does_not_blame_who_was_not_ready_yet(tmp_path: Path) -> None:
    behaviour = """
    stage("onboot")
    say(event="failed", culprit="format", message="exited with 1")
    say(event="failed", culprit="mount", message="exited with 2")
    commands([{"name": "web runs", "culprit": "web", "ok": False, "message": "waiting"}])
    """
    report = checked(tmp_path, behaviour)
    assert report.culprit == "format, mount"
    assert report.guest is not None and report.guest.checks[0].culprit == "web"


def test_an_answer_that_cannot_be_read_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "ANSWER", 0.5)
    monkeypatch.setattr(check, "AFTERMATH", 0.2)
    report = checked(tmp_path, "up(); commands(containers=[7])")
    assert report.culprit == "init" and "no answer" in report.message and "containers[0]" in report.message


def test_every_culprit_is_named(tmp_path: Path) -> None:
    behaviour = """
    up()
    wrong = [{"name": n, "culprit": c, "ok": False, "message": "m"} for n, c in (("a", "web"), ("b", "dns"))]
    commands(wrong, [{"name": "web", "state": "failed"}, {"name": "cron", "state": "failed", "exit": 1}])
    """
    report = checked(tmp_path, behaviour)
    assert report.culprit == "web, dns, cron"
    assert len(report.failures) == 3


def test_the_last_lines_of_a_failed_container(tmp_path: Path) -> None:
    behaviour = """
    stage("services")
    say(event="log", name="web", line="cannot open \\x1b[31mfile")
    say(event="failed", culprit="web", message="exit status 1")
    commands()
    """
    report = checked(tmp_path, behaviour)
    assert [(log.container, log.line) for log in report.logs] == [("web", "cannot open  [31mfile")]


def test_a_guest_that_writes_and_writes_is_read_all_the_time(tmp_path: Path) -> None:
    behaviour = """
    up()
    for _ in range(5000):
        console.sendall(b"noise " * 20 + b"\\r\\n")
    commands()
    """
    report = checked(tmp_path, behaviour)
    assert report.ok
    assert report.host is not None and Path(report.host.console_log).stat().st_size == 5000 * 122


def test_a_failure_while_it_is_held(tmp_path: Path) -> None:
    behaviour = """
    import threading
    up()
    threading.Timer(0.5, lambda: say(event="failed", culprit="web", message="died")).start()
    commands()
    """
    begun = time.monotonic()
    report = checked(tmp_path, behaviour, hold=60.0)
    assert report.culprit == "web"
    assert time.monotonic() - begun < 50


def test_ctrl_c_ends_the_hold_and_not_the_check(tmp_path: Path) -> None:
    made = context(tmp_path)
    held: list[str] = []

    def interrupt(event: Event) -> None:
        if event.text.startswith("staying up"):
            held.append(event.text)
            threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()

    made.bus.subscribe(interrupt)
    begun = time.monotonic()
    with stop_signals():
        report = run_check(made, boot_files(tmp_path), options(fake_qemu(tmp_path, "up(); commands()")), hold=60.0)
    assert report.ok and held
    assert time.monotonic() - begun < 50


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_ends_the_machine_and_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    pid_file = tmp_path / "pid"
    behaviour = f"open({str(pid_file)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    with stop_signals(), pytest.raises(Stopped) as stopped, signal_when_there(pid_file, number):
        checked(tmp_path, behaviour)
    assert stopped.value.signum == number
    assert not Path("/proc", pid_file.read_text()).exists()
    assert not list((tmp_path / "cache" / "tmp").iterdir())


def test_a_machine_that_cannot_start(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="no such device") as error:
        checked(tmp_path, "sys.stderr.write('no such device'); sys.exit(1)")
    assert "fake-qemu" in error.value.command


def test_what_is_refused_before_a_machine_is_started(tmp_path: Path) -> None:
    boot, made, never = boot_files(tmp_path), context(tmp_path), fake_qemu(tmp_path, "raise SystemExit(99)")
    with pytest.raises(NotFound, match="no such program"):
        run_check(made, boot, options(tmp_path / "missing"))
    with pytest.raises(HostError, match="console log"):
        run_check(made, boot, options(never), console_log=tmp_path / "no" / "log")
    boot.initrd.write_bytes(bytes(40 << 20))
    with pytest.raises(ConfigError, match="kernel and initramfs alone"):
        run_check(made, boot, options(never, mem=32))


def test_a_published_port_that_nobody_serves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "PORT", 0.2)
    report = checked(tmp_path, "up(); commands()", publish=(Publish.parse("127.0.0.1:47123:80"),))
    assert report.culprit == "port 80"
    assert report.ports[0].ok is False and "no connection" in report.message
