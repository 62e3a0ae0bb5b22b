"""Debian packages: signed index → resolver → verified .deb → entries.

``Archive.open(context, arch)``, ``Archive.resolve(roots)``, ``fetch(context, packages)``, ``deb_entries(...)``.
The names are loaded when first used: a warm build asks only for an archive's id.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hullkit.debian.archive import DEFAULT_SUITES, Archive
    from hullkit.debian.deb import control_file, control_files, deb_entries
    from hullkit.debian.package import Package
    from hullkit.debian.pool import fetch, pool_path

__all__ = [
    "DEFAULT_SUITES",
    "Archive",
    "Package",
    "control_file",
    "control_files",
    "deb_entries",
    "fetch",
    "pool_path",
]
_MODULES = {
    "DEFAULT_SUITES": "archive",
    "Archive": "archive",
    "Package": "package",
    "control_file": "deb",
    "control_files": "deb",
    "deb_entries": "deb",
    "fetch": "pool",
    "pool_path": "pool",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(name)
    return getattr(importlib.import_module(f"hullkit.debian.{_MODULES[name]}"), name)
