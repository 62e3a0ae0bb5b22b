"""hull.json: what the builder tells init (docs/guest.md)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from hullkit.assemble.containers import KINDS, Container
from hullkit.assemble.images import Images
from hullkit.config.definition import Definition
from hullkit.config.model import Restart, ServiceEntry, SystemConfig

VERSION = 1
#: LinuxKit never restarts a service; one that fails is worth another try
_RESTART = Restart(policy="on-failure")


def container_json(container: Container, layers: Sequence[str], *, writable: bool) -> dict[str, Any]:
    """One container; ``layers`` are layer references, top first."""
    entry = container.entry
    told: dict[str, Any] = {
        "name": container.name,
        "bundle": container.bundle,
        "layers": list(layers),
        "writable": writable,
        "readonly": container.readonly,
    }
    for key in ("ready", "stop", "logs"):
        if (value := getattr(container.config, key)) is not None:
            told[key] = _explicit(value)
    if isinstance(entry, ServiceEntry):
        told["restart"] = _explicit(container.config.restart or _RESTART)
        told["after"] = list(entry.after or ())
        told["requires"] = list(entry.requires or ())
    elif container.config.timeout is not None:
        told["timeout"] = container.config.timeout
    return told


def _explicit(value: Any) -> Any:
    """A definition as JSON with its defaults spelt out; init has none of its own. What is absent is left out."""
    if isinstance(value, Definition):
        fields = {name: getattr(value, name) for name in value.__struct_fields__}
        return {name: _explicit(field) for name, field in fields.items() if field is not None}
    return value


def hull_json(
    config: SystemConfig,
    images: Images,
    name: str,
    layout: str,
    layers: Mapping[str, Mapping[str, Any]],
    root: Sequence[str],
    told: Sequence[tuple[Container, dict[str, Any]]],
    *,
    modules: Sequence[str] = (),
    mounts: Sequence[Mapping[str, Any]] = (),
) -> bytes:
    """The whole document; ``layers``: layer id → where it is (``file`` of the initramfs, or ``offset`` and ``size`` in
    a store); ``root`` is top first; ``modules`` are kernel modules that the containers need, ``mounts`` are made
    before the first container runs."""
    document: dict[str, Any] = {
        "version": VERSION,
        "name": name,
        "layout": layout,
        "supervisor": images.supervisor(config),
        "layers": [{"id": identity, **place} for identity, place in layers.items()],
        "root": {"layers": list(root)},
        "modules": list(modules),
        "mounts": list(mounts),
        "checks": [_explicit(check) for check in config.checks],
        "expect": {"address": any(container.image.role == "dhcp-client" for container, _ in told)},
    }
    for kind in KINDS:
        document[kind] = [each for container, each in told if container.kind == kind]
    return json.dumps(document, sort_keys=True, indent=1, ensure_ascii=False).encode()
