"""Programs that can be started: the host's own, and those of a tools tree (see ``context.Tool``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class HostTool:
    """A program of the host (``--host-tools``)."""

    argv: tuple[str, ...]
    id: str
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TreeTool:
    """A program of a tools tree, started through that tree's own dynamic loader: it needs no privilege and nothing of
    the host's libraries. ``interpreter`` is empty for a static program.

    The program sees the loader as /proc/self/exe and the host's /usr/share: give it data directories by option.
    """

    program: Path
    id: str
    interpreter: Path | None = None
    libraries: tuple[Path, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)

    @property
    def argv(self) -> tuple[str, ...]:
        if self.interpreter is None:
            return (str(self.program),)
        # ld.so(8): the cache of the host is of no use, and argv[0] must be the program's name, not the loader's.
        path = ":".join(map(str, self.libraries))
        loader = (str(self.interpreter), "--inhibit-cache", "--library-path", path, "--argv0", self.program.name)
        return (*loader, str(self.program))
