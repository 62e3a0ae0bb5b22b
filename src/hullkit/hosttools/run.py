"""The one way to run an external program: a clean environment, the command told to the bus, a failure that can be
repeated by hand.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from hullkit.context import Context, Tool
from hullkit.errors import HostError, HullError, ToolError

_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
#: of the caller's environment only this reaches a tool: where it may put temporary files
_KEPT = ("TMPDIR",)
_SHOWN_LINES = 3


@dataclass(frozen=True, slots=True)
class Finished:
    """How a program ended; ``stdout`` is empty when it went elsewhere."""

    returncode: int
    stdout: bytes
    stderr: str
    command: str


def environment(tool: Tool, env: Mapping[str, str] | None = None) -> dict[str, str]:
    """The whole environment of a tool: fixed locale and time zone, then the tool's own, then the caller's."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return {"PATH": _PATH, "LC_ALL": "C", "TZ": "UTC", **kept, **tool.env, **(env or {})}


def shell_line(
    tool: Tool, args: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> str:
    """The command as one line to paste into a shell."""
    settings = [f"{name}={shlex.quote(value)}" for name, value in sorted({**tool.env, **(env or {})}.items())]
    words = [*settings, shlex.join([*tool.argv, *args])]
    line = " ".join(words)
    return f"cd {shlex.quote(str(cwd))} && {line}" if cwd is not None else line


def run(
    context: Context,
    tool: Tool,
    args: Sequence[str],
    *,
    input: bytes | None = None,
    stdin: IO[Any] | int | None = None,
    stdout: IO[Any] | int | None = None,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    check: bool = True,
    timeout: float | None = None,
) -> Finished:
    """Run a program to its end.

    Without ``stdin`` or ``input`` it reads nothing; without ``stdout`` its output is returned. ``env`` is added to a
    minimal environment (put SOURCE_DATE_EPOCH there). Raises ToolError when it cannot be started, takes longer than
    ``timeout`` seconds, or (with ``check``) does not exit with 0.
    """
    line = shell_line(tool, args, cwd=cwd, env=env)
    source: dict[str, Any] = {"input": input} if input is not None else {"stdin": stdin or subprocess.DEVNULL}
    context.bus.command(line)
    try:
        ended = subprocess.run(
            [*tool.argv, *args],
            stdout=subprocess.PIPE if stdout is None else stdout,
            stderr=subprocess.PIPE,
            cwd=cwd,
            env=environment(tool, env),
            timeout=timeout,
            check=False,
            umask=0o022,
            **source,
        )
    except subprocess.TimeoutExpired as error:
        raise ToolError(f"{_name(tool)} did not end within {timeout} s", command=line) from error
    except OSError as error:
        raise _not_started(tool, line, error) from error
    stderr = ended.stderr.decode("utf-8", "replace")
    finished = Finished(ended.returncode, ended.stdout or b"", stderr, line)
    if check and finished.returncode:
        raise failure(tool, finished)
    return finished


def start(
    context: Context,
    tool: Tool,
    args: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    **settings: Any,
) -> subprocess.Popen[bytes]:
    """Start a program that goes on running (QEMU, a registry); ``settings`` are Popen's. The caller ends it.

    Raises ToolError when it cannot be started.
    """
    line = shell_line(tool, args, cwd=cwd, env=env)
    context.bus.command(line)
    try:
        return subprocess.Popen(
            [*tool.argv, *args], cwd=cwd, env=environment(tool, env), **{"stdin": subprocess.DEVNULL, **settings}
        )
    except OSError as error:
        raise _not_started(tool, line, error) from error


def failure(tool: Tool, finished: Finished) -> HullError:
    """What to raise for a program that ended badly: its last words and the command."""
    code = finished.returncode
    how = f"was killed by signal {-code}" if code < 0 else f"exited with {code}"
    lines = [line.strip() for line in finished.stderr.splitlines() if line.strip()]
    words = "; ".join(lines[-_SHOWN_LINES:])
    message = f"{_name(tool)} {how}: {words}" if words else f"{_name(tool)} {how} and said nothing"
    if "No space left on device" in finished.stderr:
        return HostError(f"{_name(tool)}: no space left on the disk", hint="free some space and run it again")
    return ToolError(message, command=finished.command, hint="-v shows the command")


def _name(tool: Tool) -> str:
    return os.path.basename(tool.argv[-1])


def _not_started(tool: Tool, line: str, error: OSError) -> ToolError:
    hint = None
    if isinstance(error, PermissionError):
        hint = "is the cache on a file system mounted noexec? Choose another place with --cache"
    return ToolError(f"{_name(tool)} cannot be started: {error.strerror}", command=line, hint=hint)
