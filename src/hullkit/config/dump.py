"""The merged configuration as text again: for ``--dry-run`` and for ``metadata: yaml`` files.

The form is LinuxKit's (moby.Moby as it marshals it): the same sections in the same order, empty lists shown, what is
absent left out; hullkit's keys follow where they are used. The output is the same whatever YAML library is there.
"""

from __future__ import annotations

from typing import Any

from hullkit.config.model import SystemConfig
from hullkit.config.syntax import expand_reference

_CONTAINERS = ("onboot", "onshutdown", "services")
_OWN = ("layout", "network", "checks", "budget")


def to_data(config: SystemConfig, *, expanded: bool = False) -> dict[str, Any]:
    """As JSON-like data; ``expanded``: image names with their registry, as in LinuxKit's metadata (not of volumes)."""
    expand = expand_reference if expanded else str
    data: dict[str, Any] = {"kernel": {"image": "", **config.kernel.to_json()}}
    data["kernel"]["image"] = expand(data["kernel"]["image"])
    data["init"] = [expand(image) for image in config.init]
    for section in _CONTAINERS:
        entries = [entry.to_json() for entry in getattr(config, section)]
        data[section] = [{**entry, "image": expand(entry["image"])} for entry in entries]
    data["files"] = [
        {"path": file.path, "directory": bool(file.directory), "optional": bool(file.optional), **file.to_json()}
        for file in config.files
    ]
    data["volumes"] = [volume.to_json() for volume in config.volumes]
    for key in _OWN:
        value = getattr(config, key)
        if value:
            data[key] = [each.to_json() for each in value] if key == "checks" else _plain(value)
    return data


def _plain(value: Any) -> Any:
    return value if isinstance(value, str) else value.to_json()


def dump_yaml(config: SystemConfig, *, expanded: bool = False) -> str:
    """``to_data`` as YAML that this floor and LinuxKit's parser read back to the same values."""
    import yaml

    return yaml.dump(
        to_data(config, expanded=expanded), Dumper=_dumper(), sort_keys=False, allow_unicode=True, width=1 << 30
    )


def metadata_yaml(config: SystemConfig) -> str:
    """The content of a file with ``metadata: yaml``."""
    return dump_yaml(config, expanded=True)


def _dumper() -> Any:
    """PyYAML's Python emitter (libyaml's may break lines elsewhere), quoting by the rules of yaml.v3."""
    import yaml

    from hullkit.config.yamlnodes import resolve

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        ordinary = all(line.isprintable() for line in value.split("\n"))
        style = '"' if not ordinary or not isinstance(resolve(value), str) else "|" if "\n" in value else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    Dumper.add_representer(str, text)
    return Dumper
