"""tar: the whole tree of the system, and the kernel and its command line under ``boot/``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import BinaryIO

from hullkit.assemble.system import System
from hullkit.context import Context
from hullkit.output import output_format
from hullkit.tree.entry import Bytes, Entry, EntryType
from hullkit.tree.tar import write_tar
from hullkit.tree.tree import Tree


def boot_entries(system: System) -> Iterator[Entry]:
    """``boot/`` with kernel, cmdline and ucode.cpio, where the system has them."""
    if system.kernel is None:
        return
    yield Entry("boot", EntryType.DIR, 0o755)
    yield Entry("boot/kernel", EntryType.FILE, 0o644, content=system.kernel)
    yield Entry("boot/cmdline", EntryType.FILE, 0o644, content=Bytes(system.cmdline.encode()))
    if system.ucode is not None:
        yield Entry("boot/ucode.cpio", EntryType.FILE, 0o644, content=system.ucode)


@output_format("tar", ".tar", summary="the system's tree, with boot/kernel and boot/cmdline")
def write(context: Context, system: System, files: Mapping[str, BinaryIO]) -> None:
    tree = Tree()
    for entry in (*boot_entries(system), *system.entries()):
        tree.add(entry)
    write_tar(tree.entries(), files[".tar"])
