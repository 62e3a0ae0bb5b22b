"""The flat layout: LinuxKit's tree, member by member (its moby/build: Build).

Kernel, init images over each other, volumes, containers with their root file systems unpacked, files. Every image is
stored once however many containers use it. An image and what is generated for it are segments of their own, so that a
changed line never compresses an image again.

With hullkit's init among the init images the containers get its defaults, a read-only root gets the mount points that
nobody could make later, and the last segment tells init what to do (hull.json).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path

from hullkit.assemble.bundles import Bundles
from hullkit.assemble.containers import Container, containers
from hullkit.assemble.flatoptions import FlatOptions
from hullkit.assemble.hulljson import container_json, hull_json
from hullkit.assemble.images import Images
from hullkit.assemble.inputtar import InputTar
from hullkit.assemble.kernelfiles import KernelFiles, last_file
from hullkit.assemble.overlay import Overlay
from hullkit.assemble.rootfiles import file_entries
from hullkit.assemble.rootfs import RootFS, file
from hullkit.assemble.sbom import sbom_entry
from hullkit.assemble.segments import Segments, records
from hullkit.assemble.system import SBOM, System, is_boot_file, settled
from hullkit.assemble.vmlinux import kernel_version
from hullkit.assemble.volumes import add_volume, volume_mounts
from hullkit.config.model import SystemConfig, container_ids
from hullkit.context import Context
from hullkit.errors import ConfigError
from hullkit.oci.store import Store
from hullkit.tree.entry import Bytes, Entry, EntryType
from hullkit.tree.segment import Compression

_APK_DATABASE = "lib/apk/db/installed"
#: the first kernel that unpacks an initramfs compressed with zstd
_ZSTD_SINCE = (5, 9)


def assemble_flat(
    context: Context,
    config: SystemConfig,
    images: Images,
    name: str,
    options: FlatOptions,
    *,
    release: bool = False,
) -> System:
    """Assemble the flat layout; ``release``: its initramfs is as small as it can be. Errors of the
    images, and of configuration that is wrong only together with them."""
    return _Flat(context, config, images, options).system(name, release)


class _Flat:
    """One assembly, section by section."""

    def __init__(self, context: Context, config: SystemConfig, images: Images, options: FlatOptions) -> None:
        self._context = context
        self._config = config
        self._images = images
        self._options = options
        self._hullkit = images.hullkit_init(config) is not None
        self._old = self._input_tar(options.input_tar)

    def _input_tar(self, path: Path | None) -> InputTar | None:
        if path is None:
            return None
        if self._hullkit:
            raise ConfigError(
                "--input-tar is for systems with LinuxKit's init",
                hint="leave it out; what did not change is not remade",
            )
        return InputTar.open(path, self._config)

    def system(self, name: str, release: bool) -> System:
        kernel = self._kernel()
        boot = [entry for entry in kernel if is_boot_file(entry)]
        segments = Segments(self._compression(boot), release=release)
        if isinstance(kernel, KernelFiles):
            segments.kernel(kernel)
        else:
            segments.add("kernel", kernel)
        init = self._init(segments)
        segments.add("apk", _apk_union(init), records("init", "LINUXKIT.apkinit"))
        self._volumes(segments)
        files = list(file_entries(self._config, container_ids(self._config)))
        found = self._containers(segments, Overlay(settled(chain(*init, files))) if self._hullkit else None)
        segments.add("files", files)
        if self._hullkit:
            segments.add("hull.json", [file("hull.json", self._document(name, found))])
        elif self._options.sbom is not None:
            segments.add(SBOM, [sbom_entry(Store(self._context.cache), segments.images, self._options.sbom)])
        boot += [entry for entry in chain(*init, files) if is_boot_file(entry)]
        return self._finished(name, segments, boot)

    def _kernel(self) -> KernelFiles | list[Entry]:
        if self._images.kernel is None:
            return []
        copied = self._old.kernel(self._config) if self._old is not None else None
        if copied is not None:
            return copied
        return KernelFiles(self._images.kernel, self._config, self._options.decompress_kernel)

    def _compression(self, boot: Sequence[Entry]) -> Compression:
        """What the kernel can unpack: LinuxKit's of 2020 and before know no zstd."""
        content = last_file(boot, "boot/kernel")
        version = kernel_version(content) if content is not None else None
        return "zstd" if self._hullkit or (version is not None and version >= _ZSTD_SINCE) else "gzip"

    def _init(self, segments: Segments) -> list[Iterable[Entry]]:
        found: list[Iterable[Entry]] = []
        for number, reference in enumerate(self._config.init):
            copied = self._old.init(self._config, number) if self._old is not None else None
            if copied is not None:
                segments.add(f"init[{number}]", copied)
                found.append(copied)
                continue
            rootfs = RootFS(self._images[reference], "", resolver_link=True, lenient=self._hullkit)
            segments.rootfs(f"init[{number}]", rootfs)
            found.append(rootfs)
        return found

    def _volumes(self, segments: Segments) -> None:
        for number, volume in enumerate(self._config.volumes):
            if self._old is not None and self._old.has_volume(self._config, number):
                self._context.bus.warning(f"--input-tar: the volume {volume.name} did not change and is left out")
            else:
                add_volume(segments, self._config, self._images, number)

    def _containers(self, segments: Segments, host: Overlay | None) -> list[Container]:
        bundles = Bundles(segments, host)
        found = list(containers(self._config, self._images, hardened=self._hullkit))
        for (kind, number, _), container in zip(self._config.containers(), found, strict=True):
            copied = self._old.container(self._config, kind, number) if self._old is not None else None
            if copied is not None:
                segments.add(f"{kind}[{number}]", copied)
            else:
                bundles.add(container, f"{kind}[{number}]")
        return found

    def _finished(self, name: str, segments: Segments, boot: Sequence[Entry]) -> System:
        command_line = last_file(boot, "boot/cmdline")
        text = b"".join(command_line.chunks()) if command_line is not None else b""
        return System(
            name=name,
            arch=self._context.arch,
            layout="flat",
            kernel=last_file(boot, "boot/kernel"),
            cmdline=text.decode("utf-8", "surrogateescape"),
            ucode=last_file(boot, "boot/ucode.cpio"),
            segments=tuple(segments.made),
            linuxkit=not self._hullkit,
        )

    def _document(self, name: str, found: Sequence[Container]) -> bytes:
        told = [(container, container_json(container, (), writable=False)) for container in found]
        mounts = [mount for volume in self._config.volumes for mount in volume_mounts(volume)]
        overlays = mounts or not all(container.readonly for container in found)
        modules = ["overlay"] if overlays else []
        return hull_json(self._config, self._images, name, "flat", {}, (), told, modules=modules, mounts=mounts)


def _apk_union(init: Sequence[Iterable[Entry]]) -> list[Entry]:
    """One database of packages where several init images have one, since each would replace the one before."""
    databases = [entry for tree in init for entry in tree if entry.path == _APK_DATABASE]
    if len(databases) < 2:
        return []
    texts = [b"".join(entry.content.chunks()) if entry.content else b"" for entry in databases]
    return [Entry(_APK_DATABASE, EntryType.FILE, 0o644, content=Bytes(b"".join(text + b"\n\n" for text in texts)))]
