"""The ``volumes:`` section of a flat system (LinuxKit: moby/build, "Add volumes")."""

from __future__ import annotations

from hullkit.assemble.images import Images
from hullkit.assemble.rootfs import RootFS, directories, directory, joined
from hullkit.assemble.segments import Segments, records
from hullkit.config.model import SystemConfig


def add_volumes(segments: Segments, config: SystemConfig, images: Images) -> None:
    """``containers/volumes/NAME`` for each: ``lower`` with the files of its image, ``tmp`` and ``merged``."""
    for number, volume in enumerate(config.volumes):
        location = f"volume[{number}]"
        base = joined("containers/volumes", volume.name or "")
        if not volume.image:
            segments.add(location, list(directories(f"{base}/lower")), records(location, "empty"))
        elif volume.format == "oci":
            raise NotImplementedError
        else:
            segments.rootfs(location, RootFS(images[volume.image], f"{base}/lower", resolver_link=True))
        made = [directory(f"{base}/tmp"), directory(f"{base}/merged")]
        segments.add(f"{location} mount points", made, records(location, "linuxkit.volumes"))
