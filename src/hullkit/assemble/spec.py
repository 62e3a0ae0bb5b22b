"""The OCI runtime specification (config.json) and the runtime.json of a container.

``hardened=False`` gives what LinuxKit computes, field by field (moby/config.go; the golden cases). ``hardened=True``
gives hullkit's defaults where neither YAML nor label says otherwise: a read-only root, no new privileges, masked and
read-only paths, a system call filter, pid, ipc, uts and cgroup namespaces of its own, only the devices it names, and
a control group named after it. Order and form of the output depend on nothing but the input.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from hullkit.assemble.effective import effective_config, with_volumes
from hullkit.assemble.resources import devices_and_resources, id_mappings
from hullkit.assemble.seccomp import default_profile
from hullkit.config import syntax
from hullkit.config.model import ImageConfig, Mount, Seccomp
from hullkit.config.validate import DEFAULT_DESTINATION, mount_type
from hullkit.errors import ConfigError

OCI_VERSION = "1.2.1"

#: what tells about the host or changes it, hidden from hardened containers (empty files and directories over it)
MASKED_PATHS = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
)
READONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")

_PROC = ("nosuid", "nodev", "noexec", "relatime")
_DEV = ("nosuid", "strictatime", "mode=755", "size=65536k")
_PTS = ("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620")
_SYS = ("nosuid", "noexec", "nodev")
_CGROUP = ("nosuid", "noexec", "nodev", "relatime", "ro")
_SHM = ("nosuid", "noexec", "nodev", "mode=1777", "size=65536k")
_BIND = ("rw", "rbind", "rshared")


def runtime_spec(
    config: ImageConfig,
    *,
    rootfs_path: str,
    ids: Mapping[str, int],
    hardened: bool,
    name: str = "",
    arch: str = "amd64",
    base: str = ".",
) -> dict[str, Any]:
    """The specification of a container with an effective configuration (``effective_config``).

    ``ids`` are the ids that containers' names stand for; ``name`` is the container's (for its control group), ``arch``
    Go's name of the architecture, ``base`` the directory of a relative ``seccomp: {file: ...}``. ConfigError for a
    name without an id, capabilities that do not go together, or a filter that cannot be read.
    """
    if hardened and config.hostname and config.uts in ("host", "root"):
        raise ConfigError("hostname: a container with uts: host has the system's name", hint="remove one of them")
    readonly = hardened if config.readonly is None else config.readonly
    granted = _capabilities(config.capabilities)
    ambient = _capabilities(config.ambient)
    spec: dict[str, Any] = {
        "ociVersion": OCI_VERSION,
        "process": _process(config, granted, ambient, ids, hardened=hardened),
        "root": _some(path=rootfs_path, readonly=readonly),
        "mounts": _mounts(config, readonly=readonly, hardened=hardened),
        "linux": _linux(config, name, hardened=hardened),
    }
    spec.update(_some(hostname=config.hostname, annotations=config.annotations))
    if filters := _seccomp(config.seccomp, {*granted, *ambient}, arch, base, hardened=hardened):
        spec["linux"]["seccomp"] = filters
    return spec


def _some(**values: Any) -> dict[str, Any]:
    """Without what is empty, as Go's omitempty leaves it out."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items() if value}


def _capabilities(names: tuple[str, ...] | None) -> tuple[str, ...]:
    try:
        return syntax.capabilities(names or ())
    except ValueError as error:
        raise ConfigError(f"capabilities: {error}") from None


def _process(
    config: ImageConfig,
    granted: tuple[str, ...],
    ambient: tuple[str, ...],
    ids: Mapping[str, int],
    *,
    hardened: bool,
) -> dict[str, Any]:
    bounding = tuple(sorted({*granted, *ambient}))
    # An inheritable capability is one that files can hand to other users: hardened, only what is ambient anyway.
    inheritable = tuple(sorted(set(ambient))) if hardened else bounding
    user = {"uid": id_number(config.uid, ids), "gid": id_number(config.gid, ids)}
    user.update(_some(additionalGids=[id_number(each, ids) for each in config.additional_gids or ()]))
    process: dict[str, Any] = {"user": user, "cwd": config.cwd or "/"}
    process.update(_some(args=config.command, env=config.env))
    process["capabilities"] = _some(
        bounding=bounding, effective=granted, inheritable=inheritable, permitted=bounding, ambient=ambient
    )
    limits = [syntax.rlimit(text) for text in config.rlimits or ()]
    unprivileged = hardened if config.no_new_privileges is None else config.no_new_privileges
    process.update(
        _some(
            rlimits=[{"type": kind, "soft": soft, "hard": hard} for kind, soft, hard in limits],
            noNewPrivileges=unprivileged,
        )
    )
    if config.oom_score_adj is not None:
        process["oomScoreAdj"] = config.oom_score_adj
    return process


def id_number(value: int | str | None, ids: Mapping[str, int]) -> int:
    """A user or group id: a number (modulo 2^32, as LinuxKit takes -1), ``root``, or the name of a container."""
    if value is None or value in ("", "root"):
        return 0
    if isinstance(value, int):
        return value % (1 << 32)
    if value not in ids:
        raise ConfigError(f"there is no container {value!r} whose id could be meant", hint="write a number")
    return ids[value]


def _mounts(config: ImageConfig, *, readonly: bool, hardened: bool) -> list[dict[str, Any]]:
    """All mounts, sorted by destination: defaults, then tmpfs, binds and mounts, each replacing what is there."""
    ro = ("ro",) if readonly else ()
    found = {
        "/proc": _mount("/proc", "proc", "proc", _PROC),
        "/dev": (dev := _mount("/dev", "tmpfs", "tmpfs", (*_DEV, *ro))),
        "/dev/pts": _mount("/dev/pts", "devpts", "devpts", _PTS),
        "/sys": _mount("/sys", "sysfs", "sysfs", (*_SYS, *ro)),
        "/sys/fs/cgroup": _mount("/sys/fs/cgroup", "cgroup", "cgroup", _CGROUP),
    }
    for text in config.tmpfs or ():
        destination, options = syntax.tmpfs(text)
        found[destination] = _mount(destination, "tmpfs", "tmpfs", options)
    for text in config.binds or ():
        bind = syntax.bind(text)
        options = _bind_options(bind.options, hardened=hardened)
        found[bind.destination] = _mount(bind.destination, "bind", bind.source, options)
    for mount in config.mounts or ():
        destination, made = _written_mount(mount, hardened=hardened)
        found[destination] = made
    if hardened and found["/dev"] is dev:
        found.setdefault("/dev/shm", _mount("/dev/shm", "tmpfs", "shm", _SHM))  # noqa: S108 - a path in the container
    return [found[destination] for destination in sorted(found)]


def _mount(destination: str, kind: str, source: str, options: tuple[str, ...] | None) -> dict[str, Any]:
    return {"destination": destination, **_some(type=kind, source=source, options=options)}


def _bind_options(options: tuple[str, ...] | None, *, hardened: bool) -> tuple[str, ...]:
    if options is None:
        return _BIND
    # LinuxKit adds rbind even to bind; hardened, bind means this file system alone
    alone = hardened and ("bind" in options or "rbind" in options)
    return options if alone else (*options, "rbind")


def _written_mount(mount: Mount, *, hardened: bool) -> tuple[str, dict[str, Any]]:
    kind = mount_type(mount)
    destination = mount.destination or DEFAULT_DESTINATION.get(kind, "")
    if not kind or not destination:
        raise ConfigError(f"mounts: the mount of {mount.source or kind} has no {'destination' if kind else 'type'}")
    made = _mount(destination, kind, mount.source or kind, mount.options)
    if hardened:  # LinuxKit reads these and drops them
        for key, mappings in (("uidMappings", mount.uid_mappings), ("gidMappings", mount.gid_mappings)):
            made.update(_some(**{key: id_mappings(mappings, hardened=True)}))
    return destination, made


#: key of the YAML, type of the specification, words for "make a new one"; in LinuxKit's order
_NAMESPACES = (
    ("net", "network", ("new", "none")),
    ("ipc", "ipc", ("new",)),
    ("uts", "uts", ("new",)),
    ("pid", "pid", ("new",)),
    ("userns", "user", ("new",)),
)


def _namespaces(config: ImageConfig, *, hardened: bool) -> list[dict[str, str]]:
    own_by_default = ("pid", "ipc", "uts") if hardened else ("pid",)
    found = []
    for key, kind, new in _NAMESPACES:
        value = getattr(config, key) or ("new" if key in own_by_default else "host")
        if value not in ("host", "root"):
            found.append({"type": kind, **({} if value in new else {"path": value})})
    found.append({"type": "mount"})
    if hardened:
        found.append({"type": "cgroup"})
    return found


def _linux(config: ImageConfig, name: str, *, hardened: bool) -> dict[str, Any]:
    nodes, resources = devices_and_resources(config, hardened=hardened)
    cgroup = config.cgroups_path if config.cgroups_path is not None or not hardened else f"/{name}" if name else None
    masked = MASKED_PATHS if hardened and config.masked_paths is None else config.masked_paths
    protected = READONLY_PATHS if hardened and config.readonly_paths is None else config.readonly_paths
    return {
        "resources": resources,
        "namespaces": _namespaces(config, hardened=hardened),
        **_some(
            uidMappings=id_mappings(config.uid_mappings, hardened=hardened),
            gidMappings=id_mappings(config.gid_mappings, hardened=hardened),
            sysctl=config.sysctl,
            cgroupsPath=cgroup,
            devices=nodes,
            rootfsPropagation=config.rootfs_propagation,
            maskedPaths=masked,
            readonlyPaths=protected,
        ),
    }


def _seccomp(
    wanted: Seccomp | None, capabilities: Collection[str], arch: str, base: str, *, hardened: bool
) -> dict[str, Any] | None:
    if wanted is None:
        return default_profile(capabilities, arch) if hardened else None
    if wanted.profile is not None:
        return wanted.profile
    if wanted.file is not None:
        return _profile_file(Path(base) / wanted.file)
    return default_profile(capabilities, arch) if wanted.name == "default" else None


def _profile_file(path: Path) -> dict[str, Any]:
    try:
        profile = json.loads(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"seccomp: {path}: {error.strerror}") from None
    except ValueError as error:
        raise ConfigError(f"seccomp: {path} is not JSON: {error}") from None
    if not isinstance(profile, dict) or not isinstance(profile.get("defaultAction"), str):
        raise ConfigError(f"seccomp: {path} is no OCI seccomp object: it has no defaultAction")
    return profile


def runtime_json(config: ImageConfig) -> dict[str, Any]:
    """LinuxKit's runtime.json: what init does around the container. All keys are there, whatever is written."""
    runtime = config.runtime.to_json() if config.runtime is not None else {}
    bound = runtime.get("bindNS", {})
    return {
        "cgroups": runtime.get("cgroups", []),
        "mounts": [_runtime_mount(mount) for mount in runtime.get("mounts", [])],
        "mkdir": runtime.get("mkdir", []),
        "interfaces": [_interface(each) for each in runtime.get("interfaces", [])],
        "bindNS": {key: bound.get(key, "") for key in ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")},
        "namespace": runtime.get("namespace", ""),
    }


def _runtime_mount(mount: dict[str, Any]) -> dict[str, Any]:
    some = _some(type=mount.get("type"), source=mount.get("source"), options=mount.get("options"))
    return {"destination": mount.get("destination", ""), **some}


def _interface(interface: dict[str, Any]) -> dict[str, Any]:
    some = _some(name=interface.get("name"), add=interface.get("add"), peer=interface.get("peer"))
    return {**some, "createInRoot": interface.get("createInRoot", False)}


__all__ = ["effective_config", "id_number", "runtime_json", "runtime_spec", "with_volumes"]
