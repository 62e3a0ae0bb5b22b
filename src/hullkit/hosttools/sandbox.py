"""A sandbox for programs that build something: a tree of packages as the root, no network, nothing of the host.

It takes user namespaces, and no privilege. The same command sees the same paths, user, host name and environment on
every machine; what it does not see of the host it cannot put into its output.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from hullkit.context import Context
from hullkit.errors import HostError
from hullkit.hosttools import enter
from hullkit.hosttools.run import Finished, run

PATH = "/usr/sbin:/usr/bin"
#: for programs that write times: early enough for all, late enough for file formats that begin with 1980
SOURCE_DATE_EPOCH = 315619200


@dataclass(frozen=True, slots=True)
class Bind:
    """A host directory at ``target``, an absolute path of the sandbox."""

    target: str
    source: Path
    writable: bool = False


@dataclass(frozen=True, slots=True)
class Sandbox:
    """``tree``: what becomes ``/``, read-only. ``mountpoint``: an empty directory outside of tree and binds.

    Beside the binds only /tmp is writable, in memory. The command is uid 0 without capabilities, the one user there is.
    """

    tree: Path
    mountpoint: Path
    binds: tuple[Bind, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: str = "/"

    def run(self, context: Context, command: Sequence[str], *, stdout: IO[Any] | None = None) -> Finished:
        """Run a command (an absolute path of the sandbox first) to its end, whatever its exit status.

        Raises HostError where the host refuses what a sandbox takes. When this process dies, the command does.
        """
        tool = _Entry((sys.executable, "-I", "-S", enter.__file__), "")
        finished = run(context, tool, [self._spec(command)], stdout=stdout, check=False)
        last = finished.stderr.strip().rpartition("\n")[2]
        if finished.returncode == enter.FAILED and last.startswith(enter.PREFIX):
            raise HostError(
                f"this host forbids the user namespaces that a sandbox takes ({last.removeprefix(enter.PREFIX)})",
                hint="containers and some distributions do so",
            )
        return finished

    def probe(self, context: Context) -> None:
        """Make the sandbox and run nothing: raises HostError where the host refuses."""
        self.run(context, [])

    def _spec(self, command: Sequence[str]) -> str:
        env = {
            "PATH": PATH,
            "HOME": "/tmp",  # noqa: S108 - of the sandbox
            "LC_ALL": "C",
            "TZ": "UTC",
            "SOURCE_DATE_EPOCH": str(SOURCE_DATE_EPOCH),
            **self.env,
        }
        spec = {
            "tree": str(self.tree),
            "mountpoint": str(self.mountpoint),
            "binds": [[bind.target, str(bind.source), bind.writable] for bind in self.binds],
            "env": env,
            "cwd": self.cwd,
            "command": list(command),
        }
        return json.dumps(spec, sort_keys=True)


@dataclass(frozen=True, slots=True)
class _Entry:
    """The program that enters the sandbox, as a tool."""

    argv: tuple[str, ...]
    id: str
    env: Mapping[str, str] = field(default_factory=dict)
