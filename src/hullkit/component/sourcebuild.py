"""The programs of a recipe's ``build:``: a source package of Debian, compiled in a sandbox by a pinned toolchain.

The sandbox has the toolchain as its root, the source in /build/source and nothing else: no network, no file of the
host, one user, one host name, one time. What a program is made of is decided by the recipe's script, the source, the
packages of the toolchain and the code here, and these are its id.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from hullkit.component.catalogue import Recipe
from hullkit.component.packages import PackageLock
from hullkit.component.recipe import BuildSource
from hullkit.component.toolchain import resolve_toolchain, toolchain_id, toolchain_tree
from hullkit.context import Context, host_arch
from hullkit.debian.package import SOURCE, Package
from hullkit.errors import ConfigError, HostError, HullError, ToolError
from hullkit.hosttools.sandbox import SOURCE_DATE_EPOCH, Bind, Sandbox
from hullkit.steps import cached_path, step_id

_CODE = tuple(
    f"hullkit.{name}"
    for name in (
        "component.sourcebuild",
        "component.toolchain",
        "component.toolsinstall",
        "component.unpack",
        "debian.source",
        "hosttools.enter",
        "hosttools.sandbox",
    )
)
#: in the sandbox
_BUILD = "/build"
_SOURCE = "source"
_SHOWN_LINES = 8
#: the revision of a package that was changed in a stable release (Debian Developer's Reference 5.8.5.4)
_FIXED = re.compile(r"\+deb\d+u\d+$")
_LOG_TAIL = 64 << 10


def resolve_build(context: Context, recipe: Recipe, lock: PackageLock | None) -> tuple[Package, ...]:
    """What the programs of a recipe are built from (files of a source package) and with (packages), for pins and ids.

    With pins of a lock no index is read. The toolchain is that of the image's architecture. Raises what opening and
    resolving an archive raises, with the recipe's position for a package that there is not.
    """
    build = recipe.spec.build
    if build is None:
        return ()
    if lock is not None and (locked := lock.builds(recipe.spec.name)) is not None:
        if not _split(locked)[0]:
            raise ConfigError(f"the lock has no source of {recipe.spec.name}", hint="make it again with: hullkit lock")
        return locked
    from hullkit.debian.source import SourceArchive, is_packaging

    try:
        sources = SourceArchive.open(context).find(build.source)
    except HullError as error:
        error.where = error.where or recipe.where(("build", "source"))
        raise
    used = tuple(file for file in sources if build.patches or not is_packaging(file))
    if not build.patches and _FIXED.search(sources[0].version):
        context.bus.warning(
            f"{recipe.spec.name} leaves out Debian's patches (patches: false), and {sources[0].name} "
            f"{sources[0].version} has fixes of Debian's: look whether they matter"
        )
    try:
        return (*used, *resolve_toolchain(context, build))
    except HullError as error:
        error.where = error.where or recipe.where(("build", "packages"))
        raise


def build_id(context: Context, recipe: Recipe, packages: Sequence[Package]) -> str:
    """The id of what a recipe builds, without building it; empty for a recipe without ``build:``."""
    build = recipe.spec.build
    if build is None:
        return ""
    sources, toolchain = _split(packages)
    inputs = {
        "arch": context.arch,
        "sources": sorted([file.path.rpartition("/")[2], file.sha256] for file in sources),
        "toolchain": toolchain_id(toolchain),
        "script": build.script,
        "programs": sorted(build.programs.values()),
    }
    return step_id("build", inputs, _CODE)


def built_programs(context: Context, recipe: Recipe, packages: Sequence[Package]) -> Mapping[str, Path]:
    """Path in the image → the program, built once for its id.

    Raises ToolError when the script fails (its output is kept), ConfigError when it leaves a program out, HostError
    where it cannot be built: for another architecture than the host's, or without user namespaces.
    """
    build = recipe.spec.build
    assert build is not None
    from hullkit.debian.fetch import fetch

    def make(out: Path) -> None:
        if context.arch != host_arch():
            name = recipe.spec.name
            raise HostError(
                f"{name} is compiled from source, here for {host_arch()} only and not for {context.arch}",
                hint=_instead(build),
            )
        sources, toolchain = _split(packages)
        files = fetch(context, sources, what=f"the source of {build.source}")
        tree = toolchain_tree(context, toolchain)
        with context.bus.step(f"build {build.source} from source"), context.cache.temp_dir() as work:
            patches = _lay_out([(file, files[file.sha256]) for file in sources], work, build)
            _run_script(context, recipe, tree, work, [*_prelude(patches), build.script])
            _collect(recipe, work / "build" / _SOURCE, out)

    directory = cached_path(context, "build", build_id(context, recipe, packages), make)
    return {path: directory / _stored(program) for path, program in build.programs.items()}


def _split(packages: Sequence[Package]) -> tuple[tuple[Package, ...], tuple[Package, ...]]:
    sources = tuple(package for package in packages if package.arch == SOURCE)
    return sources, tuple(package for package in packages if package.arch != SOURCE)


def _stored(program: str) -> str:
    """The name of a built program in the cache."""
    return quote(program, safe="")


def _instead(build: BuildSource) -> str | None:
    return f"use @component:{build.instead}, which is not compiled" if build.instead else None


def _lay_out(files: Sequence[tuple[Package, Path]], work: Path, build: BuildSource) -> list[str]:
    """Write the source to ``work/build/source``; the patches to apply."""
    from hullkit.component.unpack import unpack
    from hullkit.debian.source import patch_series, source_entries

    entries = source_entries(files, work)
    target = work / "build" / _SOURCE
    target.mkdir(parents=True)
    unpack(entries, target)
    return patch_series(entries) if build.patches else []


def _prelude(patches: Sequence[str]) -> list[str]:
    """Debian's patches, as dpkg-source(1) applies them; then one time for all files, so that make finds none newer."""
    apply = [f"patch -p1 -F0 -N -t -s -u -E -V never -i {shlex.quote(path)}" for path in patches]
    return ["exec 2>&1", *apply, f"find . -exec touch -h -d @{SOURCE_DATE_EPOCH} {{}} +", "set -x"]


def _run_script(context: Context, recipe: Recipe, tree: Path, work: Path, lines: Sequence[str]) -> None:
    build = recipe.spec.build
    assert build is not None
    mountpoint = work / "root"
    mountpoint.mkdir()
    (work / "build" / "script").write_text("\n".join(lines) + "\n")
    sandbox = Sandbox(
        tree,
        mountpoint,
        (Bind(_BUILD, work / "build", writable=True),),
        {"MAKEFLAGS": f"-j{context.jobs}"},
        f"{_BUILD}/{_SOURCE}",
    )
    log = work / "log"
    try:
        with open(log, "wb") as stream:
            done = sandbox.run(context, ["/usr/bin/sh", "-e", f"{_BUILD}/script"], stdout=stream)
    except HostError as error:
        hint = _instead(build) or error.hint
        raise HostError(f"{recipe.spec.name} cannot be built: {error.message}", hint=hint) from error
    kept = context.cache.path("logs", f"{recipe.spec.name}.log")
    os.replace(log, kept)
    if done.returncode != 0:
        raise ToolError(
            f"building {recipe.spec.name} failed (exit code {done.returncode}): {_last_words(kept)}",
            command=done.command,
            hint=f"its whole output: {kept}",
        )


def _last_words(log: Path) -> str:
    with open(log, "rb") as stream:
        stream.seek(max(0, log.stat().st_size - _LOG_TAIL))
        lines = stream.read().decode("utf-8", "replace").splitlines()
    return "; ".join([line.strip() for line in lines if line.strip()][-_SHOWN_LINES:])


def _collect(recipe: Recipe, source: Path, out: Path) -> None:
    """Copy the programs out of the build; each is a plain file inside of it."""
    build = recipe.spec.build
    assert build is not None
    out.mkdir()
    for path, program in sorted(build.programs.items()):
        found = source / program
        inside = found.resolve().is_relative_to(source.resolve())
        if not inside or not found.exists() or not stat.S_ISREG(found.lstat().st_mode):
            raise ConfigError(
                f"build.programs: after the script there is no file {program}",
                where=recipe.where(("build", "programs", path)),
            )
        made = out / _stored(program)
        shutil.copyfile(found, made)
        made.chmod(0o755)
