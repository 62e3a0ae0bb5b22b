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
import re
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


class Contender:
    """One command on a cache of its own. ``pull`` fills an empty cache with the images and makes nothing of them."""

    def __init__(self, name: str, work: Path, original: str, template: str, pull: str) -> None:
        self.name = name
        self._cache, self._out, self._yml = work / name / "cache", work / name / "out", work / name / "minimal.yml"
        self._out.mkdir(parents=True)
        self._original = original
        self._places = {"cache": self._cache, "out": self._out, "yml": self._yml}
        self._build, self._pull = template, pull

    def _words(self, template: str, form: str = "") -> list[str]:
        return shlex.split(template.format(format=form, **self._places))

    def _once(self, form: str, text: str) -> Sample:
        shutil.rmtree(self._out)
        self._out.mkdir()
        self._yml.write_text(text)
        return measure(self._words(self._build, form), dict(os.environ), self._out)

    def cold(self, form: str) -> Sample:
        shutil.rmtree(self._cache, ignore_errors=True)
        return self._once(form, self._original)

    def first(self, form: str) -> Sample:
        if self._pull:
            shutil.rmtree(self._cache, ignore_errors=True)
            measure(self._words(self._pull), dict(os.environ))
        return self._once(form, self._original)

    def unchanged(self, form: str) -> Sample:
        return self._once(form, self._original)

    def file_changed(self, form: str) -> Sample:
        return self._once(form, self._original.replace("hello", f"hello {time.time_ns()}"))

    def service_changed(self, form: str) -> Sample:
        return self._once(form, self._original.replace("INSECURE=true", f"INSECURE={time.time_ns()}"))


CASES: dict[str, Callable[[Contender, str], Sample]] = {
    "cold, with pull": Contender.cold,
    "first, images in the cache": Contender.first,
    "nothing changed": Contender.unchanged,
    "one files: line changed": Contender.file_changed,
    "one service changed": Contender.service_changed,
}


def reference(directory: Path, registry: str, versus: str | None, runs: int) -> None:
    """The reference system, in both formats and every case; contenders take turns, run by run."""
    original = (directory / "minimal.yml").read_text()
    images = " ".join(sorted(set(re.findall(r"\S+/\S+:v1", original))))
    options = f"--mirror docker.io=http://{registry} --cache {{cache}}"
    build = f"{HULLKIT} build -q {options} --format {{format}} --no-sbom --dir {{out}} {{yml}}"
    with scratch() as work:
        contenders = [Contender("hullkit", work, original, build, f"{HULLKIT} cache pull -q {options} {images}")]
        if versus:
            contenders.append(Contender("other", work, original, versus, ""))
        for form in ("tar", "kernel+initrd"):
            for case, run in CASES.items():
                samples: dict[str, list[Sample]] = {each.name: [] for each in contenders}
                for _ in range(runs):
                    for each in contenders:
                        samples[each.name].append(run(each, form))
                middle = {name: show(f"{name} {form}: {case}", found) for name, found in samples.items()}
                if versus:
                    ratio = middle["other"].cpu / middle["hullkit"].cpu
                    sys.stdout.write(f"    the other command takes {ratio:.1f} times the CPU\n")


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
