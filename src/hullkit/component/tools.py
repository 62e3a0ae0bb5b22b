"""Host tools from Debian packages: pinned, verified, unpacked once into the cache, run through their own loader.

``cache/tools/ID`` is one unpacked set: ``root`` and ``toolset.json`` (what it takes to start its programs). ID is a
hash over its packages. ``cache/tools/resolved/KEY.json`` remembers which ID a set has under an index, so that asking
for a known tool reads two small files.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hullkit.cache import atomic_write
from hullkit.component.toolsets import EFI_STUBS, QEMU_SETS, TOOLSETS, Toolset
from hullkit.context import DEBIAN_ARCH, Context, Tool, host_arch
from hullkit.errors import HostError, NotFound

if TYPE_CHECKING:
    from hullkit.debian.package import Package
    from hullkit.lock.lock import Lock

#: part of the ids: change it with the layout of an unpacked set
_FORMAT = "1"


class DebianTools:
    """Implements ``context.ToolProvider``; safe between threads and processes.

    ``host_tools``: programs of the host's PATH instead. ``lock``: the packages it pins are used without any index.
    """

    def __init__(self, context: Context, *, host_tools: bool = False, lock: Lock | None = None) -> None:
        self._context = context
        self._host_tools = host_tools
        self._lock = lock
        self._arch = host_arch()
        self._sets: dict[str, tuple[Path, dict[str, Any]]] = {}
        self._mutex = threading.RLock()

    def get(self, program: str) -> Tool:
        """A program by its name, such as "mkfs.erofs". Fetches and unpacks its set at the first use.

        Raises NotFound for a program that no set has (or the host has not), and what fetching raises.
        """
        from hullkit.hosttools.tool import TreeTool

        if self._host_tools:
            return _host_tool(program)
        toolset = next((name for name, each in TOOLSETS.items() if program in each.programs), None)
        if toolset is None:
            known = ", ".join(sorted(name for each in TOOLSETS.values() for name in each.programs))
            raise NotFound(f"no set of tools has the program {program}", hint=f"known: {known}")
        directory, description = self._installed(toolset)
        root = directory / "root"
        found = description["programs"][program]
        return TreeTool(
            program=root / found["path"],
            id=f"{program} {description['id']}",
            interpreter=root / found["interpreter"] if found["interpreter"] else None,
            libraries=tuple(root / path for path in description["libraries"]),
            env={name: str(root / path) for name, path in description["env"].items()},
        )

    def data(self, toolset: str, path: str) -> Path:
        """A file or directory of a set, such as ("qemu", "usr/share/qemu"). Raises NotFound."""
        if toolset not in TOOLSETS:
            raise NotFound(f"there is no set of tools {toolset}", hint="known: " + ", ".join(TOOLSETS))
        root = Path("/") if self._host_tools else self._installed(toolset)[0] / "root"
        if not (root / path).exists():
            raise NotFound(f"the tools {toolset} have no {path}" if root != Path("/") else f"this host has no /{path}")
        return root / path

    def tool_packages(self, toolsets: Iterable[str] | None = None) -> dict[str, tuple[Package, ...]]:
        """Set → its packages, for a lock; as a rule those that building and running for the context's architecture use.

        Fetches the index when the cache has none, no package.
        """
        names = ("erofs", "qemu", QEMU_SETS[self._context.arch]) if toolsets is None else toolsets
        if toolsets is None and self._context.arch == self._arch and self._arch in EFI_STUBS:
            names = (*names, "efi-stub")
        return {name: self._packages(name) for name in names}

    def _installed(self, name: str) -> tuple[Path, dict[str, Any]]:
        """The directory of an unpacked set and its ``toolset.json``."""
        with self._mutex:
            if name not in self._sets:
                identity = self._identity(name)
                directory = self._context.cache.path("tools", identity)
                if not directory.is_dir():
                    self._install(name, directory)
                self._sets[name] = (directory, json.loads((directory / "toolset.json").read_bytes()))
            return self._sets[name]

    def _locked(self, name: str) -> tuple[Package, ...] | None:
        """The packages that the lock pins, if they are for this host's architecture."""
        pinned = self._lock.tools(name) if self._lock is not None else None
        if pinned and all(package.arch in (DEBIAN_ARCH.get(self._arch), "all") for package in pinned):
            return pinned
        return None

    def _packages(self, name: str) -> tuple[Package, ...]:
        from hullkit.debian.archive import Archive

        if pinned := self._locked(name):
            return pinned
        toolset = TOOLSETS[name]
        return Archive.open(self._context, self._checked_arch()).resolve(toolset.packages, prune=toolset.prune)

    def _identity(self, name: str) -> str:
        """The ID of a set; remembered per index, so that the index itself is not read again."""
        if pinned := self._locked(name):
            return _set_id(name, pinned)
        from hullkit.debian.archive import Archive

        archive = Archive.open(self._context, self._checked_arch())
        key = hashlib.sha256(f"{_FORMAT} {archive.id} {_recipe(name, TOOLSETS[name])}".encode()).hexdigest()
        memory = self._context.cache.path("tools", "resolved", f"{key}.json")
        try:
            return str(json.loads(memory.read_bytes())["id"])
        except (OSError, ValueError, KeyError, TypeError):
            identity = _set_id(name, self._packages(name))
            atomic_write(memory, json.dumps({"id": identity}).encode())
            return identity

    def _checked_arch(self) -> str:
        if self._arch not in DEBIAN_ARCH or os.uname().sysname != "Linux":
            raise HostError(
                f"there are no tools for this host ({os.uname().sysname} {self._arch})", hint="--host-tools"
            )
        return self._arch

    def _install(self, name: str, directory: Path) -> None:
        from hullkit.component.toolsinstall import install

        with self._context.cache.lock(f"tools {directory.name}"):
            if not directory.is_dir():
                install(self._context, name, self._packages(name), directory)


def _recipe(name: str, toolset: Toolset) -> str:
    return json.dumps([name, toolset.packages, dict(toolset.programs), toolset.prune, dict(toolset.env)])


def _set_id(name: str, packages: Iterable[Package]) -> str:
    content = [_FORMAT, _recipe(name, TOOLSETS[name]), sorted(package.sha256 for package in packages)]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:32]


def _host_tool(program: str) -> Tool:
    from hullkit.hosttools.tool import HostTool

    found = shutil.which(program)
    if found is None:
        raise NotFound(
            f"--host-tools: the host has no {program} in its PATH", hint="install it, or leave --host-tools out"
        )
    with open(found, "rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return HostTool((found,), f"host {program} {digest}")
