"""hullkit run"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hullkit.cli.common import context_options
from hullkit.cli.inputs import input_options, load_system, name_of
from hullkit.context import Context
from hullkit.errors import (
    CheckFailed,
    ConfigError,
    DriftError,
    HostError,
    HullError,
    NetworkError,
    NotFound,
    ToolError,
    TrustError,
)

if TYPE_CHECKING:
    from hullkit.config.model import Budget
    from hullkit.machine.boot import Boot
    from hullkit.machine.options import MachineOptions
    from hullkit.machine.ports import HttpCheck
    from hullkit.machine.report import Report

#: a published port stays reachable for so long after the checks, so that somebody can try it
_HOLD_PUBLISHED = 10.0
#: options about the machine and the run; all others are about the input (``cli.inputs``)
_ABOUT_THE_MACHINE = frozenset(
    [
        "cpus",
        "mem",
        "disks",
        "publish",
        "networking",
        "data",
        "data_file",
        "accel",
        "qemu",
        "devices",
        "timeout",
        "hold",
        "console_log",
        "format_name",
        "iso",
        "uefi",
        "as_disk",
    ]
)
#: formats that "run" can boot
_BOOTABLE = ("kernel+initrd", "kernel+erofs", "iso-efi")
#: what ``--json`` names as the culprit when the run broke off before there was a machine to blame
_CULPRITS: dict[type[HullError], str] = {
    ConfigError: "configuration",
    NotFound: "input",
    NetworkError: "network",
    TrustError: "trust",
    ToolError: "tool",
    HostError: "host",
    DriftError: "lock",
}


@click.command()
@input_options
@click.option("--check", is_flag=True, help="Boot without a person, run the checks, power off, report.")
@click.option("--json", "as_json", is_flag=True, help="With --check: the report as JSON.")
@click.option("--cpus", type=int, help="Processors.  [default: 2, or 1 on a host with one]")
@click.option("--mem", metavar="MIB", default="1024", show_default=True, help="Memory; also as 512M or 2G.")
@click.option("--disk", "disks", multiple=True, metavar="FILE[,size=1G][,format=qcow2|raw]", help="A virtio disk.")
@click.option("--publish", multiple=True, metavar="[ADDR:]HOST:GUEST[/udp]", help="Make a port of the guest reachable.")
@click.option(
    "--networking", metavar="MODE", default="user", show_default=True, help="user, none, bridge,IF or tap,IF."
)
@click.option("--data", metavar="TEXT", help="Metadata for the guest, on a CD.")
@click.option("--data-file", type=click.Path(path_type=Path), help="The same from a file.")
@click.option("--accel", default="auto", show_default=True, help="auto (KVM where it works), kvm, tcg or hvf.")
@click.option("--qemu", type=click.Path(path_type=Path), help="A QEMU of your own.")
@click.option("--device", "devices", multiple=True, metavar="DEVICE", help="A further -device of QEMU.")
@click.option(
    "--timeout", type=float, metavar="SECONDS", help="With --check: until all must be up.  [default: 180, TCG 360]"
)
@click.option(
    "--hold", type=float, metavar="SECONDS", help="With --check: stay up after the checks.  [default: 0, published 10]"
)
@click.option(
    "-f",
    "--format",
    "format_name",
    metavar="FORMAT",
    help="What to build and boot.  [default: kernel+initrd, EFI: iso-efi]",
)
@click.option("--iso", is_flag=True, help="Boot an ISO image from a CD: FILE is one, or iso-efi is built.")
@click.option("--uefi", is_flag=True, help="Boot by EFI firmware, as every ISO image is.")
@click.option("--as-disk", is_flag=True, help="Attach the ISO image as a disk, as a USB stick is one.")
@click.option("--console-log", type=click.Path(path_type=Path), help="Keep what the guest writes on its console.")
@context_options
def command(
    context: Context, host_tools: bool, files: tuple[str, ...], check: bool, as_json: bool, **given: Any
) -> None:
    """Build the system that the FILEs describe and boot it, with its console on this terminal.

    Instead of FILEs, the PREFIX of what "hullkit build" wrote (PREFIX-kernel, PREFIX-initrd.img, PREFIX-cmdline, and
    PREFIX-erofs.img) boots that, or an ISO image.
    """
    if as_json and not check:
        raise ConfigError("--json is for run --check")
    try:
        report = _run(context, host_tools, files, check, given)
    except BaseException as error:
        if as_json:
            _print_json(_broken_off(error))
        raise
    if report is not None:
        _tell(report, as_json, context)


def _run(
    context: Context, host_tools: bool, files: tuple[str, ...], check: bool, given: dict[str, Any]
) -> Report | None:
    """Build and boot; the report of a checked run, None after an interactive one."""
    from hullkit.machine.process import Stopped, stop_signals

    inputs = {name: value for name, value in given.items() if name not in _ABOUT_THE_MACHINE}
    options = machine_options(context, host_tools, given)
    hold, console_log = given["hold"], given["console_log"]
    if hold is not None and not 0 <= hold < 1e7:
        raise ConfigError(f"--hold {hold:g}: not a number of seconds")
    with ExitStack() as stack:
        work = stack.enter_context(context.cache.temp_dir())
        medium = MediumOptions(given["format_name"], given["iso"], given["uefi"], given["as_disk"])
        prepared = prepare(context, files, work / "system", medium, host_tools=host_tools, **inputs)
        stack.enter_context(stop_signals())
        try:
            if not check:
                from hullkit.machine.console import run_console

                context.bus.info(run_console(prepared.context, prepared.boot, options, console_log=console_log))
                return None
            from hullkit.machine.check import run_check

            report = run_check(
                prepared.context,
                prepared.boot,
                options,
                http_checks=prepared.http_checks,
                hold=hold if hold is not None else (_HOLD_PUBLISHED if options.publish else 0.0),
                console_log=console_log,
            )
            return _judged(report, prepared.budget)
        except Stopped as stopped:
            context.bus.info(f"stopped by {stopped}")
            raise SystemExit(128 + stopped.signum) from None


def _judged(report: Report, budget: Budget | None) -> Report:
    if budget is None:
        return report
    from hullkit.footprint.budget import judged

    return judged(report, budget)


@dataclass(frozen=True, slots=True)
class Prepared:
    """What there is to boot; ``http_checks`` and ``budget`` are those of the configuration (none for a PREFIX)."""

    context: Context
    boot: Boot
    http_checks: tuple[HttpCheck, ...] = ()
    budget: Budget | None = None


@dataclass(frozen=True, slots=True)
class MediumOptions:
    """What is booted: a format (None: by the other options), LinuxKit's --iso and --uefi, the image as a disk."""

    format: str | None = None
    iso: bool = False
    uefi: bool = False
    as_disk: bool = False

    @property
    def efi(self) -> bool:
        return self.iso or self.uefi or self.as_disk

    def to_build(self) -> str:
        name = self.format or ("iso-efi" if self.efi else "kernel+initrd")
        if name not in _BOOTABLE:
            raise ConfigError(f"--format {name}: cannot be booted here", hint="one of " + ", ".join(_BOOTABLE))
        if self.efi and name != "iso-efi":
            raise ConfigError(f"--format {name} is not booted by EFI", hint="--format iso-efi")
        return name


def prepare(
    context: Context,
    files: tuple[str, ...],
    directory: Path,
    medium: MediumOptions,
    *,
    host_tools: bool,
    **inputs: Any,
) -> Prepared:
    """Build the FILEs into ``directory``, or find the files of a PREFIX, or an ISO image."""
    from hullkit.machine.boot import BootFiles, BootMedium
    from hullkit.machine.ports import HttpCheck

    built = medium.to_build()
    if image := iso_file(files, medium.iso):
        return Prepared(context, BootMedium(image, medium.as_disk))
    if is_prefix(files):
        if medium.efi or medium.format == "iso-efi":
            image = Path(files[0] + "-efi.iso")
            if not image.is_file():
                raise NotFound(f"{files[0]}: there is no {image.name}", hint="hullkit build --format iso-efi makes one")
            return Prepared(context, BootMedium(image, medium.as_disk))
        return Prepared(context, BootFiles.from_prefix(Path(files[0])))
    context, config, system = load_system(context, files, host_tools=host_tools, **inputs)
    from hullkit.output import write_formats

    name = name_of(files, inputs["name"])
    written = write_formats(context, system, [built], directory, name)
    checks = [check.http for check in config.checks if check.http is not None]
    http_checks = tuple(HttpCheck(each.port, each.path, each.status, each.contains or "") for each in checks)
    if built == "iso-efi":
        return Prepared(context, BootMedium(written[0], medium.as_disk), http_checks, config.budget)
    return Prepared(context, BootFiles.from_prefix(directory / name), http_checks, config.budget)


def iso_file(files: tuple[str, ...], given: bool) -> Path | None:
    """The one argument as an ISO image; by its name, or (--iso) whatever its name."""
    path = Path(files[0])
    if len(files) != 1 or not path.is_file():
        return None
    return path if path.suffix == ".iso" or (given and path.suffix not in (".yml", ".yaml")) else None


def is_prefix(files: tuple[str, ...]) -> bool:
    """Whether the one argument names built files instead of YAML."""
    name = files[0]
    return len(files) == 1 and name != "-" and not name.endswith((".yml", ".yaml")) and not Path(name).is_file()


def machine_options(context: Context, host_tools: bool, given: dict[str, Any]) -> MachineOptions:
    from hullkit.machine.disk import MAX_METADATA
    from hullkit.machine.options import (
        MIB,
        Disk,
        MachineOptions,
        Networking,
        Publish,
        default_cpus,
        parse_accel,
        parse_size,
    )

    data = given["data"].encode() if given["data"] is not None else None
    if given["data_file"] is not None:
        if data is not None:
            raise ConfigError("--data and --data-file exclude each other")
        try:
            with open(given["data_file"], "rb") as stream:
                data = stream.read(MAX_METADATA + 1)
        except OSError as error:
            raise NotFound(f"--data-file {given['data_file']}: {error.strerror}") from error
    return MachineOptions(
        cpus=given["cpus"] if given["cpus"] is not None else default_cpus(),
        mem=parse_size(given["mem"], "--mem") // MIB,
        disks=tuple(Disk.parse(text) for text in given["disks"]),
        publish=tuple(Publish.parse(text) for text in given["publish"]),
        networking=Networking.parse(given["networking"]),
        data=data,
        arch=context.arch,
        accel=parse_accel(given["accel"]),
        host_tools=host_tools,
        qemu=given["qemu"],
        devices=given["devices"],
        timeout=given["timeout"],
    )


def _tell(report: Report, as_json: bool, context: Context) -> None:
    """Print the report; raise CheckFailed when it is a bad one."""
    from hullkit.cli.report import render

    if as_json:
        _print_json(report)
    else:
        sys.stdout.write(render(report))
        sys.stdout.flush()
    if report.ok:
        return
    assert report.host is not None
    for log in report.logs:
        sys.stderr.write(f"  {log.container}| {log.line}\n")
    for line in report.console:
        sys.stderr.write(f"  console| {line}\n")
    context.bus.info(f"the whole console is in {report.host.console_log}")
    raise CheckFailed("; ".join(f"{failure.culprit}: {failure.message}" for failure in report.failures))


def _print_json(report: Report) -> None:
    from hullkit.machine.report import to_json

    sys.stdout.write(to_json(report).decode())
    sys.stdout.flush()


def _broken_off(error: BaseException) -> Report:
    """A report for a run that ended before there was one."""
    from hullkit.machine.report import Failure, Report

    if isinstance(error, HullError):
        culprit, message = _CULPRITS.get(type(error), "hullkit"), str(error)
    elif isinstance(error, KeyboardInterrupt | SystemExit):
        culprit, message = "interrupted", "stopped by a signal"
    else:
        culprit, message = "hullkit", f"{type(error).__name__}: {error}"
    return Report(1, False, culprit, message, (Failure(culprit, message),))
