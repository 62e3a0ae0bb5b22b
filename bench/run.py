"""Measure hullkit: time, memory and bytes of whole processes, several runs each, medians shown.

    make bench                                         the examples: unchanged and changed builds, starting, a boot
    .venv/bin/python bench/run.py reference DIR        a reference system: DIR/minimal.yml, its images in a registry
        --registry 127.0.0.1:5000                      where the images are (no TLS)
        --versus 'OTHER build --format {format} ... {yml}'   another command beside it, in turn; {format} {out} {yml}
                                                       {cache} stand for what they say

CPU is user + system seconds of the process and its children as the kernel accounts them; peak is the largest resident
process. Compare ratios of one run: machines drift.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
HULLKIT = str(CHECKOUT / "hullkit")


@dataclass(frozen=True)
class Sample:
    """One run of a process."""

    wall: float
    cpu: float
    peak_mib: float
    out_bytes: int


def measure(command: list[str], environment: dict[str, str], out: Path | None = None) -> Sample:
    """Run a command to its end in a child that waits for it, so that its accounting is its own."""
    begun = time.monotonic()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    message = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.monotonic() - begun
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{shlex.join(command)}: exit {process.returncode}\n{message.decode(errors='replace')[-2000:]}")
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file()) if out else 0
    return Sample(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, size)


def show(title: str, samples: list[Sample]) -> Sample:
    """Print medians and the spread of CPU; return the medians."""
    middle = Sample(*(statistics.median(getattr(each, name) for each in samples) for name in Sample.__annotations__))
    spread = f"{min(s.cpu for s in samples):.2f}-{max(s.cpu for s in samples):.2f}"
    size = f"{middle.out_bytes:,} bytes" if middle.out_bytes else ""
    sys.stdout.write(
        f"{title:44} CPU {middle.cpu:6.2f} s ({spread})  wall {middle.wall:6.2f} s  "
        f"peak {middle.peak_mib:5.0f} MiB  {size}\n"
    )
    sys.stdout.flush()
    return middle


@contextmanager
def scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="hullkit-bench-", dir="/var/tmp") as name:
        yield Path(name)


def environment(cache: Path) -> dict[str, str]:
    return {**os.environ, "HULLKIT_CACHE": str(cache)}


def examples(runs: int) -> None:
    """What somebody meets who works on examples/web.yml; the cache is kept between calls of this program."""
    cache = Path(os.environ.get("HULLKIT_BENCH_CACHE", "/var/tmp/hullkit-bench-cache"))
    with scratch() as work:
        text = (CHECKOUT / "examples/web.yml").read_text()
        yml = work / "web.yml"
        yml.write_text(text)
        build = [HULLKIT, "build", "-q", "--dir", str(work / "out"), str(yml)]
        show("hullkit --help", [measure([HULLKIT, "--help"], environment(cache)) for _ in range(runs)])
        show("web.yml, first build of this cache", [measure(build, environment(cache), work / "out")])
        show("web.yml, nothing changed", [measure(build, environment(cache), work / "out") for _ in range(runs)])
        changed = []
        for number in range(runs):
            yml.write_text(text.replace("cannot be written", f"cannot be written {number} {time.time_ns()}"))
            changed.append(measure(build, environment(cache), work / "out"))
        show("web.yml, one files: line changed", changed)
    for example in sorted((CHECKOUT / "examples").glob("*.yml")):
        boot(example, cache)


def boot(example: Path, cache: Path) -> None:
    command = [HULLKIT, "run", "-q", "--check", "--json", str(example)]
    done = subprocess.run(command, env=environment(cache), capture_output=True, text=True)
    report = json.loads(done.stdout)
    if not report["ok"]:
        sys.stdout.write(f"{example.name}: {report['message']}\n")
        return
    host, memory = report["host"], report["guest"]["memory"]
    sys.stdout.write(
        f"{example.name + ', boot to all up':44} CPU {host['up_cpu_seconds']:6.2f} s            "
        f"wall {host['up_seconds']:6.2f} s  memory used {(memory['total'] - memory['available']) / 1e6:.0f} MB  "
        f"image {host['kernel_bytes'] + host['initrd_bytes']:,} bytes\n"
    )


def reference(directory: Path, registry: str, versus: str | None, runs: int) -> None:
    """The reference system: cold (with pull), first build from a warm cache, changed, unchanged."""
    for form in ("tar", "kernel+initrd"):
        contenders: list[tuple[str, Callable[[Path, Path, Path], list[str]]]] = [
            ("hullkit", lambda cache, yml, out, form=form: hullkit_command(cache, yml, out, form, registry))
        ]
        if versus:
            contenders.append(
                ("other", lambda cache, yml, out, form=form: other_command(versus, cache, yml, out, form))
            )
        results = {name: series(name, form, directory, command, runs) for name, command in contenders}
        if versus:
            for case, sample in results["hullkit"].items():
                ratio = results["other"][case].cpu / sample.cpu
                sys.stdout.write(f"{form}, {case}: the other command takes {ratio:.1f} times the CPU\n")


def hullkit_command(cache: Path, yml: Path, out: Path, form: str, registry: str) -> list[str]:
    mirror = f"docker.io=http://{registry}"
    options = ["--mirror", mirror, "--cache", str(cache), "--format", form, "--no-sbom", "--dir", str(out)]
    return [HULLKIT, "build", "-q", *options, str(yml)]


def other_command(template: str, cache: Path, yml: Path, out: Path, form: str) -> list[str]:
    return shlex.split(template.format(cache=cache, yml=yml, out=out, format=form))


def series(
    name: str, form: str, directory: Path, command: Callable[[Path, Path, Path], list[str]], runs: int
) -> dict[str, Sample]:
    """Cold, first, unchanged and changed builds of one contender."""
    with scratch() as work:
        cache, out, yml = work / "cache", work / "out", work / "minimal.yml"
        original = (directory / "minimal.yml").read_text()
        yml.write_text(original)
        out.mkdir()
        words = command(cache, yml, out)

        def once() -> Sample:
            shutil.rmtree(out)
            out.mkdir()
            return measure(words, dict(os.environ), out)

        def cold() -> Sample:
            shutil.rmtree(cache, ignore_errors=True)
            return once()

        def first() -> Sample:
            # images stay, what was made of them goes
            shutil.rmtree(cache / "steps", ignore_errors=True)
            return once()

        def changed() -> Sample:
            yml.write_text(original.replace("hello", f"hello {time.time_ns()}"))
            return once()

        def service() -> Sample:
            yml.write_text(original.replace("INSECURE=true", f"INSECURE={time.time_ns()}"))
            return once()

        cases = {
            "cold, with pull": cold,
            "first, images in the cache": first,
            "nothing changed": once,
            "one files: line changed": changed,
            "one service changed": service,
        }
        return {case: show(f"{name} {form}: {case}", [run() for _ in range(runs)]) for case, run in cases.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    sub = parser.add_subparsers(dest="what")
    other = sub.add_parser("reference")
    other.add_argument("directory", type=Path)
    other.add_argument("--registry", default="127.0.0.1:5000")
    other.add_argument("--versus")
    given = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if given.what == "reference":
        reference(given.directory, given.registry, given.versus, given.runs)
    else:
        examples(given.runs)


if __name__ == "__main__":
    main()
