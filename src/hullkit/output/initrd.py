"""kernel+initrd: a kernel, an initramfs and a command line, for any boot loader that takes these three; the same in
one tar."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import filterfalse
from pathlib import Path
from typing import BinaryIO

from hullkit.assemble.system import Segment, System, is_boot_file
from hullkit.context import Context
from hullkit.output import output_format
from hullkit.steps import cached_path, step_id
from hullkit.tree.copier import Copier
from hullkit.tree.cpio import write_cpio
from hullkit.tree.entry import Bytes, Entry, EntryType, FileSlice, Source, fingerprint
from hullkit.tree.segment import write_segment
from hullkit.tree.tar import write_tar

_CODE = ("hullkit.tree.segment", "hullkit.tree.cpio", "hullkit.assemble.system", "hullkit.output.initrd")
_SUFFIXES = {"zstd": ".cpio.zst", "gzip": ".cpio.gz"}
#: the time that LinuxKit gives to what it makes
_TIME = 1492533000
_KERNEL, _INITRD, _CMDLINE = "-kernel", "-initrd.img", "-cmdline"


def _absent(system: System) -> frozenset[str]:
    """LinuxKit writes no empty files."""
    return frozenset(((_KERNEL,) if system.kernel is None else ()) + ((_CMDLINE,) if not system.cmdline else ()))


@output_format(
    "kernel+initrd",
    _KERNEL,
    _INITRD,
    _CMDLINE,
    summary="kernel, initramfs, command line",
    needs_kernel=True,
    absent=_absent,
)
def write_kernel_initrd(context: Context, system: System, files: Mapping[str, BinaryIO]) -> None:
    if system.kernel is not None:
        copy(system.kernel, files[_KERNEL])
    if system.cmdline:
        files[_CMDLINE].write(_cmdline(system))
    write_initrd(context, system, files[_INITRD])


@output_format("tar-kernel-initrd", "-initrd.tar", summary="a tar with kernel, initrd.img, cmdline and ucode.cpio")
def write_tar_kernel_initrd(context: Context, system: System, files: Mapping[str, BinaryIO]) -> None:
    with context.cache.temp_dir() as work:
        with open(work / "initrd", "wb") as stream:
            write_initrd(context, system, stream, with_ucode=False)
        initrd = FileSlice(work / "initrd", 0, (work / "initrd").stat().st_size)
        contents = {
            "kernel": system.kernel,
            "initrd.img": initrd,
            "cmdline": Bytes(_cmdline(system)),
            "ucode.cpio": system.ucode,
        }
        entries = [
            Entry(name, EntryType.FILE, 0o644, mtime=_TIME, content=content)
            for name, content in contents.items()
            if content is not None and content.size
        ]
        write_tar(entries, files["-initrd.tar"])


def _cmdline(system: System) -> bytes:
    return system.cmdline.encode("utf-8", "surrogateescape")


def write_initrd(context: Context, system: System, stream: BinaryIO, *, with_ucode: bool = True) -> None:
    """The concatenation of all segments, each padded to 4 bytes (early microcode first, as the kernel wants it)."""
    if with_ucode and system.ucode is not None and system.ucode.size:
        copy(system.ucode, stream)
        stream.write(bytes(-system.ucode.size % 4))
    segments = [segment for segment in system.segments if segment.initramfs]
    with ThreadPoolExecutor(max_workers=context.jobs) as pool:
        made = pool.map(
            lambda each: each if each.compression == "none" else compressed_segment(context, each), segments
        )
        for each in made:
            if isinstance(each, Segment):
                write_cpio(_members(each), stream)
            else:
                copy(each, stream)


def _members(segment: Segment) -> Iterator[Entry]:
    return filterfalse(is_boot_file, segment.entries)


def compressed_segment(context: Context, segment: Segment) -> FileSlice:
    """The segment compressed; made once for each content."""
    content = segment.identity or fingerprint(_members(segment))
    identity = step_id("cpio", [segment.compression, segment.level, _codec(segment.compression), content], _CODE)
    # a reader that forgets nothing at the end of an archive tells segments apart by it
    device = (int(identity[:3], 16), int(identity[3:8], 16))

    def make(path: Path) -> None:
        write_segment(_members(segment), path, segment.compression, segment.level, device=device)

    path = cached_path(context, "cpio", identity, make, suffix=_SUFFIXES[segment.compression])
    return FileSlice(path, 0, path.stat().st_size)


def _codec(compression: str) -> str:
    """The version of the library that compresses."""
    if compression == "gzip":
        import zlib

        return zlib.ZLIB_RUNTIME_VERSION
    import zstandard

    return zstandard.__version__


def copy(source: Source, stream: BinaryIO) -> None:
    with Copier(stream) as copier:
        copier.copy(source)
