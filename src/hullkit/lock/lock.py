"""The lock file: one JSON document that pins every image, package, tool and codec of a system, for each architecture.

    {"version": 1, "architectures": {ARCH: {
        "codecs": {NAME: VERSION},
        "recipes": {COMPONENT: SHA256 of its recipe},
        "components": {COMPONENT: [PACKAGE KEY, ...]},
        "builds": {COMPONENT: [KEY of a package or source file, ...]},
        "tools": {TOOLSET: [PACKAGE KEY, ...]},
        "images": {REFERENCE: DIGEST of what the registry gives for it},
        "packages": {PACKAGE KEY: {name, version, arch, suite, path, sha256, size, source, source_version, time}}}}}

A package key is NAME_VERSION_ARCH; that of a file of a source package is its own name. Every package carries the time
of the index it came from, by which Debian's snapshot archive can find it once mirrors have dropped it. Keys are sorted:
the same pins are the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from hullkit.cache import atomic_write, host_errors
from hullkit.debian.package import Package
from hullkit.errors import ConfigError, DriftError, NotFound, TrustError
from hullkit.oci.digest import check_digest

VERSION = 1
_HINT = "make the lock again with: hullkit lock"
_MAX_BYTES = 64 << 20
Value = TypeVar("Value")


@dataclass(frozen=True)
class Pins:
    """What is pinned for one architecture."""

    components: Mapping[str, tuple[Package, ...]] = field(default_factory=dict)
    recipes: Mapping[str, str] = field(default_factory=dict)
    tools: Mapping[str, tuple[Package, ...]] = field(default_factory=dict)
    codecs: Mapping[str, str] = field(default_factory=dict)
    #: canonical reference → digest of the index or manifest
    images: Mapping[str, str] = field(default_factory=dict)
    #: component → the source packages and the toolchain that its programs are built with
    builds: Mapping[str, tuple[Package, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Lock:
    """The pins that a build must use; ``strict`` (--locked) refuses what they do not cover."""

    pins: Pins
    path: Path
    strict: bool

    def packages(self, component: str) -> tuple[Package, ...] | None:
        """The packages of a component. What the lock does not know: None, or DriftError when strict."""
        return self._find(self.pins.components, "component", component)

    def builds(self, component: str) -> tuple[Package, ...] | None:
        """What the programs of a component are built from and with, by the same rule."""
        return self._find(self.pins.builds, "build of the component", component)

    def tools(self, toolset: str) -> tuple[Package, ...] | None:
        """The packages of a set of host tools, by the same rule."""
        return self._find(self.pins.tools, "tools", toolset)

    def image(self, reference: str) -> str | None:
        """The digest of an image reference, by the same rule."""
        return self._find(self.pins.images, "image", reference)

    def _find(self, known: Mapping[str, Value], kind: str, name: str) -> Value | None:
        if name not in known and self.strict:
            raise DriftError(f"{self.path}: the {kind} {name} is not locked", hint=_HINT)
        return known.get(name)

    def require(self, recipes: Mapping[str, str], codecs: Mapping[str, str]) -> None:
        """Raise DriftError when a recipe or codec is not locked, or is not the one locked (strict locks only)."""
        if not self.strict:
            return
        for name, digest in recipes.items():
            if self._find(self.pins.recipes, "component", name) != digest:
                raise DriftError(f"{self.path}: the recipe of the component {name} has changed", hint=_HINT)
        for name, version in codecs.items():
            locked = self.pins.codecs.get(name, "not")
            if locked != version:
                raise DriftError(f"{self.path}: {name} is {version} here and {locked} in the lock", hint=_HINT)


def find_lock(path: Path, arch: str, *, required: bool, strict: bool) -> Lock | None:
    """The lock at ``path``, if it has pins for ``arch``; a missing one is an error only where it is required."""
    try:
        document = _read(path)
    except FileNotFoundError:
        if required:
            raise NotFound(f"there is no lock {path}", hint=_HINT) from None
        return None
    if arch not in document:
        if required:
            raise NotFound(f"{path} has nothing for {arch}", hint=_HINT)
        return None
    return Lock(_parse(document[arch], f"{path}: {arch}"), path, strict)


def write_lock(path: Path, arch: str, pins: Pins) -> None:
    """Write the pins of one architecture; those of others in the same file stay."""
    try:
        document = _read(path)
    except FileNotFoundError:
        document = {}
    document[arch] = _render(pins)
    text = json.dumps({"version": VERSION, "architectures": document}, indent=1, sort_keys=True) + "\n"
    atomic_write(path, text.encode())


def _read(path: Path) -> dict[str, Any]:
    """The architectures of a lock file. Raises FileNotFoundError, and ConfigError for what is not a lock file."""
    with host_errors(f"read {path}"), open(path, "rb") as stream:
        data = stream.read(_MAX_BYTES + 1)
    try:
        document = json.loads(data)
        architectures = document["architectures"]
        version = document["version"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ConfigError(f"{path} is not a lock of hullkit", hint=_HINT) from error
    if version != VERSION or not isinstance(architectures, dict):
        raise ConfigError(f"{path} is a lock of version {version}; this hullkit reads version {VERSION}", hint=_HINT)
    return architectures


def _render(pins: Pins) -> dict[str, Any]:
    groups = (*pins.components.values(), *pins.builds.values(), *pins.tools.values())
    packages = {package.key: package.to_json() for group in groups for package in group}
    return {
        "codecs": dict(pins.codecs),
        "recipes": dict(pins.recipes),
        "images": dict(pins.images),
        "components": {name: sorted(package.key for package in group) for name, group in pins.components.items()},
        "builds": {name: sorted(package.key for package in group) for name, group in pins.builds.items()},
        "tools": {name: sorted(package.key for package in group) for name, group in pins.tools.items()},
        "packages": packages,
    }


def _parse(data: Any, what: str) -> Pins:
    try:
        packages = {key: Package.from_json(value) for key, value in data["packages"].items()}

        def groups(section: str) -> dict[str, tuple[Package, ...]]:
            return {name: tuple(packages[key] for key in keys) for name, keys in data[section].items()}

        recipes, codecs = dict(data["recipes"]), dict(data["codecs"])
        images = {str(name): check_digest(digest) for name, digest in data.get("images", {}).items()}
        builds = groups("builds") if "builds" in data else {}
        return Pins(groups("components"), recipes, groups("tools"), codecs, images, builds)
    except (KeyError, TypeError, AttributeError, ValueError, TrustError) as error:
        raise ConfigError(f"{what}: the lock is damaged", hint=_HINT) from error
