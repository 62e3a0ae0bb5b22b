"""The programs of a recipe's ``build:``: a source package or Go modules, compiled in a sandbox by a pinned toolchain.

The sandbox has the toolchain as its root, the source in /build/source and nothing else but, for modules, Go and its
cache of modules: no network, no file of the host, one user, one host name, one time. What a program is made of is
decided by the recipe's script, the source, the packages of the toolchain, Go and the code here; these are its id.
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
from hullkit.component.gobuild import find_goroot, go_environment, program_id, source_files, tags_flag
from hullkit.component.gosource import go_sources
from hullkit.component.packages import PackageLock
from hullkit.component.recipe import BuildSource
from hullkit.component.toolchain import resolve_toolchain, toolchain_id, toolchain_tree
from hullkit.context import Context, host_arch
from hullkit.debian.package import SOURCE, Package
from hullkit.errors import ConfigError, HostError, HullError, ToolError
from hullkit.hosttools.sandbox import PATH, SOURCE_DATE_EPOCH, Bind, Sandbox
from hullkit.steps import cached_path, step_id

_CODE = tuple(
    f"hullkit.{name}"
    for name in (
        "component.gobuild",
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
_BUILD, _GO = "/build", "/go"
_SOURCE = "source"
#: directories and settings of a sandbox beside those that every build has
_More = tuple[tuple[Bind, ...], Mapping[str, str]]
_NOTHING_MORE: _More = ((), {})
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
        if build.source is not None and not _split(locked)[0]:
            raise ConfigError(f"the lock has no source of {recipe.spec.name}", hint="make it again with: hullkit lock")
        return locked
    sources = _resolve_source(context, recipe, build) if build.source is not None else ()
    try:
        return (*sources, *resolve_toolchain(context, build))
    except HullError as error:
        error.where = error.where or recipe.where(("build", "packages"))
        raise


def _resolve_source(context: Context, recipe: Recipe, build: BuildSource) -> tuple[Package, ...]:
    from hullkit.debian.source import SourceArchive, is_packaging

    assert build.source is not None
    try:
        sources = SourceArchive.open(context).find(build.source)
    except HullError as error:
        error.where = error.where or recipe.where(("build", "source"))
        raise
    if build.patches:
        return sources
    if _FIXED.search(sources[0].version):
        context.bus.warning(
            f"{recipe.spec.name} leaves out Debian's patches (patches: false), and {sources[0].name} "
            f"{sources[0].version} has fixes of Debian's: look whether they matter"
        )
    return tuple(file for file in sources if not is_packaging(file))


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
        "patches": build.patches,
        "script": build.script,
        "programs": sorted(build.programs.values()),
        "go": program_id(go_sources(recipe), find_goroot(), context.arch, "tool", build.tags) if build.modules else "",
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
        with context.cache.temp_dir() as work:
            _check_host(context, recipe, build, work)
            sources, toolchain = _split(packages)
            files = fetch(context, sources, what=f"the source of {recipe.spec.name}")
            source = work / "build" / _SOURCE
            source.mkdir(parents=True)
            patches = _lay_out([(file, files[file.sha256]) for file in sources], work, source)
            more = _with_go(context, recipe, build, work, source) if build.modules else _NOTHING_MORE
            sandbox = _sandbox(context, toolchain_tree(context, toolchain), work, more)
            with context.bus.step(f"build {recipe.spec.name} from source"):
                _run_script(context, recipe, sandbox, work, [*_prelude(patches if build.patches else ()), build.script])
            _collect(recipe, source, out)

    directory = cached_path(context, "build", build_id(context, recipe, packages), make)
    return {path: directory / _stored(program) for path, program in build.programs.items()}


def _split(packages: Sequence[Package]) -> tuple[tuple[Package, ...], tuple[Package, ...]]:
    sources = tuple(package for package in packages if package.arch == SOURCE)
    return sources, tuple(package for package in packages if package.arch != SOURCE)


def _stored(program: str) -> str:
    """The name of a built program in the cache."""
    return quote(program, safe="")


def _check_host(context: Context, recipe: Recipe, build: BuildSource, work: Path) -> None:
    """Raise HostError before anything is fetched where it cannot be built."""
    name = recipe.spec.name
    instead = f"use @component:{build.instead}, which is not compiled" if build.instead else None
    if context.arch != host_arch():
        raise HostError(
            f"{name} is compiled from source, here for {host_arch()} only and not for {context.arch}", hint=instead
        )
    tree, mountpoint = work / "no-tree", work / "no-root"
    tree.mkdir()
    mountpoint.mkdir()
    try:
        Sandbox(tree, mountpoint).probe(context)
    except HostError as error:
        raise HostError(f"{name} cannot be built: {error.message}", hint=instead or error.hint) from error


def _lay_out(files: Sequence[tuple[Package, Path]], work: Path, source: Path) -> list[str]:
    """Write the source package to ``source``; its patches."""
    from hullkit.component.unpack import unpack
    from hullkit.debian.source import patch_series, source_entries

    entries = source_entries(files, work)
    unpack(entries, source)
    return patch_series(entries)


def _with_go(context: Context, recipe: Recipe, build: BuildSource, work: Path, source: Path) -> _More:
    """Fetch the modules and copy what names them to ``source``; what the go command needs in the sandbox."""
    from hullkit.component.gomodules import fetch_modules

    sources, goroot = go_sources(recipe), find_goroot()
    fetch_modules(context, sources, context.arch, goroot=goroot, package="tool", tags=build.tags, cgo=True)
    for file in source_files(sources):
        copy = source / file.relative_to(sources)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)
    (work / "go-build").mkdir()
    modules = context.cache.path("go-mod")
    modules.mkdir(exist_ok=True)
    binds = (
        Bind(f"{_GO}/root", goroot),
        Bind(f"{_GO}/go-mod", modules),
        Bind(f"{_GO}/go-build", work / "go-build", writable=True),
    )
    env = {
        **go_environment(context.arch, Path(_GO) / "root", Path(_GO)),
        "CGO_ENABLED": "1",
        "GOFLAGS": f"-p={context.jobs} -trimpath -mod=readonly -buildvcs=false {tags_flag(build.tags)}",
        "PATH": f"{_GO}/root/bin:{PATH}",
    }
    return binds, env


def _sandbox(context: Context, tree: Path, work: Path, more: _More) -> Sandbox:
    mountpoint = work / "root"
    mountpoint.mkdir()
    binds = (Bind(_BUILD, work / "build", writable=True), *more[0])
    return Sandbox(tree, mountpoint, binds, {"MAKEFLAGS": f"-j{context.jobs}", **more[1]}, f"{_BUILD}/{_SOURCE}")


def _prelude(patches: Sequence[str]) -> list[str]:
    """Debian's patches, as dpkg-source(1) applies them; then one time for all files, so that make finds none newer."""
    apply = [f"patch -p1 -F0 -N -t -s -u -E -V never -i {shlex.quote(path)}" for path in patches]
    return ["exec 2>&1", *apply, f"find . -exec touch -h -d @{SOURCE_DATE_EPOCH} {{}} +", "set -x"]


def _run_script(context: Context, recipe: Recipe, sandbox: Sandbox, work: Path, lines: Sequence[str]) -> None:
    """Run the script; its output is kept in the cache, however it ends."""
    (work / "build" / "script").write_text("\n".join(lines) + "\n")
    log = work / "log"
    with open(log, "wb") as stream:
        done = sandbox.run(context, ["/usr/bin/sh", "-e", f"{_BUILD}/script"], stdout=stream)
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
