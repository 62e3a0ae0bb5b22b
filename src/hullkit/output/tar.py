"""tar: the whole tree of the system, and the kernel and its command line under ``boot/``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import BinaryIO

from hullkit.assemble.system import SBOM, Segment, System
from hullkit.context import Context
from hullkit.errors import ConfigError
from hullkit.output import output_format
from hullkit.tree.entry import Bytes, Entry, EntryType
from hullkit.tree.tar import write_tar_groups
from hullkit.tree.tree import Tree

#: the time that LinuxKit gives to what it makes
_TIME = 1492533000
_DOCKERFILE = b"""
FROM scratch

COPY . ./

ENTRYPOINT ["/bin/rc.init"]
"""

Group = tuple[Iterable[Entry], Mapping[str, str]]


@output_format("tar", ".tar", summary="the system's tree, with boot/kernel and boot/cmdline")
def write(context: Context, system: System, files: Mapping[str, BinaryIO]) -> None:
    write_tar_groups(_groups(system, system.segments), files[".tar"], verbatim=system.layout == "flat")


@output_format("docker", ".docker", summary="the tar with a Dockerfile in it, to run the system in Docker")
def write_docker(context: Context, system: System, files: Mapping[str, BinaryIO]) -> None:
    if not system.linuxkit:
        raise ConfigError(
            "the format docker starts LinuxKit's /bin/rc.init, and this system has hullkit's init",
            hint="use the format oci or tar",
        )
    dockerfile = Entry("Dockerfile", EntryType.FILE, 0o644, mtime=_TIME, content=Bytes(_DOCKERFILE))
    before = [segment for segment in system.segments if segment.name != SBOM]
    after = [segment for segment in system.segments if segment.name == SBOM]
    groups = [*_groups(system, before), ([dockerfile], {}), *_groups(system, after)]
    write_tar_groups(groups, files[".docker"], verbatim=True)


def _groups(system: System, segments: Iterable[Segment]) -> Iterator[Group]:
    """What is written one behind the other. Segments of a packed system share directories, which then come once."""
    if system.layout == "flat":
        for segment in segments:
            yield segment.entries, segment.records
        return
    tree = Tree()
    for segment in segments:
        for entry in segment.entries:
            tree.add(entry)
    yield tree.entries(), {}
