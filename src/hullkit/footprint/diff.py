"""What changed from one footprint to another, and under which component."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from hullkit.footprint.model import Footprint, Port, Program


class FileChange(msgspec.Struct, frozen=True):
    """A file that takes another number of bytes (0: it is not there)."""

    path: str
    package: str
    before: int
    after: int


class ComponentChange(msgspec.Struct, frozen=True):
    """A component and its files that changed, the largest change first."""

    component: str
    before: int
    after: int
    files: tuple[FileChange, ...]


class Change(msgspec.Struct, frozen=True):
    """A figure before and after; None: it was not there, or not measured."""

    name: str
    before: float | None
    after: float | None


class Exposed(msgspec.Struct, frozen=True):
    """A listening port that came or went; ``component`` is that of its container."""

    component: str
    port: Port


class Right(msgspec.Struct, frozen=True):
    """Something more or less that a container may do."""

    container: str
    component: str
    what: str


class Difference(msgspec.Struct, frozen=True):
    """B against A. ``memory`` is in bytes, ``boot`` in seconds. Ports are compared only when both were booted."""

    version: int
    disk: Change
    components: tuple[ComponentChange, ...]
    programs_added: tuple[Program, ...]
    programs_removed: tuple[Program, ...]
    ports_added: tuple[Exposed, ...]
    ports_removed: tuple[Exposed, ...]
    rights_added: tuple[Right, ...]
    rights_removed: tuple[Right, ...]
    memory: tuple[Change, ...]
    boot: tuple[Change, ...]


def difference(before: Footprint, after: Footprint) -> Difference:
    old, new = before.surface, after.surface
    old_ports, new_ports = _ports(before), _ports(after)
    compared = old.ports is not None and new.ports is not None
    old_rights, new_rights = _rights(before), _rights(after)
    return Difference(
        version=1,
        disk=Change("disk", before.disk.bytes, after.disk.bytes),
        components=tuple(components(before, after)),
        programs_added=tuple(each for each in new.privileged if each not in old.privileged),
        programs_removed=tuple(each for each in old.privileged if each not in new.privileged),
        ports_added=tuple(each for each in new_ports if each not in old_ports) if compared else (),
        ports_removed=tuple(each for each in old_ports if each not in new_ports) if compared else (),
        rights_added=tuple(each for each in new_rights if each not in old_rights),
        rights_removed=tuple(each for each in old_rights if each not in new_rights),
        memory=tuple(_changes(_memory(before), _memory(after))),
        boot=tuple(_changes(_boot(before), _boot(after))),
    )


def components(before: Footprint, after: Footprint) -> list[ComponentChange]:
    """The components whose bytes changed, the largest growth first."""
    old, new = _files(before), _files(after)
    found = []
    for component in sorted({*old, *new}):
        was, now = old.get(component, {}), new.get(component, {})
        changes = [
            FileChange(path, package, was.get((package, path), 0), now.get((package, path), 0))
            for package, path in sorted({*was, *now})
            if was.get((package, path), 0) != now.get((package, path), 0)
        ]
        if changes:
            changes.sort(key=lambda change: (-abs(change.after - change.before), change.path))
            found.append(ComponentChange(component, sum(was.values()), sum(now.values()), tuple(changes)))
    return sorted(found, key=lambda change: (change.before - change.after, change.component))


def _files(footprint: Footprint) -> dict[str, dict[tuple[str, str], int]]:
    """Component → (package less its version, path) → bytes; a new version is no new file."""
    found: dict[str, dict[tuple[str, str], int]] = {}
    for part in footprint.disk.parts:
        files = found.setdefault(part.component, {})
        for file in part.files:
            key = (part.package.partition("_")[0], file.path)
            files[key] = files.get(key, 0) + file.bytes
    return found


def _component_of(footprint: Footprint) -> dict[str, str]:
    return {container.name: container.component for container in footprint.surface.containers}


def _ports(footprint: Footprint) -> list[Exposed]:
    components = _component_of(footprint)
    return [Exposed(components.get(port.container, ""), port) for port in footprint.surface.ports or ()]


def _rights(footprint: Footprint) -> list[Right]:
    found = []
    for each in footprint.surface.containers:
        rights = [*each.capabilities, *(f"writes {path}" for path in each.writable)]
        rights += [] if each.seccomp == "default" else [f"seccomp {each.seccomp}"]
        rights += [] if each.no_new_privileges else ["may gain privileges"]
        rights += [] if each.own_network else ["the system's network"]
        found += [Right(each.name, each.component, right) for right in rights]
    return found


def _memory(footprint: Footprint) -> dict[str, float]:
    memory = footprint.memory
    if memory is None:
        return {}
    shares = {share.name: share.bytes for share in memory.shares if share.kind not in ("free", "rest", "cache")}
    return {"used": memory.used, **shares}


def _boot(footprint: Footprint) -> dict[str, float]:
    boot = footprint.boot
    if boot is None:
        return {}
    cpu = {} if boot.cpu is None else {"CPU": boot.cpu.median}
    return {"up": boot.up.median, **cpu, **{stage.name: stage.seconds.median for stage in boot.timeline}}


def _changes(before: Mapping[str, float], after: Mapping[str, float]) -> list[Change]:
    if not before or not after:
        return []
    names = dict.fromkeys((*before, *after))
    changed = [Change(name, before.get(name), after.get(name)) for name in names]
    return [change for change in changed if change.before != change.after]
