"""An image as LinuxKit unpacks it: which files it leaves out, replaces and adds (its moby/build/image.go).

What Docker puts into every container is left out or replaced, and what a container's root must have is added behind
the image's own files, whether they have it or not.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from hullkit.assemble.images import SystemImage
from hullkit.errors import ConfigError
from hullkit.oci.members import CODE, image_members
from hullkit.tree.entry import Bytes, Entry, EntryType

#: the time of everything that LinuxKit makes itself: 2017-04-18T16:30:00Z
TIME = 1492533000
#: where the system's resolver configuration is written when it runs
RESOLV_CONF = "/run/resolvconf/resolv.conf"

_LEFT_OUT = frozenset((".dockerenv", "Dockerfile", "dev/console", "dev/pts", "dev/shm", "etc/hostname"))
_HOSTS, _RESOLV, _MTAB = "etc/hosts", "etc/resolv.conf", "etc/mtab"
_HOSTS_DATA = b"""\
127.0.0.1       localhost
::1     localhost ip6-localhost ip6-loopback
fe00::0 ip6-localnet
ff00::0 ip6-mcastprefix
ff02::1 ip6-allnodes
ff02::2 ip6-allrouters
"""
_RESOLV_DATA = b"\n# no resolv.conf configured\n"


def directories(path: str) -> Iterator[Entry]:
    """A directory and all above it, as LinuxKit writes them again for each container."""
    for end in (*(at for at, letter in enumerate(path) if letter == "/"), len(path)):
        yield directory(path[:end])


def directory(path: str) -> Entry:
    return Entry(path, EntryType.DIR, 0o755, mtime=TIME)


def file(path: str, data: bytes, mode: int = 0o644) -> Entry:
    return Entry(path, EntryType.FILE, mode, mtime=TIME, content=Bytes(data))


@dataclass(frozen=True)
class RootFS:
    """The files of an image below ``prefix`` (empty: at the root of the system).

    ``resolver_link``: etc/resolv.conf is a link to ``RESOLV_CONF``. ``lenient``: replace what LinuxKit cannot.
    Iterable again and again; ConfigError for an image whose etc/hosts or etc/resolv.conf is not a regular file.
    """

    image: SystemImage
    prefix: str
    resolver_link: bool
    lenient: bool = False

    def identity(self) -> list[object]:
        """What decides the entries, as JSON-like data; ``CODE`` does too."""
        layers = [layer.diff_id for layer in self.image.layers]
        return ["rootfs", layers, self.prefix, self.resolver_link, self.lenient]

    def __iter__(self) -> Iterator[Entry]:
        image = self.image
        if self.prefix:
            yield from directories(self.prefix)
        members = image_members(image.context, image.store, image.layers, image.reference)
        has_mtab = False
        for entry in members:
            path = entry.path
            if path in _LEFT_OUT:
                continue
            if path in (_HOSTS, _RESOLV):
                entry = self._replaced(entry)
            elif path == _MTAB:
                has_mtab = True
                entry = _dated(entry)
            yield self._placed(entry)
        for entry in self._added():
            if entry.path != _MTAB or not has_mtab:
                yield self._placed(entry)

    def _placed(self, entry: Entry) -> Entry:
        if not self.prefix:
            return entry
        target = f"{self.prefix}/{entry.target}" if entry.type is EntryType.HARDLINK else entry.target
        return replace(entry, path=f"{self.prefix}/{entry.path}", target=target)

    def _replaced(self, entry: Entry) -> Entry:
        entry = _dated(entry)
        if entry.path == _RESOLV and self.resolver_link:
            return replace(entry, type=EntryType.SYMLINK, content=None, target=RESOLV_CONF)
        if entry.type is not EntryType.FILE and not self.lenient:
            raise ConfigError(
                f"the image {self.image.reference} has {entry.path} as a {entry.type.value}, "
                "which cannot be replaced by a file",
                hint="remove it from the image",
                where=self.image.where,
            )
        data = Bytes(_HOSTS_DATA if entry.path == _HOSTS else _RESOLV_DATA)
        return replace(entry, type=EntryType.FILE, content=data, target="")

    def _added(self) -> Iterator[Entry]:
        for path in ("dev", "dev/pts", "dev/shm", "etc"):
            yield directory(path)
        yield file(_HOSTS, _HOSTS_DATA)
        yield Entry(_MTAB, EntryType.SYMLINK, 0o755, mtime=TIME, target="/proc/mounts")
        if self.resolver_link:
            yield Entry(_RESOLV, EntryType.SYMLINK, 0o644, mtime=TIME, target=RESOLV_CONF)
        else:
            yield file(_RESOLV, _RESOLV_DATA)
        for path in ("proc", "sys"):
            yield directory(path)


def _dated(entry: Entry) -> Entry:
    return replace(entry, mtime=TIME, pax=tuple(pair for pair in entry.pax if pair[0] != "mtime"))


#: the modules that decide what a ``RootFS`` holds
ROOTFS_CODE = (*CODE, "hullkit.assemble.rootfs")


def overlay_mounts(lower: str, tmp: str, target: str) -> list[dict[str, Any]]:
    """The mounts that make ``target`` of ``lower``: a tmpfs on ``tmp`` takes what is written. Absolute paths."""
    layers = [f"lowerdir={lower}", f"upperdir={tmp}/upper", f"workdir={tmp}/work"]
    return [
        {"type": "tmpfs", "source": "tmpfs", "destination": tmp},
        # nobody else may see the layers
        {"destination": tmp, "options": ["remount", "private"]},
        {"type": "overlay", "source": "overlay", "destination": target, "options": layers},
    ]


def joined(*parts: str) -> str:
    """Paths put together as LinuxKit does it: "." and ".." in names are followed."""
    return posixpath.normpath("/".join(part for part in parts if part))
