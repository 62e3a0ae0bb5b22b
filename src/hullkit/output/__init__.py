"""Output formats: one small module each, found by registration.

A format module calls ``output_format`` at import; every module of this package is imported when the list of formats
is first needed. To add a format, add a module; nothing else changes.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache as memoise
from pathlib import Path
from typing import BinaryIO

from hullkit.assemble.system import System
from hullkit.cache import atomic_files
from hullkit.context import Context
from hullkit.errors import ConfigError

#: given context, system and an open file for each suffix, writes the files
Writer = Callable[[Context, System, Mapping[str, BinaryIO]], None]


@dataclass(frozen=True, slots=True)
class Format:
    """``suffixes`` are appended to the output name, one file each; a format with one file may go to a stream.

    A system that has nothing for a suffix gets no such file: ``absent`` says which those are.
    """

    name: str
    summary: str
    suffixes: tuple[str, ...]
    write: Writer
    needs_kernel: bool
    absent: Callable[[System], frozenset[str]]


_registered: dict[str, Format] = {}


def _nothing(_: System) -> frozenset[str]:
    return frozenset()


def output_format(
    name: str,
    *suffixes: str,
    summary: str,
    needs_kernel: bool = False,
    absent: Callable[[System], frozenset[str]] = _nothing,
) -> Callable[[Writer], Writer]:
    """Register the decorated function as the writer of a format."""

    def register(write: Writer) -> Writer:
        _registered[name] = Format(name, summary, suffixes, write, needs_kernel, absent)
        return write

    return register


@memoise
def formats() -> Mapping[str, Format]:
    """All formats by name."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return dict(sorted(_registered.items()))


def find_format(name: str) -> Format:
    if name in formats():
        return formats()[name]
    raise ConfigError(f"unknown output format {name!r}", hint="known: " + ", ".join(formats()))


def _check(system: System, chosen: Iterable[Format]) -> None:
    writers: dict[str, str] = {}
    for each in chosen:
        for suffix in each.suffixes:
            if (other := writers.setdefault(suffix, each.name)) != each.name:
                raise ConfigError(
                    f"the formats {other} and {each.name} both write NAME{suffix}", hint="build them under two names"
                )
        # LinuxKit writes what there is
        if each.needs_kernel and system.kernel is None and not system.linuxkit:
            raise ConfigError(
                f"the format {each.name} needs a kernel, and the configuration names none", hint="add kernel: image:"
            )


def write_formats(context: Context, system: System, names: Iterable[str], directory: Path, name: str) -> list[Path]:
    """Write the formats as DIRECTORY/NAME + suffix; all files appear together at the end, or none does."""
    chosen = [find_format(each) for each in dict.fromkeys(names)]
    _check(system, chosen)
    wanted = {each.name: [suffix for suffix in each.suffixes if suffix not in each.absent(system)] for each in chosen}
    suffixes = list(dict.fromkeys(suffix for each in chosen for suffix in wanted[each.name]))
    with atomic_files(directory, [name + suffix for suffix in suffixes]) as files:
        by_suffix = dict(zip(suffixes, files, strict=True))
        for each in chosen:
            with context.bus.step(f"write {each.name}"):
                each.write(context, system, {suffix: by_suffix[suffix] for suffix in wanted[each.name]})
    # what an earlier build wrote must not be taken for a part of this one
    for suffix in {suffix for each in chosen for suffix in each.suffixes}.difference(suffixes):
        (directory / (name + suffix)).unlink(missing_ok=True)
    return [directory / (name + suffix) for suffix in suffixes]


def write_stream(context: Context, system: System, format_name: str, stream: BinaryIO) -> None:
    """Write a format that is one file to an open stream, such as a pipe."""
    chosen = find_format(format_name)
    if len(chosen.suffixes) != 1:
        raise ConfigError(f"the format {format_name} is {len(chosen.suffixes)} files and cannot go to one stream")
    _check(system, [chosen])
    chosen.write(context, system, {chosen.suffixes[0]: stream})
