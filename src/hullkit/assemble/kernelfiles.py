"""The kernel image's part of a flat system: ``boot/`` and the modules of its inner archive (LinuxKit: kernelFilter)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from hullkit.assemble.images import SystemImage
from hullkit.assemble.rootfs import TIME, directory, file
from hullkit.config.model import SystemConfig
from hullkit.errors import ConfigError, NotFound
from hullkit.oci.members import CODE, image_members, inner_members
from hullkit.tree.entry import Bytes, Entry, EntryType, Source

KERNEL_CODE = (*CODE, "hullkit.assemble.kernelfiles", "hullkit.assemble.rootfs")


@dataclass(frozen=True)
class KernelFiles:
    """``boot/kernel``, ``boot/cmdline``, ``boot/ucode.cpio`` and the modules, in the order of the image's members.

    The modules are those of the image's ``kernel.tar``; of a kernel component, its files beside the kernel.
    Iterable again and again. NotFound for a kernel or archive that the image does not have, TrustError for a damaged
    archive, ConfigError for a kernel that ``decompress`` cannot handle.
    """

    image: SystemImage
    config: SystemConfig
    decompress: bool

    def identity(self) -> list[object]:
        kernel = self.config.kernel
        layers = [layer.diff_id for layer in self.image.layers]
        return ["kernel", layers, kernel.binary_file, kernel.tar_file, kernel.ucode_file]

    def __iter__(self) -> Iterator[Entry]:
        kernel = self.config.kernel
        found: set[str] = set()
        image = self.image
        members = image_members(image.context, image.store, image.layers, image.reference)
        for entry in members:
            if entry.path == kernel.binary_file:
                if "ucode" not in found:
                    yield directory("boot")
                found.add("kernel")
                yield file("boot/cmdline", (kernel.cmdline or "").encode())
                yield _boot_file(entry, "kernel", self._kernel(entry))
            elif entry.path == kernel.tar_file:
                found.add("tar")
                yield from self._modules(entry)
            elif entry.path == kernel.ucode_file:
                if "kernel" not in found:
                    yield directory("boot")
                found.add("ucode")
                yield _boot_file(entry, "ucode.cpio", entry.content or Bytes(b""))
        if "kernel" not in found:
            raise self._missing("kernel", kernel.binary_file, "binary")
        if kernel.tar_file and "tar" not in found:
            if kernel.tar is not None or image.role != "kernel":
                raise self._missing("archive of modules", kernel.tar_file, "tar")
            beside = image.without(kernel.binary_file)
            yield from image_members(image.context, image.store, beside.layers, image.reference)

    def _missing(self, what: str, name: str, key: str) -> NotFound:
        hint = f"kernel: {key}: names it" + (", none if there is none" if key == "tar" else "")
        where = self.config.position("kernel", key) or self.image.where
        return NotFound(f"the kernel image {self.image.reference} has no {what} {name}", hint=hint, where=where)

    def _kernel(self, entry: Entry) -> Source:
        if entry.type is not EntryType.FILE or entry.content is None:
            self.image.context.bus.warning(
                f"{entry.path} of the kernel image {self.image.reference} is a {entry.type.value}: "
                "boot/kernel is empty, as LinuxKit would write it"
            )
            return Bytes(b"")
        if not self.decompress:
            return entry.content
        from hullkit.assemble.vmlinux import decompressed

        return decompressed(self.image.context, entry.content, f"{self.image.reference}: {entry.path}")

    def _modules(self, entry: Entry) -> Iterator[Entry]:
        if entry.type is not EntryType.FILE:
            raise ConfigError(f"{entry.path} of the kernel image {self.image.reference} is a {entry.type.value}")
        return inner_members(self.image.context, entry) if entry.size else iter(())


def _boot_file(entry: Entry, name: str, content: Source) -> Entry:
    return Entry(f"boot/{name}", EntryType.FILE, entry.mode, mtime=TIME, content=content, owner=entry.owner)


def last_file(entries: Iterable[Entry], path: str) -> Source | None:
    """The content of the last entry with a path: what unpacking all of them leaves."""
    found = [entry for entry in entries if entry.path == path and entry.content is not None]
    return found[-1].content if found else None


__all__ = ["KERNEL_CODE", "KernelFiles", "last_file"]
