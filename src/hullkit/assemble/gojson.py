"""JSON documents as Go's encoder writes them: LinuxKit's config.json and runtime.json, byte for byte.

Members stand in the order of the structs of the OCI runtime specification (specs-go/config.go) and of LinuxKit's
runtime.json; what is a map in Go is sorted. Four blanks of indentation, and "&", "<", ">" escaped as for HTML.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

#: names of members in order, by the name of the member that holds them; those of list items stand under the list's
_ORDER: Mapping[str, tuple[str, ...]] = {
    "": ("ociVersion", "process", "root", "hostname", "mounts", "annotations", "linux"),
    "process": ("user", "args", "env", "cwd", "capabilities", "rlimits", "noNewPrivileges", "oomScoreAdj"),
    "user": ("uid", "gid", "additionalGids"),
    "capabilities": ("bounding", "effective", "inheritable", "permitted", "ambient"),
    "rlimits": ("type", "hard", "soft"),
    "root": ("path", "readonly"),
    "mounts": ("destination", "type", "source", "options", "uidMappings", "gidMappings"),
    "linux": (
        *("uidMappings", "gidMappings", "sysctl", "resources", "cgroupsPath", "namespaces", "devices", "seccomp"),
        *("rootfsPropagation", "maskedPaths", "readonlyPaths"),
    ),
    "uidMappings": ("containerID", "hostID", "size"),
    "gidMappings": ("containerID", "hostID", "size"),
    "namespaces": ("type", "path"),
    # of linux, and of linux.resources
    "devices": ("allow", "path", "type", "major", "minor", "fileMode", "uid", "gid", "access"),
    "resources": ("devices", "memory", "cpu", "pids", "blockIO", "hugepageLimits", "network"),
    "memory": ("limit", "reservation", "swap", "kernel", "kernelTCP", "swappiness", "disableOOMKiller"),
    "cpu": ("shares", "quota", "period", "realtimeRuntime", "realtimePeriod", "cpus", "mems"),
    "blockIO": ("weight", "leafWeight", "weightDevice"),
    "weightDevice": ("major", "minor", "weight", "leafWeight"),
    "hugepageLimits": ("pageSize", "limit"),
    "network": ("classID", "priorities"),
    "interfaces": ("name", "add", "peer", "createInRoot"),
}
_RUNTIME = ("cgroups", "mounts", "mkdir", "interfaces", "bindNS", "namespace")
_ESCAPED = str.maketrans(
    {
        **{letter: f"\\u{ord(letter):04x}" for letter in "&<>\u2028\u2029"},
        # half of a surrogate pair is no text, and Go does not keep it
        **dict.fromkeys(map(chr, range(0xD800, 0xE000)), "\ufffd"),
    }
)


def go_json(document: Mapping[str, Any]) -> bytes:
    """The text of a document; the same for equal documents, whatever the order of their members."""
    return json.dumps(_ordered(document, ""), indent=4, ensure_ascii=False).translate(_ESCAPED).encode()


def _ordered(value: Any, name: str) -> Any:
    if isinstance(value, list | tuple):
        return [_ordered(each, name) for each in value]
    if not isinstance(value, Mapping):
        return value
    known = _RUNTIME if not name and "cgroups" in value else _ORDER.get(name, ())
    places = {each: number for number, each in enumerate(known)}
    keys = sorted(value, key=lambda key: (places.get(key, len(places)), key))
    return {key: _ordered(value[key], key) for key in keys}
