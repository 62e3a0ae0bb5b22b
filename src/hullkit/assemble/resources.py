"""Devices and control group limits in the terms of the OCI runtime specification."""

from __future__ import annotations

from typing import Any

from hullkit.config import syntax
from hullkit.config.model import Device, IdMapping, ImageConfig, Resources
from hullkit.errors import ConfigError

#: keys of the YAML that the specification spells differently
_SPELT = {"blockio": "blockIO"}


def id_mappings(mappings: tuple[IdMapping, ...] | None, *, hardened: bool) -> list[dict[str, int]]:
    """LinuxKit's parser does not know keys with capitals here, so its ids are all 0 (golden cases 090 to 092)."""
    if hardened:
        return [mapping.to_json() for mapping in mappings or ()]
    return [{"containerID": 0, "hostID": 0, "size": mapping.size} for mapping in mappings or ()]


def devices_and_resources(config: ImageConfig, *, hardened: bool) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The specification's ``linux.devices`` and ``linux.resources``; a device node comes with the right to use it."""
    limits = _limits(config.resources, hardened=hardened)
    rules: list[dict[str, Any]] = [{"allow": False, "access": "rwm"}] if hardened else []
    rules += limits.get("devices", [])
    nodes = []
    for device in config.devices or ():
        rule: dict[str, Any] = {"allow": True, "type": device.type or "", "access": "rwm"}
        if device.path == "all":
            rules.append(_without_empty(rule))
            continue
        node = _node(device)
        nodes.append(node)
        rules.append(_without_empty({**rule, "major": node["major"], "minor": node["minor"]}))
    if rules:
        limits["devices"] = rules
    return nodes, limits


def _without_empty(rule: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in rule.items() if value != ""}


def _node(device: Device) -> dict[str, Any]:
    return {
        "path": device.path or "",
        "type": device.type or "",
        "major": device.major or 0,
        "minor": device.minor or 0,
        "fileMode": syntax.octal_mode(device.mode or ""),
    }


def _limits(resources: Resources | None, *, hardened: bool) -> dict[str, Any]:
    data = resources.to_json() if resources is not None else {}
    if not hardened:
        data = _as_linuxkit_reads(data)
    for rule in data.get("devices", []):
        rule.setdefault("allow", False)
    for limit in data.get("hugepageLimits", []):
        if not isinstance(limit.get("pageSize"), str):
            raise ConfigError("resources.hugepageLimits: pageSize must be text", hint='as the kernel names it: "2MB"')
    return {_SPELT.get(name, name): value for name, value in data.items()}


def _as_linuxkit_reads(data: Any) -> Any:
    """Without the keys that its parser loses: it knows the fields of ``resources`` only in lower case."""
    if isinstance(data, list):
        return [_as_linuxkit_reads(each) for each in data]
    if not isinstance(data, dict):
        return data
    return {name: _as_linuxkit_reads(value) for name, value in data.items() if name == name.lower()}
