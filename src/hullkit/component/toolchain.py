"""The toolchain of a build from source: Debian packages as a directory that becomes the root of a sandbox.

``cache/tools/ID/root``, like a set of host tools; ID is a hash over its packages.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from hullkit.component.recipe import BuildSource
from hullkit.component.toolsets import ALTERNATIVES, BUILD_PACKAGES, BUILD_PRUNED
from hullkit.context import Context
from hullkit.debian.package import Package
from hullkit.steps import cached_path, step_id

#: part of the ids: change it with what ``_install`` makes
_FORMAT = "toolchain 1"
_USERS = {"etc/passwd": "root:x:0:0:root:/tmp:/bin/sh\n", "etc/group": "root:x:0:\n"}


def resolve_toolchain(context: Context, build: BuildSource) -> tuple[Package, ...]:
    """The packages of a build's toolchain, as the archive is now; kept by Archive.id. Raises what that does."""
    from hullkit.debian.archive import Archive

    archive = Archive.open(context, context.arch)
    names = sorted({*BUILD_PACKAGES, *build.packages})
    prune = sorted({*BUILD_PRUNED, *build.prune})

    def make(out: Path) -> None:
        out.write_bytes(msgspec.json.encode(archive.resolve(names, prune=prune)))

    identity = step_id("packages", [archive.id, context.arch, names, prune], (__name__, "hullkit.debian.resolver"))
    cached = cached_path(context, "packages", identity, make, suffix=".json")
    return msgspec.json.decode(cached.read_bytes(), type=tuple[Package, ...])


def toolchain_id(packages: Sequence[Package]) -> str:
    """The ID of a toolchain: equal packages, equal trees."""
    alternatives = sorted((path, names) for path, names in ALTERNATIVES.items())
    content = [_FORMAT, alternatives, _USERS, sorted(package.sha256 for package in packages)]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:32]


def toolchain_tree(context: Context, packages: Sequence[Package]) -> Path:
    """The unpacked toolchain, fetched and unpacked at its first use. Raises what fetching raises."""
    directory = context.cache.path("tools", toolchain_id(packages))
    if not directory.is_dir():
        with context.cache.lock(f"tools {directory.name}"):
            if not directory.is_dir():
                _install(context, tuple(packages), directory)
    return directory / "root"


def _install(context: Context, packages: tuple[Package, ...], directory: Path) -> None:
    from hullkit.component.toolsinstall import unpack_packages
    from hullkit.debian.fetch import fetch

    debs = fetch(context, packages, what="the toolchain")
    with context.bus.step("unpack the toolchain"), context.cache.temp_dir() as work:
        root = work / "set" / "root"
        unpack_packages(context, packages, debs, work, root)
        for path, names in ALTERNATIVES.items():
            there = next((name for name in names if (root / path).with_name(name).exists()), None)
            if there is not None and not os.path.lexists(root / path):
                (root / path).symlink_to(there)
        for path, text in _USERS.items():
            (root / path).parent.mkdir(exist_ok=True)
            (root / path).write_text(text)
        context.cache.publish(work / "set", directory)
