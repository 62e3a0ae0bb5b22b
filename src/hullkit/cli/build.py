"""hullkit build"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import click

from hullkit.assemble.flatoptions import FlatOptions, SbomOptions
from hullkit.assemble.system import System
from hullkit.cache import atomic_files
from hullkit.cli.common import context_options
from hullkit.cli.inputs import INPUTS, input_options, load_config, load_system, name_of
from hullkit.context import Context
from hullkit.errors import ConfigError

_DEFAULT_FORMAT = "kernel+initrd"


@click.command()
@input_options
@click.option("-f", "--format", "formats", multiple=True, metavar="FORMAT[,...]", help="Output formats; ? lists them.")
@click.option("--dir", "directory", type=click.Path(path_type=Path), help="Where outputs go.  [default: .]")
@click.option(
    "-o", "--o", "--output", "output", metavar="FILE|-", help="One file or standard output, for formats of one file."
)
@click.option("--dry-run", is_flag=True, help="Print the merged configuration and build nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the outputs with sizes and digests as JSON.")
@click.option("--decompress-kernel", is_flag=True, help="Flat layout: write what is compressed in the kernel.")
@click.option("--input-tar", type=click.Path(path_type=Path), help="Copy what did not change from an earlier tar.")
@click.option("--no-sbom", is_flag=True, help="Leave out the bill of materials of systems with LinuxKit's init.")
@click.option("--sbom-output", metavar="PATH", default="sbom.spdx.json", show_default=True, help="Its path there.")
@click.option("--sbom-current-time", is_flag=True, help="It says when it was made (so that no two are equal).")
@click.option("--size", metavar="SIZE", default="1024M", help="Size of disks; formats without a disk ignore it.")
@click.option("--docker", is_flag=True, help="Refused: hullkit takes no images from a Docker daemon.")
@context_options
def command(
    context: Context,
    host_tools: bool,
    files: tuple[str, ...],
    formats: tuple[str, ...],
    directory: Path | None,
    output: str | None,
    dry_run: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Build the system that the FILEs describe ("-" is standard input).

    Several files are merged in order. Outputs are named after the last one.
    """
    from hullkit.output import find_format, write_formats
    from hullkit.output import formats as known

    chosen = [each for texts in formats for each in texts.split(",") if each]
    if "?" in chosen or "help" in chosen:
        for each in known().values():
            click.echo(f"{each.name:18} {each.summary}")
        return
    chosen = chosen or (["tar"] if output else [_DEFAULT_FORMAT])
    for name in chosen:
        find_format(name)
    _check(given, chosen, directory, output)
    if dry_run:
        from hullkit.config.dump import dump_yaml

        click.echo(dump_yaml(load_config(context, files)), nl=False)
        return
    inputs = {name: given[name] for name in INPUTS}
    loaded, _, system = load_system(context, files, host_tools=host_tools, flat=_flat_options(given), **inputs)
    if output == "-":
        _write_stream(loaded, system, chosen[0])
        return
    paths = [Path(output)] if output else []
    if output:
        _write_file(loaded, system, chosen[0], paths[0])
    else:
        paths = write_formats(loaded, system, chosen, directory or Path(), name_of(files, given["name"]))
    _report(paths, as_json, context)


def _check(given: dict[str, Any], chosen: list[str], directory: Path | None, output: str | None) -> None:
    """Options that cannot be together, as in LinuxKit; before anything is read."""
    from hullkit.output import find_format

    if given["docker"]:
        raise ConfigError(
            "--docker: hullkit takes no images from a Docker daemon",
            hint="docker save IMAGE | hullkit cache import -",
        )
    if not re.fullmatch(r"[0-9]{1,9}[MG]?", given["size"]):
        raise ConfigError(f"--size {given['size']!r} is not a size", hint="write 1024M or 2G; a plain number is in GiB")
    if given["input_tar"] is not None and given["pull"]:
        raise ConfigError("--input-tar and --pull exclude each other")
    if output is None:
        return
    if len(chosen) != 1 or len(find_format(chosen[0]).suffixes) != 1:
        raise ConfigError(f"--output takes one format of one file, not {', '.join(chosen)}")
    for option, value in (("--name", given["name"]), ("--dir", directory)):
        if value is not None:
            raise ConfigError(f"--output and {option} exclude each other")
    if given["input_tar"] is not None and _is_same(given["input_tar"], Path(output)):
        raise ConfigError("--input-tar and --output are the same file")


def _is_same(one: Path, other: Path) -> bool:
    return one.absolute() == other.absolute() or (one.exists() and other.exists() and one.samefile(other))


def _flat_options(given: dict[str, Any]) -> FlatOptions:
    path = str(given["sbom_output"]).lstrip("/")
    if not path or ".." in path.split("/"):
        raise ConfigError(f"--sbom-output {given['sbom_output']!r} is not a path in the system")
    return FlatOptions(
        decompress_kernel=given["decompress_kernel"],
        input_tar=given["input_tar"],
        sbom=None if given["no_sbom"] else SbomOptions(path, given["sbom_current_time"]),
    )


def _write_stream(context: Context, system: System, name: str) -> None:
    from hullkit.output import write_stream

    write_stream(context, system, name, sys.stdout.buffer)
    sys.stdout.buffer.flush()


def _write_file(context: Context, system: System, name: str, path: Path) -> None:
    from hullkit.output import write_stream

    with atomic_files(path.parent, [path.name]) as (stream,):
        write_stream(context, system, name, stream)


def _report(paths: list[Path], as_json: bool, context: Context) -> None:
    if not as_json:
        for path in paths:
            context.bus.info(f"{path} ({path.stat().st_size / 1e6:.1f} MB)")
        return
    import hashlib

    told = []
    for path in paths:
        with open(path, "rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        told.append({"path": str(path), "bytes": path.stat().st_size, "sha256": digest})
    click.echo(json.dumps({"version": 1, "outputs": told}, indent=2))
