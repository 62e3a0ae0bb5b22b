"""The console log: kept whole and bounded; a dying kernel is noticed however its lines arrive."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hullkit.cache import Cache
from hullkit.errors import HostError
from hullkit.machine import consolelog
from hullkit.machine.consolelog import ConsoleLog

PANIC = b"[    1.5] Kernel panic - not syncing: VFS: Unable to mount root fs\r\n"


@pytest.mark.parametrize(
    ("line", "culprit"),
    [
        (PANIC, "kernel"),
        (b"Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100\n", "kernel"),
        (b"[    0.9][    T1] Kernel panic - not syncing: System is deadlocked on memory\n", "memory"),
        (b"[    0.4] Initramfs unpacking failed: invalid magic at start of compressed archive\n", "initramfs"),
        (b"<3>[   12.345678] Out of memory: Killed process 91 (nginx) total-vm:1kB\n", "memory"),
        (b"[    1.0] Memory cgroup out of memory: Killed process 91 (nginx)\n", None),
        (b"web: my Kernel panic - not syncing: is only text\n", None),
    ],
)
def test_symptoms(tmp_path: Path, line: bytes, culprit: str | None) -> None:
    with ConsoleLog(tmp_path / "log") as log:
        log.feed(b"hello\r\n" + line)
        assert (log.symptom[0] if log.symptom else None) == culprit


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, len(PANIC)), max_size=6))
def test_pieces_of_any_size(tmp_path: Path, cuts: list[int]) -> None:
    with ConsoleLog(tmp_path / "log") as log:
        at = 0
        for cut in [*sorted(cuts), len(PANIC)]:
            log.feed(PANIC[at:cut])
            at = cut
        assert log.symptom == ("kernel", "Kernel panic - not syncing: VFS: Unable to mount root fs")
    assert (tmp_path / "log").read_bytes() == PANIC


def test_the_tail_shows_the_panic_and_not_only_its_trace(tmp_path: Path) -> None:
    with ConsoleLog(tmp_path / "log") as log:
        for number in range(100):
            log.feed(b"before %d\n" % number)
        log.feed(PANIC)
        for number in range(100):
            log.feed(b" trace %d\n" % number)
        tail = log.tail()
    assert len(tail) == consolelog.TAIL_LINES
    assert any("Kernel panic" in line for line in tail)
    assert (tmp_path / "log").read_bytes().count(b"\n") == 201


def test_what_is_shown_cannot_steer_a_terminal(tmp_path: Path) -> None:
    with ConsoleLog(tmp_path / "log") as log:
        log.feed(b"\x1b]0;title\x07 \xff text\n" + b"y" * 10000)
        assert all(line.isprintable() and len(line) <= 201 for line in log.tail())


def test_a_guest_that_never_stops_does_not_fill_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consolelog, "MAX_LOG", 10000)
    with ConsoleLog(tmp_path / "log") as log:
        for _ in range(100):
            log.feed(b"n" * 999 + b"\n")
        log.feed(b"still watched\n" + PANIC)
        assert log.symptom is not None
    assert 10000 <= (tmp_path / "log").stat().st_size < 10100


def test_each_run_has_a_log_of_its_own_and_the_last_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consolelog, "KEPT_LOGS", 3)
    cache = Cache(tmp_path / "cache")
    last = cache.path("machine", "console.log")
    last.write_text("a plain file, as older versions had it")
    kept = []
    for number in range(5):
        day = time.gmtime(86400 * number)
        clock = SimpleNamespace(strftime=time.strftime, gmtime=lambda day=day: day)
        monkeypatch.setattr(consolelog, "time", clock)
        with cache.temp_dir() as work:
            (work / "console.log").write_text(str(number))
            kept.append(consolelog.keep_log(cache, work / "console.log"))
        assert last.is_symlink() and last.read_text() == str(number)
    assert [path.exists() for path in kept] == [False, False, True, True, True]
    assert kept[2].read_text() == "2" and kept[2].parent == cache.root / "machine" / "consoles"
    assert not list((cache.root / "tmp").iterdir())


def test_runs_side_by_side_keep_their_logs(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")

    def one(text: str) -> Path:
        with cache.temp_dir() as work:
            (work / "console.log").write_text(text)
            return consolelog.keep_log(cache, work / "console.log")

    texts = [str(number) for number in range(16)]
    with ThreadPoolExecutor(8) as pool:
        kept = list(pool.map(one, texts))
    assert [path.read_text() for path in kept] == texts
    assert cache.path("machine", "console.log").read_text() in texts


def test_a_log_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="console log"):
        ConsoleLog(tmp_path / "missing" / "log")
    with ConsoleLog(Path("/dev/full")) as log, pytest.raises(HostError, match="no space"):
        log.feed(b"x")
