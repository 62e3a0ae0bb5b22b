"""hullkit build"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from hullkit.cache import atomic_files
from hullkit.cli.common import context_options
from hullkit.cli.inputs import input_options, load_config, load_system, name_of
from hullkit.context import Context
from hullkit.errors import ConfigError

_DEFAULT_FORMAT = "kernel+initrd"


@click.command()
@input_options
@click.option("-f", "--format", "formats", multiple=True, metavar="FORMAT[,...]", help="Output formats; ? lists them.")
@click.option(
    "--dir", "directory", type=click.Path(path_type=Path), default=Path(), help="Where outputs go.  [default: .]"
)
@click.option(
    "-o", "--o", "--output", "output", metavar="FILE|-", help="One file or standard output, for formats of one file."
)
@click.option("--dry-run", is_flag=True, help="Print the merged configuration and build nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the outputs with sizes and digests as JSON.")
@context_options
def command(
    context: Context,
    host_tools: bool,
    files: tuple[str, ...],
    formats: tuple[str, ...],
    directory: Path,
    output: str | None,
    dry_run: bool,
    as_json: bool,
    **inputs: Any,
) -> None:
    """Build the system that the FILEs describe ("-" is standard input).

    Several files are merged in order. Outputs are named after the last one.
    """
    chosen = [each for given in formats for each in given.split(",") if each]
    if dry_run:
        from hullkit.config.dump import dump_yaml

        click.echo(dump_yaml(load_config(context, files)), nl=False)
        return
    from hullkit.output import find_format
    from hullkit.output import formats as known

    if "?" in chosen or "help" in chosen:
        for each in known().values():
            click.echo(f"{each.name:16} {each.summary}")
        return
    chosen = chosen or (["tar"] if output else [_DEFAULT_FORMAT])
    for name in chosen:
        find_format(name)
    if output:
        _to_one_file(context, host_tools, files, chosen, output, as_json, inputs)
        return
    context, _, system = load_system(context, files, host_tools=host_tools, **inputs)
    from hullkit.output import write_formats

    _report(write_formats(context, system, chosen, directory, name_of(files, inputs["name"])), as_json, context)


def _to_one_file(
    context: Context,
    host_tools: bool,
    files: tuple[str, ...],
    chosen: list[str],
    output: str,
    as_json: bool,
    inputs: dict[str, Any],
) -> None:
    from hullkit.output import find_format, write_stream

    if len(chosen) != 1 or len(find_format(chosen[0]).suffixes) != 1:
        raise ConfigError(f"--output takes one format of one file, not {', '.join(chosen)}")
    context, _, system = load_system(context, files, host_tools=host_tools, **inputs)
    if output == "-":
        write_stream(context, system, chosen[0], sys.stdout.buffer)
        sys.stdout.buffer.flush()
        return
    path = Path(output)
    with atomic_files(path.parent, [path.name]) as (stream,):
        write_stream(context, system, chosen[0], stream)
    _report([path], as_json, context)


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
