"""The containers of a flat system: config.json, runtime.json and a root file system each (LinuxKit: ImageBundle)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hullkit.assemble.containers import Container
from hullkit.assemble.gojson import go_json
from hullkit.assemble.mountpoints import add_mount_points
from hullkit.assemble.overlay import Overlay
from hullkit.assemble.rootfs import RootFS, directories, directory, file, joined, overlay_mounts
from hullkit.assemble.segments import Segments, records
from hullkit.assemble.system import settled
from hullkit.config.syntax import expand_reference
from hullkit.errors import ConfigError
from hullkit.tree.entry import Entry, EntryType

#: where a tmpfs takes what a container writes to its root
_UPPER = "tmp"


class Bundles:
    """Adds containers to ``segments``. ``host``: the system's root, given for systems with hullkit's init."""

    def __init__(self, segments: Segments, host: Overlay | None) -> None:
        self._segments = segments
        self._host = host
        #: where each image's files are, by the name of the image
        self._roots: dict[str, str] = {}

    def add(self, container: Container, location: str) -> None:
        """The container's image, unless another one has brought it, and what is generated for it.

        ConfigError for a name that leads out of ``containers/``.
        """
        bundle = joined(container.bundle)
        if bundle.split("/")[0] != "containers":
            raise ConfigError(f"the name {container.name!r} leads out of the system", where=container.where)
        source = expand_reference(container.entry.image)
        generated: list[Entry] = []
        root = self._roots.get(source)
        elsewhere = root is not None
        if root is None:
            root = self._roots[source] = f"{bundle}/{'rootfs' if container.readonly else 'lower'}"
            rootfs = RootFS(container.image, root, resolver_link=False, lenient=self._host is not None)
            self._segments.rootfs(location, rootfs)
        else:
            generated += directories(bundle)
        generated.append(file(f"{bundle}/config.json", container.config_json()))
        if not container.readonly:
            generated += [directory(f"{bundle}/{_UPPER}"), directory(f"{bundle}/rootfs")]
        elif elsewhere:
            generated.append(directory(f"{bundle}/rootfs"))
        generated.append(file(f"{bundle}/runtime.json", _runtime_json(container, bundle, root)))
        if self._host is not None and container.readonly:
            generated += _mount_points(container, root, self._host)
        self._segments.add(f"{location} {container.name}", generated, records(location, source))


def _runtime_json(container: Container, bundle: str, root: str) -> bytes:
    """runtime.json, with what makes the root file system before the mounts that were written."""
    runtime: dict[str, Any] = dict(container.runtime)
    runtime["mounts"] = [*_root_mounts(container.readonly, bundle, root), *runtime["mounts"]]
    return go_json(runtime)


def _root_mounts(readonly: bool, bundle: str, root: str) -> list[dict[str, Any]]:
    if readonly:
        # bound on itself too: the runtimes want a mount point
        return [{"source": f"/{root}", "destination": f"/{bundle}/rootfs", "options": ["bind"]}]
    return overlay_mounts(f"/{root}", f"/{bundle}/{_UPPER}", f"/{bundle}/rootfs")


def _mount_points(container: Container, root: str, host: Overlay) -> list[Entry]:
    """Mount points that the image lacks; a root that cannot be written gets them now or never."""
    rootfs = settled(RootFS(container.image, "", resolver_link=False, lenient=True))
    overlay = Overlay(rootfs)
    add_mount_points(overlay, container.spec, host)
    return [
        replace(entry, path=f"{root}/{entry.path}")
        for entry in overlay.entries()
        if entry.type is not EntryType.DIR or rootfs.get(entry.path) is None
    ]
