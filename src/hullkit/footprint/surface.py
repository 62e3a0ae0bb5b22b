"""What can be attacked: programs, privileges, writable paths, filters; found without a boot."""

from __future__ import annotations

import stat
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hullkit.assemble.containers import Container
from hullkit.footprint.disk import Cost
from hullkit.footprint.model import ContainerSurface, Executables, Program, Surface
from hullkit.tree.entry import Entry, EntryType

_SET_ID = stat.S_ISUID | stat.S_ISGID
_EXECUTE = 0o111
_FILE_CAPABILITIES = "security.capability"
#: what init mounts for writing (docs/guest.md, "What init does")
_WRITABLE = ("/dev", "/dev/shm", "/run", "/tmp", "/var")  # noqa: S108
_FILE_SYSTEMS_OF_THE_KERNEL = frozenset(("proc", "sysfs", "cgroup", "cgroup2", "mqueue", "devpts"))


def surface(
    costs: Sequence[Cost],
    containers: Iterable[tuple[Container, str]],
    capable: frozenset[tuple[str, str]],
    kernel: Mapping[str, str],
    *,
    writable_root: bool,
) -> Surface:
    """``containers`` come with their components; ``capable`` are (layer, path) with file capabilities."""
    files = [cost for cost in costs if stat.S_ISREG(cost.mode)]
    counts = Counter(cost.component for cost in files if cost.mode & _EXECUTE)
    privileged = [
        Program(
            component=cost.component,
            path=cost.file.path,
            mode=f"{stat.S_IMODE(cost.mode):04o}",
            capabilities=(cost.layer, cost.file.path) in capable,
            users=cost.users,
        )
        for cost in files
        if _is_privileged(cost, capable)
    ]
    return Surface(
        executables=tuple(Executables(*each) for each in sorted(counts.items())),
        privileged=tuple(sorted(privileged, key=lambda program: (program.component, program.path))),
        containers=tuple(container_surface(*each) for each in containers),
        writable=("/",) if writable_root else _WRITABLE,
        modules=sum(is_module(cost.file.path) for cost in files),
        kernel_options=dict(kernel),
    )


def _is_privileged(cost: Cost, capable: frozenset[tuple[str, str]]) -> bool:
    set_id = cost.mode & _SET_ID and cost.mode & _EXECUTE
    return bool(set_id) or (cost.layer, cost.file.path) in capable


def is_module(path: str) -> bool:
    name = path.rpartition("/")[2]
    return "/modules/" in f"/{path}" and (name.endswith(".ko") or ".ko." in name)


def capable_files(layers: Mapping[str, Iterable[Entry]]) -> frozenset[tuple[str, str]]:
    """(layer, path) of the files with capabilities of their own; ``layers`` are the entries of each by diffID."""
    return frozenset(
        (layer, entry.path)
        for layer, entries in layers.items()
        for entry in entries
        if any(name == _FILE_CAPABILITIES for name, _ in entry.xattrs)
    )


def container_surface(container: Container, component: str) -> ContainerSurface:
    spec = container.spec
    process = spec.get("process", {})
    user = process.get("user", {})
    held = process.get("capabilities", {})
    programs = sum(
        entry.type is EntryType.FILE and bool(entry.mode & _EXECUTE) for entry in container.image.tree.entries()
    )
    return ContainerSurface(
        name=container.name,
        kind=container.kind,
        component=component,
        user=f"{user.get('uid', 0)}:{user.get('gid', 0)}",
        capabilities=tuple(sorted(set(held.get("bounding", ())) | set(held.get("permitted", ())))),
        writable=tuple(writable_paths(spec)),
        seccomp=_seccomp(container),
        no_new_privileges=bool(process.get("noNewPrivileges")),
        own_network=any(
            space.get("type") == "network" and not space.get("path")
            for space in spec.get("linux", {}).get("namespaces", ())
        ),
        executables=programs,
    )


def writable_paths(spec: Mapping[str, Any]) -> list[str]:
    """Where a container can write: its root, if it is not read-only, and mounts that are not."""
    found = [] if spec.get("root", {}).get("readonly") else ["/"]
    for mount in spec.get("mounts", ()):
        if mount.get("type") not in _FILE_SYSTEMS_OF_THE_KERNEL and "ro" not in mount.get("options", ()):
            found.append(mount["destination"])
    return sorted(found)


def _seccomp(container: Container) -> str:
    if not container.spec.get("linux", {}).get("seccomp"):
        return "unconfined"
    chosen = container.config.seccomp
    return "custom" if chosen is not None and chosen.name is None else "default"
