"""Where a container's mounts go: a root that cannot be written must have every mount point already."""

from __future__ import annotations

from typing import Any

from hullkit.assemble.overlay import Overlay, directory_entry
from hullkit.tree.entry import Bytes, Entry, EntryType

_HOSTS = b"127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
#: sources of bind mounts that are files though no image holds them
_RUNTIME_FILES = ("/etc/resolv.conf", "/run/resolvconf/resolv.conf", "/etc/hosts", "/etc/hostname")
#: directories that every container has
_ALWAYS = ("dev", "proc", "sys", "etc")


def add_mount_points(container: Overlay, spec: dict[str, Any], host: Overlay) -> None:
    """Add what the mounts of the runtime spec need; ``host`` is the system's root, for the kind of bind sources."""
    for path in _ALWAYS:
        container.ensure(path, directory_entry)
    container.ensure("etc/hosts", lambda path: Entry(path, EntryType.FILE, 0o644, content=Bytes(_HOSTS)))
    container.ensure("etc/resolv.conf", _empty)
    # what is mounted inside another mount (on /dev/pts, in /run) has its mount point made there by the runtime
    covered: list[str] = []
    for mount in sorted(spec.get("mounts", ()), key=lambda each: str(each["destination"])):
        destination = container.resolve(str(mount["destination"]).strip("/"))
        if not any(destination.startswith(f"{above}/") for above in covered):
            container.ensure(destination, _empty if _is_file(mount, host) else directory_entry)
        covered.append(destination)


def _is_file(mount: dict[str, Any], host: Overlay) -> bool:
    if mount.get("type") not in (None, "", "bind") and "bind" not in mount.get("options", ()):
        return False
    source = str(mount.get("source", ""))
    if source in _RUNTIME_FILES:
        return True
    found = host.get(host.resolve(source.strip("/")))
    return found is not None and found.type is not EntryType.DIR


def _empty(path: str) -> Entry:
    return Entry(path, EntryType.FILE, 0o644, content=Bytes(b""))
