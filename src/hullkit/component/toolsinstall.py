"""Unpacking a set of host tools into the cache."""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hullkit.component.elf import read_elf
from hullkit.component.toolsets import TOOLSETS
from hullkit.component.unpack import unpack
from hullkit.context import Context
from hullkit.debian.deb import MERGED, deb_entries
from hullkit.debian.fetch import fetch
from hullkit.debian.package import Package
from hullkit.errors import NotFound
from hullkit.tree.entry import Entry, EntryType, FileSlice


def install(context: Context, name: str, packages: tuple[Package, ...], directory: Path) -> None:
    """Fetch the packages of a set and unpack them as ``directory``, which appears complete.

    Raises NotFound when the packages lack a program of the set, and what ``fetch`` and ``deb_entries`` raise.
    """
    debs = fetch(context, packages, what=f"the tools {name}")
    with context.bus.step(f"unpack the tools {name}"), context.cache.temp_dir() as work:
        made = work / "set"
        root = made / "root"
        unpack_packages(context, packages, debs, work, root)
        description = _describe(name, root, directory.name)
        (made / "toolset.json").write_text(json.dumps(description))
        context.cache.publish(made, directory)


def unpack_packages(
    context: Context, packages: tuple[Package, ...], debs: Mapping[str, Path], work: Path, root: Path
) -> None:
    """Unpack packages (``debs``: SHA-256 → file) as ``root``, a new directory; ``work`` is for temporary files."""
    root.mkdir(parents=True)
    with ThreadPoolExecutor(max(1, context.jobs)) as pool:  # lzma lets other threads run
        lists = pool.map(lambda package: deb_entries(context, debs[package.sha256], package, work), packages)
        entries = [entry for found in lists for entry in found]
    unpack([*entries, *_merged_links(entries)], root)


def _merged_links(entries: list[Entry]) -> list[Entry]:
    """The links /bin, /lib64 … that no package makes (base-files would)."""
    present = {entry.path.split("/")[1] for entry in entries if entry.path.startswith("usr/")}
    return [Entry(top, EntryType.SYMLINK, target=f"usr/{top}") for top in MERGED if top in present]


def _describe(name: str, root: Path, identity: str) -> dict[str, object]:
    """How to start the programs of an unpacked set, with paths relative to its root."""
    toolset = TOOLSETS[name]
    triplet = next((found.parent.name for found in sorted(root.glob("usr/lib/*/libc.so.6"))), "")
    programs = {}
    for program, path in toolset.programs.items():
        file = root / path
        if not file.is_file():
            raise NotFound(f"the packages of the tools {name} have no {path}")
        elf = read_elf(FileSlice(file.resolve(), 0, file.stat().st_size), path)
        interpreter = elf.interpreter.lstrip("/") if elf is not None else ""
        programs[program] = {"path": path, "interpreter": interpreter}
    env = {variable: path.format(triplet=triplet) for variable, path in toolset.env.items()}
    return {"id": identity, "programs": programs, "libraries": _library_directories(root, triplet), "env": env}


def _library_directories(root: Path, triplet: str) -> list[str]:
    """The loader's search path: the multiarch directory, and those below it that hold private shared libraries."""
    base = root / "usr/lib" / triplet
    private = {file.parent for file in base.glob("*/lib*.so*")} if triplet else set()
    return [str(path.relative_to(root)) for path in (base, *sorted(private))]
