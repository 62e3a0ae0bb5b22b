"""The first segment of the initramfs: init, and the few kernel modules that it needs to reach the root."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from hullkit.assemble.images import SystemImage
from hullkit.assemble.system import Segment
from hullkit.errors import ConfigError
from hullkit.tree.entry import Bytes, Entry, EntryType, Source
from hullkit.tree.tree import Tree

#: what mounts a store of erofs images that lies in the initramfs
ROOT_MODULES = ("loop", "erofs", "overlay")
#: small, made rarely, unpacked at every boot
_LEVEL = 19


def read(source: Source) -> bytes:
    return b"".join(source.chunks())


def modules_directory(kernel: SystemImage) -> str:
    """The path of ``…/modules/VERSION`` in the kernel image."""
    for entry in kernel.tree.entries():
        if posixpath.basename(entry.path) == "modules.dep" and "/modules/" in entry.path:
            return posixpath.dirname(entry.path)
    raise ConfigError(
        f"the kernel image {kernel.reference} has no modules.dep, and the packed layout needs the modules "
        + ", ".join(ROOT_MODULES),
        hint="use layout: flat, or a kernel component",
        where=kernel.where,
    )


def parse_modules_dep(text: str) -> Mapping[str, tuple[str, tuple[str, ...]]]:
    """modules.dep (modules.dep.bin(5)): module name -> (its path, paths of its dependencies)."""
    found = {}
    for line in text.splitlines():
        path, _, dependencies = line.partition(":")
        found[_module_name(path)] = (path, tuple(dependencies.split()))
    return found


def _module_name(path: str) -> str:
    return posixpath.basename(path).split(".ko", 1)[0].replace("-", "_")


def root_modules(kernel: SystemImage, names: Iterable[str] = ROOT_MODULES) -> Iterator[Entry]:
    """The named modules with their dependencies, modules.dep, and modules.alias, by which init knows the drivers of the
    devices that there are. A module that is built in, or not in the image, has no file here."""
    directory = modules_directory(kernel)
    table = parse_modules_dep(read(_content(kernel.file(f"{directory}/modules.dep"))).decode())
    lines = {}
    for name in names:
        if name in table:
            path, dependencies = table[name]
            for each in (path, *dependencies):
                lines[each] = table[_module_name(each)][1]
    version = posixpath.basename(directory)
    for path in sorted(lines):
        yield replace(kernel.file(f"{directory}/{path}"), path=f"lib/modules/{version}/{path}")
    text = "".join(f"{path}: {' '.join(lines[path])}".rstrip() + "\n" for path in sorted(lines))
    yield Entry(f"lib/modules/{version}/modules.dep", EntryType.FILE, 0o644, content=Bytes(text.encode()))
    aliases = kernel.tree.get(f"{directory}/modules.alias")
    if aliases is not None:
        chosen = {_module_name(path) for path in lines}
        # "alias PATTERN MODULE"
        lines_of_aliases = read(_content(aliases)).decode().splitlines(keepends=True)
        text = "".join(line for line in lines_of_aliases if line.strip().rpartition(" ")[2] in chosen)
        yield Entry(f"lib/modules/{version}/modules.alias", EntryType.FILE, 0o644, content=Bytes(text.encode()))


def _content(entry: Entry) -> Source:
    assert entry.content is not None
    return entry.content


def boot_segment(init: SystemImage, kernel: SystemImage | None, modules: Iterable[str] = ROOT_MODULES) -> Segment:
    """``/init``, the console device, and the modules."""
    tree = Tree()
    tree.add(replace(init.file("init"), path="init"))
    # the kernel opens this for init before devtmpfs is there (init/main.c, console_on_rootfs)
    tree.add(Entry("dev/console", EntryType.CHAR, 0o600, rdev=(5, 1)))
    if kernel is not None:
        for entry in root_modules(kernel, modules):
            tree.add(entry)
    return Segment("boot", tuple(tree.entries()), "zstd", _LEVEL)


def kernel_segment(kernel: Source | None, cmdline: str, ucode: Source | None) -> Segment:
    """``boot/`` with kernel, command line and microcode: for boot loaders, and no part of the initramfs."""
    if kernel is None:
        return Segment("kernel", (), initramfs=False)
    files = {"cmdline": Bytes(cmdline.encode()), "kernel": kernel, **({"ucode.cpio": ucode} if ucode else {})}
    made = [Entry(f"boot/{name}", EntryType.FILE, 0o644, content=content) for name, content in files.items()]
    return Segment("kernel", (Entry("boot", EntryType.DIR, 0o755), *made), initramfs=False)
