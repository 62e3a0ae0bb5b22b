"""kernel+initrd: a kernel, an initramfs and a command line, for any boot loader that takes these three."""

from __future__ import annotations

from collections.abc import Mapping
from typing import BinaryIO

from hullkit.assemble.system import Segment, System
from hullkit.context import Context
from hullkit.output import output_format
from hullkit.steps import cached_path, step_id
from hullkit.tree.cpio import write_cpio
from hullkit.tree.entry import FileSlice, Source, fingerprint
from hullkit.tree.segment import write_segment

_LEVEL = 19
_CODE = ("hullkit.tree.segment", "hullkit.tree.cpio")


@output_format(
    "kernel+initrd", "-kernel", "-initrd.img", "-cmdline", summary="kernel, initramfs, command line", needs_kernel=True
)
def write_kernel_initrd(context: Context, system: System, files: Mapping[str, BinaryIO]) -> None:
    assert system.kernel is not None
    copy(system.kernel, files["-kernel"])
    files["-cmdline"].write(system.cmdline.encode())
    write_initrd(context, system, files["-initrd.img"])


def write_initrd(context: Context, system: System, stream: BinaryIO) -> None:
    """The concatenation of all segments, each padded to 4 bytes (early microcode first, as the kernel wants it)."""
    if system.ucode is not None:
        copy(system.ucode, stream)
        stream.write(bytes(-system.ucode.size % 4))
    for segment in system.segments:
        if segment.compression == "none":
            write_cpio(segment.entries, stream)
        else:
            copy(compressed_segment(context, segment), stream)


def compressed_segment(context: Context, segment: Segment) -> FileSlice:
    """The segment compressed; made once for each content."""
    import zstandard

    inputs = [segment.compression, _LEVEL, zstandard.__version__, fingerprint(segment.entries)]
    identity = step_id("cpio", inputs, _CODE)
    path = cached_path(
        context,
        "cpio",
        identity,
        lambda made: write_segment(segment.entries, made, segment.compression, level=_LEVEL),
        suffix=".cpio.zst",
    )
    return FileSlice(path, 0, path.stat().st_size)


def copy(source: Source, stream: BinaryIO) -> None:
    for chunk in source.chunks():
        stream.write(chunk)
