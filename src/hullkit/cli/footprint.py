"""hullkit footprint"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from hullkit.cache import atomic_write
from hullkit.cli.common import context_options
from hullkit.cli.inputs import input_options, load_system, lock_path, name_of
from hullkit.context import Context
from hullkit.errors import CheckFailed, ConfigError, NotFound

if TYPE_CHECKING:
    from hullkit.config.model import SystemConfig
    from hullkit.footprint.model import Footprint
    from hullkit.machine.boot import BootFiles
    from hullkit.machine.options import MachineOptions
    from hullkit.machine.report import Report

Function = TypeVar("Function", bound=Callable[..., Any])

#: formats that can be booted to measure memory and time
_BOOTED = ("kernel+initrd", "kernel+erofs")
_FORMAT = click.option(
    "--format",
    "booted",
    type=click.Choice(_BOOTED),
    default=_BOOTED[0],
    show_default=True,
    help="What is booted; the disk is always accounted as kernel+initrd.",
)
_MACHINE = [
    click.option("--no-boot", is_flag=True, help="Only what is known without a boot: disk and attack surface."),
    click.option("--runs", type=click.IntRange(1, 100), default=1, show_default=True, help="How many boots to time."),
    click.option("--mem", metavar="MIB", default="512", show_default=True, help="Memory; also as 512M or 2G."),
    click.option("--cpus", type=int, help="Processors.  [default: 2, or 1 on a host with one]"),
    click.option("--accel", default="auto", show_default=True, help="auto (KVM where it works), kvm, tcg or hvf."),
    click.option("--qemu", type=click.Path(path_type=Path), help="A QEMU of your own."),
    click.option("--timeout", type=float, metavar="SECONDS", help="Until all must be up.  [default: 180, TCG 360]"),
]
_REPORT = [
    click.option("--html", type=click.Path(path_type=Path), metavar="FILE", help="Write a report with pictures."),
    click.option("--json", "json_file", metavar="FILE|-", help="Write all figures as JSON."),
    click.option("--files", "depth", type=click.IntRange(0), default=3, show_default=True, help="Files per component."),
    click.option("--min-memory", is_flag=True, help="Also find the smallest memory that it works in (many boots)."),
]
_MACHINE_NAMES = ("no_boot", "booted", "runs", "mem", "cpus", "accel", "qemu", "timeout")


def _add(options: Sequence[Callable[[Any], Any]], function: Function) -> Function:
    wrapped: Any = function
    for option in reversed(options):
        wrapped = option(wrapped)
    return wrapped  # type: ignore[no-any-return]


def machine_options(function: Function) -> Function:
    """Add the options about boots."""
    return _add(_MACHINE, function)


def report_options(function: Function) -> Function:
    """Add the options about what is told."""
    return _add(_REPORT, function)


class _WithCommands(click.Group):
    """``footprint FILE...`` measures; only ``diff`` and ``machine`` in the first place are commands."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, args if args[:1] in (["diff"], ["machine"]) else ["measure", *args])


@click.group(cls=_WithCommands)
def command() -> None:
    """Tell what a system costs."""


@command.command()
@input_options
@report_options
@_FORMAT
@machine_options
@context_options
def measure(
    context: Context,
    host_tools: bool,
    files: tuple[str, ...],
    html: Path | None,
    json_file: str | None,
    depth: int,
    min_memory: bool,
    **given: Any,
) -> None:
    """Build and boot the system that the FILEs describe, and tell what it costs in disk, memory, boot time and attack
    surface, by component. A budget that is broken is an error, after the report.

    "hullkit footprint diff A B" compares two systems, or what --json wrote of them; "hullkit footprint machine FILE"
    measures a system that hullkit did not build.
    """
    _check_boots(min_memory, given)
    config, footprint = _measure(context, host_tools, files, given, min_memory=min_memory)
    _tell(footprint, html, json_file, depth)
    _hold_to_budget(config, footprint)


@command.command()
@click.argument("file", type=click.Path(path_type=Path))
@report_options
@machine_options
@context_options
def machine(
    context: Context,
    host_tools: bool,
    file: Path,
    html: Path | None,
    json_file: str | None,
    depth: int,
    min_memory: bool,
    **given: Any,
) -> None:
    """Tell what a system costs that hullkit did not build: the machine that FILE describes, a YAML file with name,
    kernel, initrd, cmdline, disk (its image) and root (a tar archive of its files, for the account).
    """
    from hullkit.footprint.foreign import load_foreign, machine_of, measure_foreign, with_foreign_boots
    from hullkit.footprint.measure import with_minimum

    _check_boots(min_memory, given)
    foreign = load_foreign(context, file)
    footprint = measure_foreign(context, foreign)
    if not given["no_boot"]:
        options = machine_of(foreign, _machine(context, host_tools, given))
        footprint = with_foreign_boots(footprint, _boots(context, foreign.boot, options, given["runs"]))
        if min_memory:
            footprint = with_minimum(footprint, _minimum(context, foreign.boot, options))
    _tell(footprint, html, json_file, depth)


def _check_boots(min_memory: bool, given: dict[str, Any]) -> None:
    if min_memory and given["no_boot"]:
        raise ConfigError("--min-memory needs boots, and --no-boot forbids them")


def _tell(footprint: Footprint, html: Path | None, json_file: str | None, depth: int) -> None:
    from hullkit.footprint.model import to_json

    if json_file == "-":
        sys.stdout.write(to_json(footprint).decode())
    elif json_file is not None:
        atomic_write(Path(json_file), to_json(footprint))
    if html is not None:
        from hullkit.footprint.html.page import page

        atomic_write(html, page(footprint).encode())
    if json_file != "-":
        from hullkit.cli.footprint_text import render

        sys.stdout.write(render(footprint, depth))
    sys.stdout.flush()


@command.command()
@click.argument("before", metavar="A")
@click.argument("after", metavar="B")
@click.option("--json", "as_json", is_flag=True, help="Print the difference as JSON.")
@click.option("--files", "depth", type=click.IntRange(0), default=5, show_default=True, help="Files per component.")
@_FORMAT
@machine_options
@context_options
def diff(context: Context, host_tools: bool, before: str, after: str, as_json: bool, depth: int, **given: Any) -> None:
    """Tell what B costs more or less than A, and under which component.

    Each is a YAML file, which is built and booted, or a file that "footprint --json" wrote.
    """
    from hullkit.footprint.diff import difference
    from hullkit.footprint.model import to_json

    found = difference(*(_footprint_of(context, host_tools, each, given) for each in (before, after)))
    if as_json:
        sys.stdout.write(to_json(found).decode())
    else:
        from hullkit.cli.footprint_text import render_difference

        sys.stdout.write(render_difference(found, depth))


def _footprint_of(context: Context, host_tools: bool, file: str, given: dict[str, Any]) -> Footprint:
    from hullkit.footprint.model import from_json

    if not file.endswith(".json"):
        inputs = {"name": None, "layout": None, "pull": False, "locked": False, "lock_file": None}
        return _measure(context, host_tools, (file,), {**given, **inputs})[1]
    try:
        data = Path(file).read_bytes()
    except OSError as error:
        raise NotFound(f"{file}: {error.strerror}") from error
    return from_json(data, file)


def _measure(
    context: Context, host_tools: bool, files: tuple[str, ...], given: dict[str, Any], *, min_memory: bool = False
) -> tuple[SystemConfig, Footprint]:
    from hullkit.footprint.disk import FORMAT
    from hullkit.footprint.measure import measure_built, with_boots, with_minimum
    from hullkit.lock.lock import find_lock
    from hullkit.machine.boot import BootFiles
    from hullkit.output import write_formats

    inputs = {name: value for name, value in given.items() if name not in _MACHINE_NAMES}
    context, config, system = load_system(context, files, host_tools=host_tools, budget=False, **inputs)
    lock = find_lock(lock_path(files, inputs["lock_file"]), context.arch, required=False, strict=inputs["locked"])
    name = name_of(files, inputs["name"])
    with context.cache.temp_dir() as work:
        write_formats(context, system, [FORMAT], work / "system", name)
        boot = BootFiles.from_prefix(work / "system" / name)
        footprint = measure_built(context, config, system, lock, boot.initrd.stat().st_size)
        if given["no_boot"]:
            return config, footprint
        if given["booted"] != FORMAT:
            write_formats(context, system, [given["booted"]], work / "booted", name)
            boot = BootFiles.from_prefix(work / "booted" / name)
        options = _machine(context, host_tools, given)
        footprint = with_boots(footprint, _boots(context, boot, options, given["runs"]))
        if min_memory:
            footprint = with_minimum(footprint, _minimum(context, boot, options))
    return config, footprint


def _machine(context: Context, host_tools: bool, given: dict[str, Any]) -> MachineOptions:
    from hullkit.machine.options import MIB, MachineOptions, default_cpus, parse_accel, parse_size

    return MachineOptions(
        cpus=given["cpus"] if given["cpus"] is not None else default_cpus(),
        mem=parse_size(given["mem"], "--mem") // MIB,
        arch=context.arch,
        accel=parse_accel(given["accel"]),
        host_tools=host_tools,
        qemu=given["qemu"],
        timeout=given["timeout"],
    )


def _boots(context: Context, boot: BootFiles, options: MachineOptions, runs: int) -> list[Report]:
    reports = []
    for _ in range(runs):
        report = _boot(context, boot, options)
        if not report.ok:
            raise CheckFailed("; ".join(f"{failure.culprit}: {failure.message}" for failure in report.failures))
        reports.append(report)
    return reports


def _boot(context: Context, boot: BootFiles, options: MachineOptions) -> Report:
    from hullkit.machine.check import run_check
    from hullkit.machine.process import Stopped, stop_signals

    try:
        with stop_signals():
            return run_check(context, boot, options)
    except Stopped as stopped:
        context.bus.info(f"stopped by {stopped}")
        raise SystemExit(128 + stopped.signum) from None


def _minimum(context: Context, boot: BootFiles, options: MachineOptions) -> int:
    import dataclasses

    from hullkit.footprint.minimum import smallest_memory
    from hullkit.machine.options import MIB, MIN_MEM_MIB

    def once(mem: int, limit: float | None) -> Report:
        with context.bus.step(f"try {mem} MiB"):
            timeout = limit or options.timeout
            return _boot(context, boot, dataclasses.replace(options, mem=mem, timeout=timeout))

    size = boot.kernel.stat().st_size + boot.initrd.stat().st_size
    return smallest_memory(once, max(MIN_MEM_MIB, -(-size // MIB)))


def _hold_to_budget(config: SystemConfig, footprint: Footprint) -> None:
    if config.budget is None:
        return
    from hullkit.footprint.budget import broken, of_disk, of_run

    breaches = of_disk(footprint, config.budget)
    breaches += of_run(footprint.memory, footprint.boot, footprint.surface.ports or (), config.budget)
    if breaches:
        raise broken(config, breaches)
