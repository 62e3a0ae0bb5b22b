"""The flat layout: LinuxKit's tree, member by member (its moby/build: Build).

Kernel, init images over each other, volumes, containers with their root file systems unpacked, files. Every image is
stored once however many containers use it. An image and what is generated for it are segments of their own, so that a
changed line never compresses an image again.

With hullkit's init among the init images the containers get its defaults, a read-only root gets the mount points that
nobody could make later, and the last segment tells init what to do (hull.json).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from hullkit.assemble.bundles import Bundles
from hullkit.assemble.containers import Container, containers
from hullkit.assemble.hulljson import container_json, hull_json
from hullkit.assemble.images import Images
from hullkit.assemble.kernelfiles import KernelFiles, last_file
from hullkit.assemble.overlay import Overlay
from hullkit.assemble.rootfiles import file_entries
from hullkit.assemble.rootfs import RootFS, file
from hullkit.assemble.segments import Segments, records
from hullkit.assemble.system import Compression, System, is_boot_file, settled
from hullkit.assemble.vmlinux import kernel_version
from hullkit.assemble.volumes import add_volumes
from hullkit.config.model import SystemConfig, container_ids
from hullkit.context import Context
from hullkit.tree.entry import Bytes, Entry, EntryType, Source

_APK_DATABASE = "lib/apk/db/installed"
#: the first kernel that unpacks an initramfs compressed with zstd
_ZSTD_SINCE = (5, 9)


def assemble_flat(
    context: Context, config: SystemConfig, images: Images, name: str, *, decompress_kernel: bool = False
) -> System:
    """Assemble the flat layout. Errors of the images, and of configuration that is wrong only together with them."""
    hullkit = images.hullkit_init(config) is not None
    kernel = KernelFiles(images.kernel, config, decompress_kernel) if images.kernel else None
    boot = [entry for entry in kernel or () if is_boot_file(entry)]
    segments = Segments("zstd" if hullkit else _compression(last_file(boot, "boot/kernel")))
    if kernel is not None:
        segments.kernel(kernel)
    roots = [RootFS(images[reference], "", resolver_link=True, lenient=hullkit) for reference in config.init]
    for number, rootfs in enumerate(roots):
        segments.rootfs(f"init[{number}]", rootfs)
    segments.add("apk", _apk_union(roots), records("init", "LINUXKIT.apkinit"))
    add_volumes(segments, config, images)
    files = list(file_entries(config, container_ids(config)))
    found = list(containers(config, images, hardened=hullkit))
    bundles = Bundles(segments, Overlay(settled(chain(*roots, files))) if hullkit else None)
    for (kind, number, _), container in zip(config.containers(), found, strict=True):
        bundles.add(container, f"{kind}[{number}]")
    segments.add("files", files)
    if hullkit:
        segments.add("hull.json", [file("hull.json", _document(config, images, name, found))])
    boot += [entry for entry in chain(*roots, files) if is_boot_file(entry)]
    command_line = last_file(boot, "boot/cmdline")
    return System(
        name=name,
        arch=context.arch,
        layout="flat",
        kernel=last_file(boot, "boot/kernel"),
        cmdline=b"".join(command_line.chunks()).decode("utf-8", "surrogateescape") if command_line else "",
        ucode=last_file(boot, "boot/ucode.cpio"),
        segments=tuple(segments.made),
        linuxkit=not hullkit,
    )


def _compression(kernel: Source | None) -> Compression:
    """What a LinuxKit kernel can unpack: those of 2020 and older know no zstd."""
    version = kernel_version(kernel) if kernel is not None else None
    return "zstd" if version is not None and version >= _ZSTD_SINCE else "gzip"


def _apk_union(roots: Sequence[RootFS]) -> list[Entry]:
    """One database of packages where several init images have one, since each would replace the one before."""
    databases = [entry for rootfs in roots for entry in rootfs if entry.path == _APK_DATABASE]
    if len(databases) < 2:
        return []
    texts = [b"".join(entry.content.chunks()) if entry.content else b"" for entry in databases]
    return [Entry(_APK_DATABASE, EntryType.FILE, 0o644, content=Bytes(b"".join(text + b"\n\n" for text in texts)))]


def _document(config: SystemConfig, images: Images, name: str, found: Sequence[Container]) -> bytes:
    told = [(container, container_json(container, (), writable=False)) for container in found]
    modules = [] if all(container.readonly for container in found) else ["overlay"]
    return hull_json(config, images, name, "flat", {}, (), told, modules=modules)
