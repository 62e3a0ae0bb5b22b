"""run(): a clean environment, the command told, failures that can be repeated."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from hullkit.cache import Cache
from hullkit.context import Context
from hullkit.errors import HostError, ToolError
from hullkit.events import Bus, Event
from hullkit.hosttools.run import run, start
from hullkit.hosttools.tool import HostTool

SHELL = HostTool(("/bin/sh",), "sh")


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def context(tmp_path: Path, events: list[Event]) -> Context:
    bus = Bus()
    bus.subscribe(events.append)
    return Context(Cache(tmp_path / "cache"), bus=bus)


def test_environment_is_clean(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "LC_ALL": "de_DE.UTF-8",
        "TZ": "Asia/Tokyo",
        "SECRET": "x",
        "LD_PRELOAD": "",
        "HOME": "/h",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("TMPDIR", raising=False)
    tool = HostTool(("/usr/bin/env",), "env", {"FROM_TOOL": "1"})
    finished = run(context, tool, [], env={"SOURCE_DATE_EPOCH": "0"})
    assert sorted(finished.stdout.decode().split()) == [
        "FROM_TOOL=1",
        "LC_ALL=C",
        "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
        "SOURCE_DATE_EPOCH=0",
        "TZ=UTC",
    ]


def test_umask_does_not_show(context: Context, tmp_path: Path) -> None:
    old = os.umask(0o077)
    try:
        run(context, SHELL, ["-c", "echo > file; mkdir dir"], cwd=tmp_path)
    finally:
        os.umask(old)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o644 and (tmp_path / "dir").stat().st_mode & 0o777 == 0o755


def test_output_and_input(context: Context, tmp_path: Path) -> None:
    assert run(context, SHELL, ["-c", "cat"], input=b"a\0b").stdout == b"a\0b"
    assert run(context, SHELL, ["-c", "cat"]).stdout == b""
    with open(tmp_path / "out", "wb") as out, open(__file__, "rb") as source:
        assert run(context, SHELL, ["-c", "cat"], stdin=source, stdout=out).stdout == b""
    assert (tmp_path / "out").read_bytes() == Path(__file__).read_bytes()


def test_the_command_told_can_be_pasted(context: Context, events: list[Event], tmp_path: Path) -> None:
    odd = tmp_path / "it's a dir"
    odd.mkdir()
    tool = HostTool(("/bin/sh",), "sh", {"A": "x y"})
    first = run(context, tool, ["-c", 'pwd; printf %s "$A" "$1"', "sh", "q'uot\"e $HOME"], cwd=odd)
    (line,) = [event.text for event in events if event.kind == "command"]
    assert subprocess.run(["/bin/sh", "-c", line], capture_output=True, check=True).stdout == first.stdout


def test_failure_has_the_last_words_and_the_command(context: Context) -> None:
    script = "for i in 1 2 3 4 5; do echo line $i >&2; done; echo >&2; exit 3"
    with pytest.raises(ToolError, match="sh exited with 3: line 3; line 4; line 5") as caught:
        run(context, SHELL, ["-c", script])
    assert caught.value.command == shlex.join(["/bin/sh", "-c", script])
    assert "\n" not in str(caught.value)
    assert run(context, SHELL, ["-c", "exit 3"], check=False).returncode == 3


def test_killed_and_silent(context: Context) -> None:
    with pytest.raises(ToolError, match="killed by signal 9"):
        run(context, SHELL, ["-c", "kill -9 $$"])
    with pytest.raises(ToolError, match="said nothing"):
        run(context, SHELL, ["-c", "exit 1"])


def test_full_disk_is_the_hosts_fault(context: Context) -> None:
    with pytest.raises(HostError, match="no space left"):
        run(context, SHELL, ["-c", "cat /bin/sh > /dev/full"])


def test_timeout(context: Context) -> None:
    with pytest.raises(ToolError, match="did not end within"):
        run(context, SHELL, ["-c", "exec sleep 20"], timeout=0.2)


def test_not_startable(context: Context, tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="cannot be started: No such file"):
        run(context, HostTool(("/nonexistent/tool",), "x"), [])
    (tmp_path / "plain").write_text("no program")
    with pytest.raises(ToolError) as caught:
        run(context, HostTool((str(tmp_path / "plain"),), "x"), [])
    assert "noexec" in (caught.value.hint or "")
    with pytest.raises(ToolError):
        start(context, HostTool(("/nonexistent/tool",), "x"), [])


def test_start(context: Context, events: list[Event]) -> None:
    tool = HostTool((sys.executable, "-c"), "python")
    with start(context, tool, ["print('up')"], stdout=subprocess.PIPE) as child:
        assert child.communicate(timeout=20)[0] == b"up\n"
    assert child.returncode == 0 and events[0].kind == "command"
