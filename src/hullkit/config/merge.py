"""Several files → one configuration, as LinuxKit does (moby/config.go, AppendConfig).

Kernel fields override one by one, lists append. All files' volumes count (LinuxKit forgets those of earlier files).
hullkit's ``layout``, ``network``, ``budget`` and LinuxKit's ``trust``: the last file that has one wins; ``checks``
append.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hullkit.config.model import KernelConfig, Origin, Path, SystemConfig, SystemFile

_LISTS = ("init", "volumes", "onboot", "onshutdown", "services", "files", "checks")
_SINGLE = ("trust", "layout", "network", "budget")
Places = Mapping[Path, tuple[str, int, int]]


def merge(
    parts: Sequence[tuple[SystemFile, Places]], directories: Mapping[str, str], warnings: Sequence[str]
) -> SystemConfig:
    """The files in order, each with the positions of its values."""
    positions: dict[Path, tuple[str, int, int]] = {}
    lists: dict[str, list[Any]] = {name: [] for name in _LISTS}
    values: dict[str, Any] = {}
    kernel = KernelConfig()
    for part, places in parts:
        offsets = {name: len(lists[name]) for name in _LISTS}
        for path, place in places.items():
            positions[_moved(path, offsets)] = place
        for name in _LISTS:
            lists[name] += getattr(part, name) or ()
        values.update({name: value for name in _SINGLE if (value := getattr(part, name)) is not None})
        kernel = _merge_kernel(kernel, part.kernel)
    values.update({name: tuple(found) for name, found in lists.items()})
    return SystemConfig(
        kernel=kernel,
        **values,
        origin=Origin(positions, directories, tuple(warnings)),
    )


def _moved(path: Path, offsets: Mapping[str, int]) -> Path:
    """A path of one file in the merged configuration: list indexes grow by what earlier files had."""
    if len(path) > 1 and isinstance(path[0], str) and isinstance(path[1], int) and offsets.get(path[0]):
        return (path[0], path[1] + offsets[path[0]], *path[2:])
    return path


def _merge_kernel(first: KernelConfig, second: KernelConfig | None) -> KernelConfig:
    if second is None:
        return first

    def text(name: str) -> Any:
        return getattr(second, name) or getattr(first, name)

    def value(name: str) -> Any:
        return getattr(first, name) if getattr(second, name) is None else getattr(second, name)

    # an empty image, cmdline or binary overrides nothing; an empty tar or ucode means none (golden case 101)
    return KernelConfig(
        image=text("image"),
        cmdline=text("cmdline"),
        binary=text("binary"),
        tar=value("tar"),
        ucode=value("ucode"),
        profile=value("profile"),
        modules=second.modules if first.modules is None else (*first.modules, *(second.modules or ())),
    )
