"""Measure what each step of the diet brings to examples/tiny.yml and examples/minimal.yml: docs/footprint.md's table.

    .venv/bin/python bench/diet.py DIR                  all of it; systems and figures are kept in DIR
        --only NAME                                     one step, as "tiny-2"; may be given again
        --no-boot                                       bytes only
        --tables                                        measure nothing: the table of what is there
        --document docs/footprint.md                    put the table there too

Each step has the ones before it. The first is what a system is without any of them: whole packages of Debian, each
container with its own, and every module of the kernel.
"""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from comparison import CHECKOUT, megabytes, seconds, table, write

_CATALOGUE = CHECKOUT / "catalogue"
_MARK = "bench/diet.py"
#: before the small programs of hullkit's own there was busybox
_SYSCTL: dict[str, Any] = {
    "name": "sysctl",
    "summary": "Applies kernel parameters by busybox",
    "licence": "GPL-2.0-only",
    "role": "onboot",
    "version": {"component": "busybox"},
    "base": ["libc", "libm", "busybox"],
    "files": [{"path": "etc/sysctl.d/00-hullkit.conf", "source": "files/00-hullkit.conf"}],
    "config": {
        "command": ["/bin/sh", "-c", "sysctl -e -q -p /etc/sysctl.d/00-hullkit.conf || true"],
        "capabilities": ["CAP_NET_ADMIN", "CAP_SYS_ADMIN", "CAP_SYS_PTRACE"],
        "net": "host",
        "ipc": "host",
        "uts": "host",
        "readonly": True,
        "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sysrq-trigger"],
    },
}
#: what scripts of the whole packages are for, and every Debian has
_ESSENTIAL = {"dhcpcd": ("bash", "dash", "perl-base"), "rngd": ("dash",)}


@dataclass(frozen=True)
class Step:
    """A system on the way: the components of its parts, and what it is built with."""

    title: str
    profile: str
    init: tuple[str, ...]
    sysctl: str
    dhcp: str
    rng: str
    release: bool = False


def _ways() -> dict[str, tuple[Step, ...]]:
    tiny = Step("whole packages, all modules", "all", ("whole/crun",), "whole/sysctl", "whole/dhcpcd", "whole/rngd")
    minimal = replace(tiny, init=("whole/runc", "whole/containerd"))
    runtime = {"tiny": ("crun",), "minimal": ("runc", "containerd")}
    slim = ("runc", "containerd-slim")
    ways = {}
    for name, first in (("tiny", tiny), ("minimal", minimal)):
        steps = [first, replace(first, title="modules of the profile qemu", profile="qemu")]

        def step(title: str, steps: list[Step] = steps, **changes: Any) -> None:
            steps.append(replace(steps[-1], title=title, **changes))

        closure = "only the files that programs need, in layers cut to share"
        step(closure, init=runtime[name], sysctl="busybox/sysctl", dhcp="dhcpcd", rng="rngd")
        if name == "minimal":
            step("containerd, shim and service compiled as one program", init=slim)
        step("one small program for DHCP, random numbers and sysctl", sysctl="sysctl", dhcp="dhcp", rng="rng")
        static = ("crun-static",) if name == "tiny" else ("runc-static", "containerd-slim")
        step(f"{static[0]}: no C library left", init=static)
        step("modules of the profile virtio", profile="virtio")
        step("--release: LZMA", release=True)
        ways[name] = tuple(steps)
    return ways


WAYS = _ways()


def reference(directory: Path, part: str) -> str:
    return f"@component:{directory / part}" if "/" in part else f"@component:{part}"


def system(directory: Path, step: Step) -> dict[str, Any]:
    return {
        "kernel": {"image": "@component:kernel", "cmdline": "console=ttyS0 quiet", "profile": step.profile},
        "init": ["@component:hullkit-init", *(reference(directory, part) for part in step.init)],
        "onboot": [{"name": "sysctl", "image": reference(directory, step.sysctl)}],
        "services": [
            {"name": "dhcp", "image": reference(directory, step.dhcp), "ready": {"address": "ipv4"}},
            {"name": "rngd", "image": reference(directory, step.rng), "restart": "always"},
        ],
    }


def loaded(name: str) -> dict[str, Any]:
    """A recipe of the catalogue, read as hullkit reads it."""
    recipe: dict[str, Any] = yaml.load((_CATALOGUE / name / "component.yml").read_text(), yaml.CSafeLoader)
    return recipe


def whole(name: str) -> dict[str, Any]:
    """A recipe of the catalogue with all that its packages and their dependencies have, and nothing shared."""
    recipe = _SYSCTL if name == "sysctl" else loaded(name)
    packages = dict.fromkeys(recipe.get("debian", {}).get("packages", []))
    made = {key: value for key, value in recipe.items() if key not in ("base", "debian")}
    libc = loaded("libc")
    for base in recipe.get("base", []):
        below = loaded(base)
        packages.update(dict.fromkeys(below["debian"]["packages"]))
        if base == "busybox":
            made["links"] = {**below["links"], **made.get("links", {})}
    made["links"] = {**libc["links"], **made.get("links", {})}
    made["users"] = [*libc["users"], *recipe.get("users", [])]
    made["dirs"] = [*libc["dirs"], *recipe.get("dirs", [])]
    made["files"] = [*libc["files"], *recipe.get("files", [])]
    if "component" in made["version"]:
        made["version"] = {"package": made["version"]["component"]}
    return {**made, "debian": {"packages": [*packages, *_ESSENTIAL.get(name, ())]}}


def write_recipes(directory: Path) -> None:
    for kind, names in (
        ("whole", ("crun", "runc", "containerd", "dhcpcd", "rngd", "sysctl")),
        ("busybox", ("sysctl",)),
    ):
        for name in names:
            folder = directory / kind / name
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(_CATALOGUE / name, folder)
            recipe = whole(name) if kind == "whole" else _SYSCTL
            (folder / "component.yml").write_text(yaml.safe_dump(recipe, sort_keys=False))


def measure(name: str, directory: Path, step: Step, boot: bool) -> None:
    path = directory / f"{name}.yml"
    path.write_text(yaml.safe_dump(system(directory, step), sort_keys=False))
    more = [*(["--release"] if step.release else []), "-q", str(path)]
    figures = directory / f"{name}.json"
    footprint = ["footprint", "--json", str(figures), "--format", "kernel+erofs", *([] if boot else ["--no-boot"])]
    for words in ([*footprint, *more], ["build", "--format", "iso-efi", "--dir", str(directory), *more]):
        command = ["./hullkit", *words]
        sys.stderr.write(f"{shlex.join(command)}\n")
        subprocess.run(command, cwd=CHECKOUT, check=True, stdout=subprocess.DEVNULL)


def row(directory: Path, name: str, number: int, step: Step, before: int | None) -> list[str]:
    measured = json.loads((directory / f"{name}.json").read_bytes())
    size = measured["disk"]["bytes"]
    iso = (directory / f"{name}-efi.iso").stat().st_size
    saved = f"{size - before:+,}" if before is not None else ""
    used, cpu = "", ""
    if measured.get("memory"):
        used, cpu = megabytes(measured["memory"]["used"]), seconds(measured["boot"]["cpu"])
    return [f"{number}. {step.title}", f"{size:,}", saved, megabytes(iso), used, cpu]


def tables(directory: Path) -> Iterator[str]:
    for way, steps in WAYS.items():
        rows: list[list[str]] = []
        before = None
        for number, step in enumerate(steps, 1):
            name = f"{way}-{number}"
            if (directory / f"{name}.json").is_file():
                rows.append(row(directory, name, number, step, before))
                before = json.loads((directory / f"{name}.json").read_bytes())["disk"]["bytes"]
        yield from table([way, "kernel+initrd, bytes", "saved", "iso-efi", "memory in use", "CPU until up"], rows)
        yield ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--only", action="append")
    parser.add_argument("--no-boot", action="store_true")
    parser.add_argument("--tables", action="store_true")
    parser.add_argument("--document", type=Path)
    given = parser.parse_args()
    directory = given.directory.absolute()
    directory.mkdir(parents=True, exist_ok=True)
    write_recipes(directory)
    for way, steps in WAYS.items():
        for number, step in enumerate(steps, 1):
            name = f"{way}-{number}"
            if not given.tables and (not given.only or name in given.only):
                measure(name, directory, step, boot=not given.no_boot)
    text = "\n".join(tables(directory))
    sys.stdout.write(text)
    if given.document:
        write(given.document, text, _MARK)


if __name__ == "__main__":
    main()
