"""Measure hullkit's examples and two Debian systems with the same command, and print docs/comparison.md's tables.

    .venv/bin/python bench/comparison.py DIR                all of it; what is measured is kept in DIR as JSON
        --runs N --min-memory                               as of hullkit footprint (--min-memory takes very long)
        --only NAME                                         one system, by the name of its JSON; may be given again
        --tables                                            measure nothing: the tables of what is there
        --document docs/comparison.md                       put the tables there too

The Debian systems are made below DIR by scripts/debian-cloud when they are not there; that needs mmdebstrap.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parent.parent
#: the share of memory and the files that are there for the measurement only
_AGENT = "hullkit-agent"


@dataclass(frozen=True)
class Row:
    """A system and a way to boot it: the name of its JSON, its title, and the words after ``hullkit footprint``."""

    name: str
    title: str
    words: str


ROWS = (
    Row("tiny-disk", "tiny, packed, root on a disk", "examples/tiny.yml --format kernel+erofs"),
    Row("tiny", "tiny, packed, in memory", "examples/tiny.yml"),
    Row("tiny-flat", "tiny, flat, in memory", "examples/tiny.yml --layout flat"),
    Row("minimal-disk", "minimal, packed, root on a disk", "examples/minimal.yml --format kernel+erofs"),
    Row("minimal", "minimal, packed, in memory", "examples/minimal.yml"),
    Row("minimal-flat", "minimal, flat, in memory", "examples/minimal.yml --layout flat"),
    Row("debian-small", "Debian, as little as does the same", "machine {directory}/debian-small.yml"),
    Row("debian-cloud", "Debian, as in a cloud", "machine {directory}/debian-cloud.yml"),
)


def command(row: Row, directory: Path | str) -> list[str]:
    return ["./hullkit", "footprint", *row.words.format(directory=directory).split()]


def measure(row: Row, directory: Path, more: list[str]) -> None:
    machine = directory / f"{row.name}.yml"
    if row.words.startswith("machine") and not machine.is_file():
        small = ["--small"] if row.name == "debian-small" else []
        subprocess.run(["scripts/debian-cloud", str(directory), *small], cwd=CHECKOUT, check=True, stdout=sys.stderr)
    words = [*command(row, directory), "--json", str(directory / f"{row.name}.json"), "--files", "0", "-q", *more]
    sys.stderr.write(f"{shlex.join(words)}\n")
    subprocess.run(words, cwd=CHECKOUT, check=True, stdout=subprocess.DEVNULL)


def disk_row(measured: dict[str, Any]) -> list[str]:
    disk, surface = measured["disk"], measured["surface"]
    real = [part for part in disk["parts"] if not part["package"].startswith("(")]
    packages = {part["package"].partition("_")[0] for part in real} - {""}
    # two addresses, or two versions of IP, are one port
    ports = {(each["protocol"].rstrip("6"), each["port"]) for each in surface["ports"] if not each["private"]}
    services = [each for each in surface["containers"] if each["kind"] == "services"]
    mighty = sum("CAP_SYS_ADMIN" in each["capabilities"] for each in services)
    open_ = sum(each["seccomp"] == "unconfined" for each in services)
    return [
        megabytes(disk["bytes"]),
        megabytes(sum(part["size"] for part in real)),
        f"{sum(len(part['files']) for part in real):,}",
        f"{len(packages)}",
        f"{sum(each['files'] for each in surface['executables']):,}",
        f"{len(surface['privileged'])}",
        f"{surface['modules']:,}",
        f"{len(ports)}",
        f"{len(services)}, {mighty}, {open_}",
    ]


def memory_row(measured: dict[str, Any]) -> list[str]:
    memory, boot = measured["memory"], measured["boot"]
    free = sum(share["bytes"] for share in memory["shares"] if share["kind"] == "free")
    cached = memory["total"] - memory["used"] - free
    used = memory["used"]
    for share in memory["shares"]:
        if share["name"] == _AGENT:
            files = share["file"] - share["tmpfs"]
            used, cached = used - (share["bytes"] - files), cached - files
    smallest = f"{memory['minimum']} MiB" if memory["minimum"] is not None else "not looked for"
    return [megabytes(used), megabytes(cached), smallest, seconds(boot["cpu"]), seconds(boot["up"])]


def megabytes(count: float) -> str:
    return f"{count / 1e6:.1f} MB"


def seconds(spread: dict[str, float] | None) -> str:
    return f"{spread['median']:.1f} s" if spread is not None else "not known"


DISK = "disk, contents, files, packages, can be executed, raise privileges, modules, ports"
DISK_HEAD = ["system", *DISK.split(", "), "services; with CAP_SYS_ADMIN; without seccomp"]
MEMORY_HEAD = ["system", "memory in use", "cached files", "smallest memory", "CPU time until up", "until up"]


def table(head: list[str], rows: list[list[str]]) -> Iterator[str]:
    yield "| " + " | ".join(head) + " |"
    yield "|---|" + "---:|" * (len(head) - 1)
    for row in rows:
        yield "| " + " | ".join(row) + " |"


def tables(directory: Path) -> Iterator[str]:
    found = []
    for row in ROWS:
        path = directory / f"{row.name}.json"
        if path.is_file():
            found.append((row, json.loads(path.read_bytes())))
    yield from table(DISK_HEAD, [[row.title, *disk_row(measured)] for row, measured in found])
    yield ""
    yield from table(MEMORY_HEAD, [[row.title, *memory_row(measured)] for row, measured in found])
    boots = {tuple(each["boot"][name] for name in ("accel", "cpus", "mem", "runs")) for _, each in found}
    for accel, cpus, mem, runs in sorted(boots):
        yield ""
        yield f"Measured with {accel}, {cpus} processors, {mem} MiB, {runs} run{'s' if runs > 1 else ''}."


def write(document: Path, text: str, name: str) -> None:
    """Put a text between the lines of a document that are for it: a comment with ``name``, and one that says end."""
    first, last = f"<!-- {name} -->\n", "<!-- end -->\n"
    before, begin, rest = document.read_text().partition(first)
    _, end, after = rest.partition(last)
    if not begin or not end:
        sys.exit(f"{document}: there is no place between {first.strip()} and {last.strip()}")
    document.write_text(f"{before}{begin}{text}{end}{after}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--min-memory", action="store_true")
    parser.add_argument("--only", action="append", choices=[row.name for row in ROWS])
    parser.add_argument("--tables", action="store_true")
    parser.add_argument("--document", type=Path)
    given = parser.parse_args()
    directory = given.directory.absolute()
    directory.mkdir(parents=True, exist_ok=True)
    more = ["--runs", str(given.runs), *(["--min-memory"] if given.min_memory else [])]
    for row in ROWS:
        if not given.tables and (not given.only or row.name in given.only):
            measure(row, directory, more)
    text = "\n".join(tables(directory)) + "\n"
    sys.stdout.write(text)
    if given.document:
        write(given.document, text, "bench/comparison.py")


if __name__ == "__main__":
    main()
