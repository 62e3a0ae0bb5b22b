"""Where the guest's init comes from: compiled from the sources of a checkout, or the binary that the wheel carries."""

from __future__ import annotations

from pathlib import Path

import hullkit
from hullkit.component.gobuild import compile_program, find_goroot, program_id
from hullkit.context import Context, check_arch
from hullkit.errors import NotFound
from hullkit.steps import cached_path

_PACKAGE = Path(hullkit.__file__).parent


def guest_sources() -> Path | None:
    """The sources of init: ``guest/init`` of the checkout that this package lies in; None for an installed wheel."""
    checkout = _PACKAGE.parent.parent / "guest" / "init"
    return checkout if (checkout / "go.mod").is_file() else None


def packaged_sources() -> Path | None:
    """The sources of init that the wheel carries, for architectures whose binary it does not."""
    packaged = _PACKAGE / "_guest" / "src" / "init"
    return packaged if (packaged / "go.mod").is_file() else None


def guest_binary(context: Context, arch: str) -> Path:
    """The static binary of init for ``arch``.

    In a checkout the sources always win (a binary packaged earlier may be old). Compiled once per sources, toolchain
    version and architecture. Raises NotFound without sources or toolchain, ToolError when it does not compile.
    """
    check_arch(arch)
    sources = guest_sources()
    packaged = _PACKAGE / "_guest" / arch / "init"
    if sources is None and packaged.is_file():
        return packaged
    sources = sources or packaged_sources()
    if sources is None:
        raise NotFound(f"this installation has neither init for {arch} nor its sources")
    return _compiled(context, sources, arch)


def guest_id(context: Context, arch: str) -> str:
    """Identifies the binary without compiling it, for ids of steps that use it."""
    sources = guest_sources() or packaged_sources()
    packaged = _PACKAGE / "_guest" / arch / "init"
    if guest_sources() is None and packaged.is_file():
        import hashlib

        return hashlib.sha256(packaged.read_bytes()).hexdigest()
    if sources is None:
        raise NotFound(f"this installation has neither init for {arch} nor its sources")
    return program_id(sources, find_goroot(), arch)


def _compiled(context: Context, sources: Path, arch: str) -> Path:
    goroot = find_goroot()

    def make(out: Path) -> None:
        step = f"compile init for {arch}"
        with context.bus.step(step):
            compile_program(
                sources, arch, out, goroot=goroot, cache=context.cache.path("go-build", "x").parent, jobs=context.jobs
            )

    return cached_path(context, "guest", program_id(sources, goroot, arch), make)
