"""A Debian kernel package as two layers: the kernel's file, and the modules of a hardware profile with kmod's indexes.

Modules stay compressed and signed as Debian ships them (the kernel decompresses them: MODULE_DECOMPRESS).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from hullkit.component.closure import Pool
from hullkit.component.compose import Layer
from hullkit.component.globs import matching, optional
from hullkit.component.hardware import Hardware
from hullkit.component.modinfo import (
    ModuleInfo,
    decompress_module,
    dependency_closure,
    index_files,
    module_name,
    read_modinfo,
)
from hullkit.component.recipe import KernelSource
from hullkit.context import Context
from hullkit.errors import ConfigError
from hullkit.steps import cached_path, step_id
from hullkit.tree.entry import Entry, EntryType

MODULES = "usr/lib/modules"
ALL = "*"


def kernel_version(pool: Pool) -> str:
    """The release of the one kernel in the pool, as ``uname -r`` gives it; the name of its modules' directory."""
    releases = {path.split("/")[3] for path in pool.files if path.startswith(MODULES + "/") and path.count("/") > 3}
    if len(releases) != 1:
        raise ConfigError(f"the packages have {len(releases)} kernels, not one: {', '.join(sorted(releases))}")
    return releases.pop()


def image_layer(name: str, source: KernelSource, pool: Pool) -> Layer:
    """The layer with ``/kernel``."""
    found = [path for path in matching(source.image, sorted(pool.files)) if pool.files[path].type is EntryType.FILE]
    if len(found) != 1:
        raise ConfigError(f"kernel.image: {source.image} matches {len(found)} files, not one", hint=", ".join(found))
    layer = Layer(name, {}, pool)
    entry = pool.files[found[0]]
    layer.take([Entry("kernel", EntryType.FILE, 0o644, content=entry.content, owner=entry.owner)])
    return layer


def modules_layer(
    context: Context, name: str, source: KernelSource, pool: Pool, hardware: Hardware, package: str
) -> Layer:
    """The layer with the hardware's modules below ``/usr/lib/modules/VERSION``; ``package`` is the kernel's digest.

    Raises ConfigError for a profile or a module that does not exist.
    """
    root = f"{MODULES}/{kernel_version(pool)}"
    modules = _module_infos(context, pool, root, package)
    chosen = dependency_closure(modules, _wanted(source, hardware, modules, _builtin(pool, root)))
    layer = Layer(name, {}, pool)
    layer.take(pool.files[f"{root}/{modules[each].path}"] for each in chosen)
    order = _text(pool, f"{root}/modules.order").split()
    for file, data in index_files({each: modules[each] for each in chosen}, order).items():
        layer.file(f"{root}/{file}", data)
    layer.file(f"{root}/modules.builtin", _text(pool, f"{root}/modules.builtin").encode())
    return layer


def _text(pool: Pool, path: str) -> str:
    entry = pool.files.get(path)
    if entry is None or entry.content is None:
        raise ConfigError(f"the kernel's package has no file /{path}")
    return b"".join(entry.content.chunks()).decode()


def _builtin(pool: Pool, root: str) -> frozenset[str]:
    return frozenset(module_name(line) for line in _text(pool, f"{root}/modules.builtin").split())


def _wanted(
    source: KernelSource, hardware: Hardware, modules: Mapping[str, ModuleInfo], builtin: frozenset[str]
) -> list[str]:
    profile = hardware.profile or source.default
    if profile not in source.profiles:
        raise ConfigError(f"the kernel has no profile {profile!r}", hint="it has " + ", ".join(sorted(source.profiles)))
    names: list[str] = []
    for written in (*source.profiles[profile], *hardware.modules):
        name, may_miss = optional(written)
        name = name.replace("-", "_")
        if name == ALL:
            names.extend(sorted(modules))
        elif name in modules:
            names.append(name)
        elif name not in builtin and not may_miss:
            asking = "the system" if written in hardware.modules else f"the profile {profile}"
            raise ConfigError(
                f"{asking} wants the module {name}, which this kernel does not have",
                hint=f"write {name}? when other kernels have it",
            )
    return names


def _module_infos(context: Context, pool: Pool, root: str, package: str) -> dict[str, ModuleInfo]:
    """What all modules of a kernel say of themselves: read once for each package, since it means decompressing all."""

    def make(out: Path) -> None:
        with context.bus.step("read what the kernel's modules need"):
            infos = []
            for path in sorted(pool.files):
                entry = pool.files[path]
                if path.startswith(f"{root}/kernel/") and ".ko" in path and entry.content is not None:
                    infos.append(read_modinfo(decompress_module(entry.content, path), path[len(root) + 1 :]))
            out.write_bytes(msgspec.json.encode(infos))

    identity = step_id("modinfo", package, ("hullkit.component.modinfo", "hullkit.component.elf"))
    cached = cached_path(context, "modinfo", identity, make, suffix=".json")
    infos = msgspec.json.decode(cached.read_bytes(), type=list[ModuleInfo])
    return {info.name: info for info in infos}
