"""hullkit lock"""

from __future__ import annotations

from pathlib import Path

import click

from hullkit.cli.common import context_options
from hullkit.cli.inputs import load_config, lock_path
from hullkit.context import Context


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--lock-file", type=click.Path(path_type=Path), help="Where to write.  [default: FILE with .lock]")
@context_options
def command(context: Context, host_tools: bool, files: tuple[str, ...], lock_file: Path | None) -> None:
    """Pin every image, package, tool and codec of the system that the FILEs describe.

    The lock is written beside the last FILE; builds use it from then on. Pins of other architectures in it stay.
    """
    from hullkit.build.locking import resolve_pins
    from hullkit.lock.lock import write_lock

    pins = resolve_pins(context, load_config(context, files))
    path = lock_path(files, lock_file)
    write_lock(path, context.arch, pins)
    count = len({package.sha256 for group in (*pins.components.values(), *pins.tools.values()) for package in group})
    context.bus.info(f"{path}: {count} packages and {len(pins.images)} images for {context.arch}")
