"""A package as the resolver gives it and a lock file keeps it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from hullkit.errors import ConfigError

#: the ``arch`` of source packages
SOURCE = "source"
_PATTERNS = {
    "name": r"[a-z0-9][a-z0-9+.-]+",
    "version": r"[A-Za-z0-9][A-Za-z0-9.+~:-]*",
    "arch": r"[a-z0-9-]+",
    "suite": r"[a-z0-9][a-z0-9.-]*",
    "sha256": r"[0-9a-f]{64}",
    "source": r"[a-z0-9][a-z0-9+.-]+",
    "source_version": r"[A-Za-z0-9][A-Za-z0-9.+~:-]*",
    # Relative, without a component that starts with a dot: it can name nothing outside the pool.
    "path": r"[A-Za-z0-9_+~][A-Za-z0-9_+~.:%-]*(/[A-Za-z0-9_+~][A-Za-z0-9_+~.:%-]*)*",
}


@dataclass(frozen=True, slots=True)
class Package:
    """One .deb of an archive, or (``arch`` "source") one file of a source package.

    ``arch`` is Debian's name, "all" or "source"; ``path`` is relative to the mirror's base; ``size`` is the file's in
    bytes; ``time`` is the Unix time of the index it was found in (0: unknown). Two packages with the same
    ``sha256`` are the same bytes: build ids should use that, since ``time`` and ``suite`` may change without them.
    """

    name: str
    version: str
    arch: str
    suite: str
    path: str
    sha256: str
    size: int
    source: str
    source_version: str
    time: int = 0

    def __str__(self) -> str:
        return f"{self.name} {self.version} ({self.arch})"

    @property
    def key(self) -> str:
        """Tells apart all packages of one lock: NAME_VERSION_ARCH, of a source package's file the file's name."""
        return self.path.rpartition("/")[2] if self.arch == SOURCE else f"{self.name}_{self.version}_{self.arch}"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Package:
        """Read ``to_json``'s form again. Raises ConfigError for anything that is not a package."""
        known = {field.name for field in fields(cls)}
        if not isinstance(data, Mapping) or set(data) - known or known - set(data) - {"time"}:
            raise ConfigError(f"not a locked Debian package: {str(data)[:200]}")
        return checked(cls(**data))


def checked(package: Package) -> Package:
    """The same package. Raises ConfigError when a field has a form that no archive gives it."""
    for name, pattern in _PATTERNS.items():
        value = getattr(package, name)
        if not isinstance(value, str) or re.fullmatch(pattern, value) is None:
            raise ConfigError(f"Debian package {str(package.name)[:80]!r}: {name} {str(value)[:200]!r} is not valid")
    if type(package.size) is not int or package.size <= 0 or type(package.time) is not int or package.time < 0:
        raise ConfigError(f"Debian package {package.name!r}: size and time must be whole numbers")
    return package
