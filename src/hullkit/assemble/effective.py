"""What applies to a container: the system YAML over the image's label over the image's own configuration.

A value replaces the whole one below it, and an empty list clears it; texts like ``cwd`` and ``net`` give way when they
are empty. ``capabilities.add`` and ``binds.add`` of the YAML join the label's (LinuxKit: moby/config.go).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from hullkit.config import syntax
from hullkit.config.model import BindNamespaces, ImageConfig, ImageEntry, Mount, Runtime, Stop, SystemConfig

#: an empty text of these means the same as none
_TEXTS = frozenset(("cwd", "net", "pid", "ipc", "uts", "userns", "hostname"))
_VOLUMES = "/containers/volumes"
Merged = TypeVar("Merged", Runtime, BindNamespaces)


def effective_config(entry: ImageConfig, label: ImageConfig | None, image_config: Mapping[str, Any]) -> ImageConfig:
    """The configuration after precedence; ``image_config`` is the ``config`` object of the OCI image.

    ``command``, ``env`` and ``cwd`` are always set; everything else is None when nobody says it.
    """
    low = label or ImageConfig()
    values: dict[str, Any] = {}
    for name in ImageConfig.__struct_fields__:
        high = getattr(entry, name)
        wins = bool(high) if name in _TEXTS else high is not None
        values[name] = high if wins else getattr(low, name)
    if entry.capabilities is None:
        values["capabilities"] = _joined(low.capabilities, entry.capabilities_add)
    if entry.binds is None:
        values["binds"] = _joined(low.binds, entry.binds_add)
    values.update(capabilities_add=None, binds_add=None)
    values["runtime"] = _merged(Runtime, low.runtime, entry.runtime)
    if values["command"] is None:
        values["command"] = (*(image_config.get("Entrypoint") or ()), *(image_config.get("Cmd") or ()))
    if values["env"] is None:
        values["env"] = tuple(image_config.get("Env") or ())
    values["cwd"] = values["cwd"] or image_config.get("WorkingDir") or "/"
    if values["stop"] is None and image_config.get("StopSignal") in syntax.SIGNALS:
        values["stop"] = Stop(signal=image_config["StopSignal"])
    return ImageConfig(**values)


def _joined(low: tuple[str, ...] | None, added: tuple[str, ...] | None) -> tuple[str, ...] | None:
    return None if low is None and added is None else (*(low or ()), *(added or ()))


def _merged(cls: type[Merged], low: Merged | None, high: Merged | None) -> Merged | None:
    """Field by field, and so in ``bindNS``."""
    if low is None or high is None:
        return high or low
    values = {name: getattr(low, name) if (v := getattr(high, name)) is None else v for name in cls.__struct_fields__}
    if isinstance(low, Runtime) and isinstance(high, Runtime):
        values["bind_ns"] = _merged(BindNamespaces, low.bind_ns, high.bind_ns)
    return cls(**values)


def with_volumes(entry: ImageEntry, config: SystemConfig, *, mounts: bool) -> ImageEntry:
    """The entry with volume names as sources replaced by the volumes' directories.

    ``mounts``: in ``mounts`` too; LinuxKit checks them and then forgets to (golden case 182).
    """

    def directory(source: str) -> str:
        known = not source.startswith("/") and config.volume(source) is not None
        return f"{_VOLUMES}/{source}/merged" if known else source

    def bound(texts: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if texts is None:
            return None
        binds = [syntax.bind(text) for text in texts]
        return tuple(bind.with_source(directory(bind.source)) for bind in binds)

    def mounted(mount: Mount) -> Mount:
        if mount.type != "bind" or not mount.source:
            return mount
        return msgspec.structs.replace(mount, source=directory(mount.source))

    changed: dict[str, Any] = {"binds": bound(entry.binds), "binds_add": bound(entry.binds_add)}
    if mounts and entry.mounts is not None:
        changed["mounts"] = tuple(mounted(mount) for mount in entry.mounts)
    return msgspec.structs.replace(entry, **changed)
