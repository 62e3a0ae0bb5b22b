"""``hullkit run`` as a command: its input, its exit status, its one JSON document."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from hullkit.machine.report import report_schema
from tests.machine.fakes import boot_files, fake_qemu
from tests.support.user import CHECKOUT

UP = "console.sendall(b'hello\\r\\n'); up(); commands()"
WRONG = "up(); commands([{'name': 'page', 'culprit': 'web', 'ok': False, 'message': 'status 404'}])"


def run(directory: Path, behaviour: str, *words: object, prefix: str = "fake") -> subprocess.CompletedProcess[str]:
    boot_files(directory)
    qemu = fake_qemu(directory, behaviour)
    command = [sys.executable, "-m", "hullkit", "run", "--accel", "tcg", "--qemu", qemu, "--cache", directory / "cache"]
    return subprocess.run(
        [*command, *map(str, words), directory / prefix], cwd=CHECKOUT, capture_output=True, text=True, timeout=180
    )


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    assert "Traceback" not in done.stderr
    return done.stderr.strip().splitlines()[-1]


def test_a_good_boot(tmp_path: Path) -> None:
    done = run(tmp_path, UP, "--check")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("fake\n") and done.stdout.endswith("all checks hold\n")


def test_a_good_boot_as_json(tmp_path: Path) -> None:
    done = run(tmp_path, UP, "--check", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    jsonschema.validate(document, report_schema())
    assert document["ok"] is True and document["name"] == "fake"


def test_a_bad_boot(tmp_path: Path) -> None:
    done = run(tmp_path, "console.sendall(b'last words\\r\\n'); " + WRONG, "--check")
    assert done.returncode == 1
    assert last_line(done) == "hullkit: error: web: page: status 404"
    assert "console| last words" in done.stderr
    assert (tmp_path / "cache/machine/console.log").read_text() == "last words\n"


def test_a_bad_boot_as_json(tmp_path: Path) -> None:
    done = run(tmp_path, WRONG, "--check", "--json", "--progress", "json")
    assert done.returncode == 1
    document = json.loads(done.stdout)
    jsonschema.validate(document, report_schema())
    assert (document["ok"], document["culprit"], document["message"]) == (False, "web", "page: status 404")


@pytest.mark.parametrize(
    ("words", "code", "culprit"),
    [
        (("--mem", "banana"), 2, "configuration"),
        (("--publish", "80"), 2, "configuration"),
        (("--timeout", "-1"), 2, "configuration"),
        (("--hold", "-1"), 2, "configuration"),
        (("--data-file", "/nonexistent"), 3, "input"),
        (("--disk", "/nonexistent"), 3, "input"),
        (("--publish", "192.0.2.1:8080:80"), 7, "host"),
    ],
)
def test_what_stops_it_before_is_a_document_too(
    tmp_path: Path, words: tuple[str, ...], code: int, culprit: str
) -> None:
    done = run(tmp_path, UP, "--check", "--json", *words)
    assert done.returncode == code, done.stderr
    document = json.loads(done.stdout)
    jsonschema.validate(document, report_schema())
    assert (document["ok"], document["culprit"]) == (False, culprit)
    assert last_line(done).startswith("hullkit: error: ")


def test_input_that_is_not_there(tmp_path: Path) -> None:
    done = run(tmp_path, UP, "--check", prefix="nothing")
    assert done.returncode == 3
    assert "there is no nothing-kernel" in last_line(done)


@pytest.mark.parametrize("data", [b"two\nlines", b"\xff", b"x" * 5000])
def test_a_command_line_that_cannot_be(tmp_path: Path, data: bytes) -> None:
    boot_files(tmp_path)
    for end in ("kernel", "initrd.img"):
        (tmp_path / f"odd-{end}").write_bytes(b"x")
    (tmp_path / "odd-cmdline").write_bytes(data)
    done = run(tmp_path, UP, "--check", prefix="odd")
    assert done.returncode == 2 and "odd-cmdline" in last_line(done)


def test_json_is_for_checks(tmp_path: Path) -> None:
    done = run(tmp_path, UP, "--json")
    assert done.returncode == 2 and "--check" in last_line(done)


def test_the_console_log_is_the_users(tmp_path: Path) -> None:
    log = tmp_path / "my.log"
    done = run(tmp_path, UP, "--check", "--json", "--console-log", log)
    assert json.loads(done.stdout)["host"]["console_log"] == str(log)
    assert log.read_bytes() == b"hello\r\n"
    assert not (tmp_path / "cache/machine").exists()


def test_a_disk_is_made_and_stays(tmp_path: Path) -> None:
    disk = tmp_path / "data.qcow2"
    done = run(tmp_path, "assert 'data.qcow2' in line; " + UP, "--check", "--disk", f"{disk},size=1G")
    assert done.returncode == 0, done.stderr
    assert disk.read_bytes()[:4] == b"QFI\xfb"


def test_sigterm_gives_a_document_and_its_exit_status(tmp_path: Path) -> None:
    boot_files(tmp_path)
    qemu = fake_qemu(tmp_path, "console.sendall(b'x'); open('started', 'w'); time.sleep(60)")
    words = [sys.executable, "-m", "hullkit", "run", "--check", "--json", "--accel", "tcg", "--qemu", qemu]
    process = subprocess.Popen(
        [*words, "--cache", "cache", "fake"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(CHECKOUT / "src")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (tmp_path / "started").exists():
        assert process.poll() is None, process.communicate()
    process.terminate()
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 143
    assert json.loads(out)["culprit"] == "interrupted"
    assert not list((tmp_path / "cache/tmp").iterdir())
