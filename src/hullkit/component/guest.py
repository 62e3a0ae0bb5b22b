"""Where the guest's init comes from: compiled from the sources of a checkout, or the binary that the wheel carries."""

from __future__ import annotations

import hashlib
from pathlib import Path

import hullkit
from hullkit.component.gobuild import compile_program, find_goroot, program_id
from hullkit.context import Context, check_arch
from hullkit.errors import NotFound
from hullkit.steps import cached_path

_PACKAGE = Path(hullkit.__file__).parent
#: the main package of the agent in the module of init
_AGENT = "./agent"


def guest_sources(name: str = "init") -> Path | None:
    """``guest/NAME`` of the checkout that this package lies in; None for an installed wheel."""
    checkout = _PACKAGE.parent.parent / "guest" / name
    return checkout if (checkout / "go.mod").is_file() else None


def guest_module(name: str) -> Path:
    """The sources of a program of the guest, of the checkout or the wheel. Raises NotFound."""
    packaged = _PACKAGE / "_guest" / "src" / name
    found = guest_sources(name) or packaged
    if not (found / "go.mod").is_file():
        raise NotFound(f"this installation has no sources of guest/{name}")
    return found


def guest_id(arch: str) -> str:
    """Identifies init for ``arch`` without compiling it, for the ids of steps that use it. Errors as guest_binary."""
    origin = _origin(check_arch(arch))
    if origin.is_file():
        return hashlib.sha256(origin.read_bytes()).hexdigest()
    return program_id(origin, find_goroot(), arch)


def guest_binary(context: Context, arch: str) -> Path:
    """The static binary of init for ``arch``, compiled once per sources, toolchain version and architecture.

    Raises NotFound without sources or toolchain, ToolError when it does not compile.
    """
    origin = _origin(check_arch(arch))
    if origin.is_file():
        return origin
    goroot = find_goroot()

    def make(out: Path) -> None:
        with context.bus.step(f"compile init for {arch}"):
            compile_program(context, origin, arch, out, goroot=goroot)

    return cached_path(context, "guest", program_id(origin, goroot, arch), make)


def agent_binary(context: Context, arch: str) -> Path:
    """The static binary of the agent that speaks for systems of others; compiled once, as init is.

    Raises NotFound without sources or toolchain, ToolError when it does not compile.
    """
    sources, goroot = guest_module("init"), find_goroot()

    def make(out: Path) -> None:
        with context.bus.step(f"compile the agent for {arch}"):
            compile_program(context, sources, arch, out, goroot=goroot, package=_AGENT)

    return cached_path(context, "guest", program_id(sources, goroot, check_arch(arch), _AGENT), make)


def _origin(arch: str) -> Path:
    """A binary, or a directory of sources: a checkout's always, since a binary beside them may be old."""
    packaged = _PACKAGE / "_guest" / arch / "init"
    sources = _PACKAGE / "_guest" / "src" / "init"
    if checkout := guest_sources():
        return checkout
    if packaged.is_file():
        return packaged
    if (sources / "go.mod").is_file():
        return sources
    raise NotFound(f"this installation has neither init for {arch} nor its sources")
