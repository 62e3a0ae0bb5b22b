"""Options that several commands share, and the run context made from them."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import click

from hullkit.cache import Cache, default_cache_root
from hullkit.context import DEBIAN_ARCH, Context, Registries, Tool, host_arch
from hullkit.events import Bus

Function = TypeVar("Function", bound=Callable[..., Any])
#: the last one wins
_MIRROR_VARIABLES = ("LINUXKIT_MIRROR", "HULLKIT_MIRROR")

_OPTIONS = [
    click.option("--cache", type=click.Path(path_type=Path), help="Cache directory.  [env: HULLKIT_CACHE]"),
    click.option("--arch", type=click.Choice(list(DEBIAN_ARCH)), help="Architecture to build for."),
    click.option("--offline", is_flag=True, help="Open no socket; use only what is in the cache."),
    click.option("--host-tools", is_flag=True, help="Use the host's QEMU and other tools, not the pinned ones."),
    click.option("--debian-mirror", metavar="URL", help="Debian mirror.  [env: HULLKIT_DEBIAN_MIRROR]"),
    click.option(
        "--allow-unverified-index",
        multiple=True,
        metavar="ARCH",
        type=click.Choice(list(DEBIAN_ARCH)),
        help="Accept a package index that does not match its signature (a mirror in mid-sync).",
    ),
    click.option(
        "--mirror",
        "mirrors",
        multiple=True,
        metavar="[REG=]URL",
        help="Ask this registry for the images of REG, or of all.  [env: HULLKIT_MIRROR, LINUXKIT_MIRROR]",
    ),
    click.option(
        "--cert-file",
        "certificates",
        multiple=True,
        metavar="FILE",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        help="PEM file of another authority to trust for registries.",
    ),
    click.option("--progress", type=click.Choice(["auto", "plain", "json", "none"]), default="auto", show_default=True),
    click.option("-v", "--verbose", is_flag=True, help="Show each command that is run."),
    click.option("-q", "--quiet", is_flag=True, help="Show only warnings and errors."),
]


class LazyTools:
    """The tools tree, set up at the first request; most runs need none."""

    def __init__(self, context: Context, host_tools: bool, lock: Any = None) -> None:
        self._context = context
        self._host_tools = host_tools
        self._lock = lock

    @functools.cached_property
    def _tools(self) -> Any:
        from hullkit.component.tools import DebianTools

        return DebianTools(self._context, host_tools=self._host_tools, lock=self._lock)

    def get(self, program: str) -> Tool:
        tool: Tool = self._tools.get(program)
        return tool

    def data(self, toolset: str, path: str) -> Path:
        found: Path = self._tools.data(toolset, path)
        return found


def with_lock(context: Context, host_tools: bool, lock: Any) -> Context:
    """The same context whose host tools come from a lock."""
    return replace(context, tools=LazyTools(context, host_tools, lock))


def _registries(mirrors: tuple[str, ...], certificates: tuple[Path, ...]) -> Registries:
    """What the environment says, then the options, which win."""
    given = [word for name in _MIRROR_VARIABLES for word in os.environ.get(name, "").replace(",", " ").split()]
    if not given and not mirrors:
        return Registries(certificates=certificates)
    from hullkit.oci.mirrors import parse_mirrors

    return Registries(parse_mirrors([*given, *mirrors]), certificates)


def context_options(function: Function) -> Function:
    """Add the common options to a command and pass it ``context`` (and ``host_tools``) instead of them."""

    @functools.wraps(function)
    def wrapper(
        *args: Any,
        cache: Path | None,
        arch: str | None,
        offline: bool,
        host_tools: bool,
        debian_mirror: str | None,
        allow_unverified_index: tuple[str, ...],
        mirrors: tuple[str, ...],
        certificates: tuple[Path, ...],
        progress: str,
        verbose: bool,
        quiet: bool,
        **kwargs: Any,
    ) -> Any:
        from hullkit.cli.progress import listening

        bus = Bus()
        context = Context(
            cache=Cache((cache or default_cache_root()).absolute()),
            bus=bus,
            arch=arch or host_arch(),
            offline=offline,
            debian_mirror=debian_mirror or os.environ.get("HULLKIT_DEBIAN_MIRROR") or None,
            unverified_indexes=frozenset(allow_unverified_index),
            registries=_registries(mirrors, certificates),
        )
        context = with_lock(context, host_tools, None)
        with listening(bus, progress, verbose=verbose, quiet=quiet):
            return function(*args, context=context, host_tools=host_tools, **kwargs)

    for option in reversed(_OPTIONS):
        wrapper = option(wrapper)
    return wrapper  # type: ignore[return-value]
