"""What a type cannot say: names that must be unique or exist, texts with a syntax, keys that exclude each other.

``validate_image`` looks at what may stand in an entry or a label, ``validate_system`` at a whole merged configuration.
``unsupported`` lists what may be written but is not built yet, ``unfit_for_hullkit`` what LinuxKit's init takes and
hullkit's does not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from hullkit.config import syntax
from hullkit.config.decode import Problems
from hullkit.config.definition import shown
from hullkit.config.model import (
    Device,
    FileEntry,
    ImageConfig,
    ImageEntry,
    Mount,
    Path,
    ServiceEntry,
    SystemConfig,
    Volume,
    container_ids,
)
from hullkit.errors import ConfigError

#: the mount types that may be left out when the source says them (LinuxKit: moby/config.go)
SELF_NAMED = frozenset(("mqueue", "devpts", "proc", "sysfs", "cgroup"))
#: where these types are mounted when no destination is given
DEFAULT_DESTINATION = {
    "proc": "/proc",
    "devpts": "/dev/pts",
    "sysfs": "/sys",
    "cgroup": "/sys/fs/cgroup",
    "mqueue": "/dev/mqueue",
}
_SERVICE_KEYS = ("restart", "ready", "stop")


def _try(problems: Problems, path: Path, check: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return check(*arguments)
    except ValueError as error:
        problems.report(path, str(error))
        return None


def _each(problems: Problems, path: Path, check: Callable[[str], Any], texts: Iterable[str] | None) -> None:
    for index, text in enumerate(texts or ()):
        _try(problems, (*path, index), check, text)


def validate_image(config: ImageConfig, problems: Problems, path: Path = ()) -> None:
    """What may stand in an entry of a system as well as in an image's label."""
    for key, names in (
        ("capabilities", config.capabilities),
        ("capabilities.add", config.capabilities_add),
        ("ambient", config.ambient),
    ):
        _try(problems, (*path, key), syntax.capabilities, names or ())
    _each(problems, (*path, "binds"), syntax.bind, config.binds)
    _each(problems, (*path, "binds.add"), syntax.bind, config.binds_add)
    _each(problems, (*path, "tmpfs"), syntax.tmpfs, config.tmpfs)
    _each(problems, (*path, "rlimits"), syntax.rlimit, config.rlimits)
    for index, mount in enumerate(config.mounts or ()):
        _validate_mount(mount, problems, (*path, "mounts", index))
    for index, device in enumerate(config.devices or ()):
        _validate_device(device, problems, (*path, "devices", index))
    _exactly_one(config.seccomp, ("name", "file", "profile"), problems, (*path, "seccomp"))
    _exactly_one(config.ready, ("tcp", "file", "exec", "address"), problems, (*path, "ready"))
    if config.stop is not None and config.stop.signal not in syntax.SIGNALS:
        full = f"SIG{config.stop.signal.upper().removeprefix('SIG')}"
        meant = f"; did you mean {full}?" if full in syntax.SIGNALS else syntax.near(full, sorted(syntax.SIGNALS))
        problems.report((*path, "stop"), f"unknown signal {shown(config.stop.signal)}{meant}")


def _exactly_one(value: Any, keys: tuple[str, ...], problems: Problems, path: Path) -> None:
    if value is None:
        return
    given = [key for key in keys if getattr(value, key) is not None]
    if len(given) != 1:
        said = " and ".join(given) + " exclude each other" if given else "nothing is said"
        problems.report(path, f"{said}; write one of: {', '.join(keys)}")


def mount_type(mount: Mount) -> str:
    """The type written, or the one that source or destination say; empty: there is none."""
    if mount.type:
        return mount.type
    if mount.source in SELF_NAMED:
        return mount.source or ""
    return "tmpfs" if mount.destination == "/dev" else ""


def _validate_mount(mount: Mount, problems: Problems, path: Path) -> None:
    kind = mount_type(mount)
    if not kind:
        problems.report(path, f"the mount of {shown(mount.destination or mount.source or '')} has no type")
    elif not mount.destination and kind not in DEFAULT_DESTINATION:
        problems.report(path, f"the mount of type {kind} has no destination")


def _validate_device(device: Device, problems: Problems, path: Path) -> None:
    if not device.path:
        problems.report(path, 'the device has no path; write one, or "all" for all devices of the type')
    if device.type not in ("b", "c", "u", "p", *(("a",) if device.path == "all" else ())):
        problems.report((*path, "type"), f"the device type {shown(device.type or '')} is not one of b, c, u, p")
    if device.path == "all":
        return
    if device.mode is None:
        problems.report(path, 'the device has no mode; write permissions such as mode: "0666"')
    else:
        _try(problems, (*path, "mode"), syntax.octal_mode, device.mode)


def validate_system(config: SystemConfig, problems: Problems) -> None:
    """The whole of a merged configuration."""
    ids = container_ids(config)
    if config.kernel.image:
        _try(problems, ("kernel", "image"), syntax.image_reference, config.kernel.image)
    _each(problems, ("init",), syntax.image_reference, config.init)
    _validate_volumes(config.volumes, problems)
    for section, index, entry in config.containers():
        path = (section, index)
        _try(problems, (*path, "image"), syntax.image_reference, entry.image)
        validate_image(entry, problems, path)
        _validate_ids(entry, ids, problems, path)
        _validate_volume_use(entry, config, problems, path)
        _validate_namespaces(entry, problems, path)
        if section != "services":
            for key in _SERVICE_KEYS:
                if getattr(entry, key) is not None:
                    problems.report((*path, key), f"{key} is for services only; this is run once, to its end")
        elif entry.timeout is not None:
            problems.report((*path, "timeout"), "timeout is for onboot and onshutdown only; a service runs on")
    _validate_services(config.services, problems)
    for index, file in enumerate(config.files):
        _validate_file(file, ids, problems, ("files", index))
    services = [service.name for service in config.services]
    for index, check in enumerate(config.checks):
        path = ("checks", index)
        _exactly_one(check, ("http", "exec", "kill"), problems, path)
        if check.exec is not None and check.exec.container not in services:
            problems.report((*path, "exec", "container"), f"there is no service {shown(check.exec.container)}")
        if check.kill is not None and check.kill not in services:
            problems.report((*path, "kill"), f"there is no service {shown(check.kill)}")
    for index, port in enumerate((config.budget.ports if config.budget is not None else None) or ()):
        _try(problems, ("budget", "ports", index), syntax.port, str(port))


def _validate_volumes(volumes: tuple[Volume, ...], problems: Problems) -> None:
    seen = set()
    for index, volume in enumerate(volumes):
        path, name = ("volumes", index), volume.name or ""
        if not re.fullmatch(r"[a-z0-9_-]*", name):
            problems.report((*path, "name"), f"the volume name {shown(name)} may have only a-z, 0-9, _ and -")
        if name in seen:
            problems.report((*path, "name"), f"the volume {shown(name)} is here twice")
        seen.add(name)
        if volume.image:
            _try(problems, (*path, "image"), syntax.image_reference, volume.image)
        elif volume.format == "oci":
            problems.report((*path, "format"), f"the volume {shown(name)} of format oci needs an image")


def _validate_ids(entry: ImageEntry | FileEntry, ids: dict[str, int], problems: Problems, path: Path) -> None:
    named: list[tuple[Path, int | str | None]] = [(("uid",), entry.uid), (("gid",), entry.gid)]
    if isinstance(entry, ImageEntry):
        named += [(("additionalGids", index), gid) for index, gid in enumerate(entry.additional_gids or ())]
    for key, value in named:
        if isinstance(value, str) and value not in ("", "root") and value not in ids:
            what = "a number is written without quotes" if value.isdigit() else "write a number, or a container's name"
            problems.report((*path, *key), f"there is no container {shown(value)}; {what}")
        elif isinstance(value, int) and not -1 <= value < 1 << 32:
            problems.report((*path, *key), f"{value} is not an id; ids are 0 to {(1 << 32) - 1}")


def _validate_volume_use(entry: ImageEntry, config: SystemConfig, problems: Problems, path: Path) -> None:
    """Sources that do not begin with "/" are volumes (LinuxKit: moby/build/volume.go)."""

    def check(source: str, options: tuple[str, ...], at: Path) -> None:
        if source.startswith("/"):
            return
        volume = config.volume(source)
        if volume is None:
            known = ", ".join(each.name or "" for each in config.volumes)
            hint = f"known volumes: {known}" if known else "a path begins with /; a volume stands in volumes:"
            problems.report(at, f"there is no volume {shown(source)}", hint)
        elif volume.readonly and ("ro" not in options or "rw" in options):
            problems.report(at, f"the volume {shown(source)} is read-only and would be bound read-write", "add ro")

    for key, texts in (("binds", entry.binds), ("binds.add", entry.binds_add)):
        for index, text in enumerate(texts or ()):
            try:
                bind = syntax.bind(text)
            except ValueError:
                continue  # reported by validate_image
            check(bind.source, bind.options or (), (*path, key, index))
    for index, mount in enumerate(entry.mounts or ()):
        if mount.type == "bind":
            check(mount.source or "", mount.options or (), (*path, "mounts", index))


def _validate_namespaces(entry: ImageEntry, problems: Problems, path: Path) -> None:
    for key in ("net", "pid", "ipc", "uts", "userns"):
        value = getattr(entry, key)
        if value and value not in ("host", "root", "new", "none") and not value.startswith("/"):
            problems.report(
                (*path, key), f"{shown(value)} is not a namespace; write host, new, or the path of a namespace"
            )


def _validate_services(services: tuple[ServiceEntry, ...], problems: Problems) -> None:
    names: set[str] = set()
    for index, service in enumerate(services):
        if service.name in names:
            problems.report(("services", index, "name"), f"the service {shown(service.name)} is here twice")
        names.add(service.name)
    needs: dict[str, list[str]] = {}
    for index, service in enumerate(services):
        for key, others in (("after", service.after), ("requires", service.requires)):
            for number, other in enumerate(others or ()):
                if other not in names:
                    meant = syntax.near(other, sorted(names))
                    problems.report(("services", index, key, number), f"there is no service {shown(other)}{meant}")
                else:
                    needs.setdefault(service.name, []).append(other)
    if circle := _circle(needs):
        index = next(index for index, service in enumerate(services) if service.name == circle[0])
        problems.report(("services", index), f"services wait for each other: {' → '.join(circle)}")


def _circle(needs: dict[str, list[str]]) -> list[str]:
    """A path that comes back to its beginning, such as [a, b, a]; empty when there is none."""
    finished: set[str] = set()
    for start in needs:
        trail: list[str] = []
        todo = [iter((start,))]
        while todo:
            name = next(todo[-1], None)
            if name is None:
                todo.pop()
                finished.update(trail[-1:])
                del trail[-1:]
            elif name in trail:
                return [*trail[trail.index(name) :], name]
            elif name not in finished:
                trail.append(name)
                todo.append(iter(needs.get(name, ())))
    return []


def _validate_file(file: FileEntry, ids: dict[str, int], problems: Problems, path: Path) -> None:
    if not (file.path or "").strip("/"):
        problems.report(path, "the file has no path" if not file.path else f"the path {shown(file.path)} is the root")
    given = [key for key in ("source", "metadata", "symlink", "directory") if getattr(file, key)]
    given += ["contents"] if file.contents is not None else []
    if len(given) > 1:
        problems.report(path, f"the file {shown(file.path or '')}: {' and '.join(given)} exclude each other")
    elif not given:
        hint = "write one of: contents, source, symlink, directory, metadata"
        problems.report(path, f"the file {shown(file.path or '')} has no contents", hint)
    if file.metadata not in (None, "", "yaml"):
        problems.report((*path, "metadata"), f"the metadata {shown(file.metadata)} is not known; write yaml")
    if file.mode:
        _try(problems, (*path, "mode"), syntax.octal_mode, file.mode)
    _validate_ids(file, ids, problems, path)


def unsupported(config: SystemConfig) -> list[ConfigError]:
    """Keys that may be written but that no build obeys yet; a build must raise these, not ignore the keys."""
    found = [
        ConfigError(f"{key}: not supported yet", hint="remove it", where=config.position(key))
        for key in ("network",)
        if getattr(config, key) is not None
    ]
    for index, service in enumerate(config.services):
        if service.schedule is not None:
            where = config.position("services", index, "schedule")
            found.append(ConfigError(f"services[{index}].schedule: not supported yet", hint="remove it", where=where))
    return found


_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")


def unfit_for_hullkit(config: SystemConfig) -> list[ConfigError]:
    """What LinuxKit's init takes, and a system with hullkit's init must refuse."""
    found = []
    for section, index, entry in config.containers():
        if not _NAME.fullmatch(entry.name):
            found.append(
                ConfigError(
                    f"{section}[{index}].name: {shown(entry.name)} cannot be a container's name",
                    hint="letters, digits, _, . and -, at most 63",
                    where=config.position(section, index, "name"),
                )
            )
        for key in ("ipc", "uts", "pid", "userns"):
            if getattr(entry, key) == "none":
                where = config.position(section, index, key)
                found.append(ConfigError(f"{section}[{index}].{key}: there is no none", hint="write new", where=where))
    return found
