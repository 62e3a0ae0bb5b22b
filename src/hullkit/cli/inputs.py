"""What ``build``, ``run`` and ``lock`` have in common: input files, the name of the outputs, the lock beside them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from hullkit.assemble.system import System
from hullkit.cli.common import with_lock
from hullkit.config.model import SystemConfig
from hullkit.context import Context
from hullkit.errors import ConfigError

Function = TypeVar("Function", bound=Callable[..., Any])

_OPTIONS = [
    click.argument("files", nargs=-1, required=True, metavar="FILE..."),
    click.option("--name", help="Name of the system and prefix of its outputs.  [default: base name of the last FILE]"),
    click.option("--layout", type=click.Choice(["packed", "flat"]), help="How root file systems are stored."),
    click.option("--pull", is_flag=True, help="Ask the registries even for images that are in the cache."),
    click.option("--release", is_flag=True, help="Compress for size: a smaller system, slower to make."),
    click.option("--locked", is_flag=True, help="Use the lock beside FILE, and refuse anything that differs from it."),
    click.option("--lock-file", type=click.Path(path_type=Path), help="The lock to use.  [default: FILE with .lock]"),
]
#: names of these options, but FILE
INPUTS = ("name", "layout", "pull", "release", "locked", "lock_file")


def input_options(function: Function) -> Function:
    """Add FILE... and the options about them."""
    wrapped: Any = function
    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    return wrapped  # type: ignore[no-any-return]


def name_of(files: tuple[str, ...], name: str | None) -> str:
    """The given name, else the base of the last file; "hullkit" for standard input."""
    chosen = name or ("hullkit" if files[-1] == "-" else Path(files[-1]).stem)
    if not chosen or "/" in chosen or chosen in (".", ".."):
        raise ConfigError(f"{chosen!r} cannot be the name of outputs", hint="give --name")
    return chosen


def load_config(context: Context, files: tuple[str, ...]) -> SystemConfig:
    """Read and merge the FILEs; what their writer should know is told as warnings."""
    from hullkit.config.load import load

    config = load(files, stdin=sys.stdin.buffer.read() if "-" in files else None)
    for warning in config.origin.warnings:
        context.bus.warning(warning)
    return config


def lock_path(files: tuple[str, ...], lock_file: Path | None) -> Path:
    return lock_file or (Path("hullkit.lock") if files[-1] == "-" else Path(files[-1]).with_suffix(".lock"))


def load_system(
    context: Context,
    files: tuple[str, ...],
    *,
    host_tools: bool,
    name: str | None,
    layout: str | None,
    pull: bool,
    release: bool,
    locked: bool,
    lock_file: Path | None,
    budget: bool = True,
    **more: Any,
) -> tuple[Context, SystemConfig, System]:
    """Read the input and build the system; the context returned uses the lock's tools where there is a lock.

    CheckFailed when it breaks its budget, unless ``budget`` is False. ``more`` are further ``BuildOptions``.
    """
    from hullkit.build.build import BuildOptions, build_system
    from hullkit.lock.lock import find_lock

    config = load_config(context, files)
    lock = find_lock(lock_path(files, lock_file), context.arch, required=locked or lock_file is not None, strict=locked)
    if lock is not None:
        context = with_lock(context, host_tools, lock)
    options = BuildOptions(layout=layout, lock=lock, pull=pull, release=release, **more)
    system = build_system(context, config, name_of(files, name), options)
    if budget and config.budget is not None:
        from hullkit.footprint.enforce import hold_to_budget

        hold_to_budget(context, config, system, lock)
    return context, config, system
