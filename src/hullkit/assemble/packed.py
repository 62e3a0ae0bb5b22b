"""The packed layout: every layer is one read-only erofs image, made once; roots are overlays of layers.

The initramfs carries init and the modules that reach the root (one compressed segment), the images as they are (they
are compressed inside), and one generated image with what this configuration adds: a directory for the root and one for
each container. A changed line makes a new generated image and repacks nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from hullkit.assemble.boot import boot_segment, kernel_segment
from hullkit.assemble.containers import Container, containers
from hullkit.assemble.files import add_files
from hullkit.assemble.hulljson import container_json, hull_json
from hullkit.assemble.images import Images, SystemImage, stacked
from hullkit.assemble.mountpoints import add_mount_points
from hullkit.assemble.overlay import Overlay, directory_entry
from hullkit.assemble.store import on_disk, places
from hullkit.assemble.system import Segment, System
from hullkit.config.model import SystemConfig, container_ids
from hullkit.context import Context
from hullkit.errors import ConfigError
from hullkit.oci.image import Layer
from hullkit.steps import cached_path, step_id
from hullkit.tree.entry import Bytes, Entry, EntryType, FileSlice, Owner, Source, fingerprint
from hullkit.tree.erofs import erofs_id, make_erofs
from hullkit.tree.tree import Tree

_CODE = ("hullkit.tree.erofs", "hullkit.tree.tar", "hullkit.tree.tree")
_STORE = "hull/store"
_OWNER = Owner(image="hullkit")
#: hexadecimal digits of a layer's id; enough that no two layers ever share one
_ID_LENGTH = 32
#: directories of the root that something is mounted on, or that programs expect
_ROOT_DIRECTORIES = ("dev", "proc", "sys", "run", "tmp", "var", "etc", "root", "mnt")
_RESOLV_CONF = "/run/resolvconf/resolv.conf"


def assemble_packed(
    context: Context, config: SystemConfig, images: Images, name: str, *, release: bool = False
) -> System:
    """Assemble a system whose initramfs carries the store of erofs images (it lives in RAM); ``on_disk`` is the same
    system with its store on a disk. ``release``: the images are as small as they can be."""
    init = images.hullkit_init(config)
    if init is None:
        raise ConfigError(
            "the packed layout needs hullkit's init",
            hint='add "@component:hullkit-init" to init:, or use layout: flat',
            where=config.position("layout"),
        )
    root_images = _root_images(config, images, init)
    found = list(containers(config, images, hardened=True))
    packer = _Packer(context, release)
    store = _Store(packer, [*root_images, *(container.image for container in found)])

    root = Overlay(stacked(root_images))
    _root_skeleton(root, found)
    add_files(root, config, container_ids(config))
    generated = _generated_image(packer, root, found)

    root_layers = [f"{generated.identity}/root", *store.references(root_images)]
    told = [(each, _container_json(each, generated, store)) for each in found]

    def document(table: Mapping[str, Mapping[str, Any]]) -> bytes:
        return hull_json(config, images, name, "packed", table, root_layers, told)

    packed = [*store.packed(), generated]
    in_initramfs = {each.identity: {"file": each.entry.path} for each in packed}
    contents = {each.identity: each.content for each in packed}
    kernel, ucode = _boot_files(config, images)
    cmdline = config.kernel.cmdline or ""
    return System(
        name=name,
        arch=context.arch,
        layout="packed",
        kernel=kernel,
        cmdline=cmdline,
        ucode=ucode,
        segments=(
            kernel_segment(kernel, cmdline, ucode),
            boot_segment(init, images.kernel),
            Segment("store", tuple(_under_store(each.entry for each in store.packed()))),
            Segment("system", (*_under_store([generated.entry]), _file("hull.json", document(in_initramfs)))),
        ),
        on_disk=on_disk(init, images.kernel, list(contents.values()), document(places(contents))),
    )


def _root_images(config: SystemConfig, images: Images, init: SystemImage) -> list[SystemImage]:
    """What the root is made of, lowest first: the kernel's modules, and the init images but for init itself."""
    found = [images[reference] for reference in config.init if images[reference] is not init]
    modules = [] if images.kernel is None else [images.kernel.without(config.kernel.binary_file)]
    return [*modules, *found]


def _boot_files(config: SystemConfig, images: Images) -> tuple[Source | None, Source | None]:
    """Kernel and early microcode, as far as the system has them."""
    if images.kernel is None:
        return None, None
    ucode = config.kernel.ucode_file
    return images.kernel.file(config.kernel.binary_file).content, images.kernel.file(ucode).content if ucode else None


def _container_json(container: Container, generated: _Packed, store: _Store) -> dict[str, Any]:
    layers = [f"{generated.identity}/{container.bundle}", *store.references([container.image])]
    return container_json(container, layers, writable=not container.readonly)


def _file(path: str, data: bytes) -> Entry:
    return Entry(path, EntryType.FILE, 0o644, content=Bytes(data), owner=_OWNER)


def _under_store(entries: Iterable[Entry]) -> Iterable[Entry]:
    return [directory_entry("hull"), directory_entry(_STORE), *entries]


def _root_skeleton(root: Overlay, found: Sequence[Container]) -> None:
    """Mount points, resolv.conf, and the bundles of all containers."""
    for path in _ROOT_DIRECTORIES:
        root.ensure(path, directory_entry)
    root.ensure("etc/resolv.conf", lambda path: Entry(path, EntryType.SYMLINK, 0o777, target=_RESOLV_CONF))
    for container in found:
        root.directory(f"{container.bundle}/rootfs")
        root.add(_file(f"{container.bundle}/config.json", container.config_json()))
        root.add(_file(f"{container.bundle}/runtime.json", container.runtime_json()))


class _Packed:
    """One erofs image of the store."""

    def __init__(self, identity: str, path: Path, owner: Owner) -> None:
        self.identity = identity
        self.content = FileSlice(path, 0, path.stat().st_size)
        self.entry = Entry(f"{_STORE}/{identity}.erofs", EntryType.FILE, 0o444, content=self.content, owner=owner)


class _Packer:
    """Makes erofs images, each once for its content, tool and compression."""

    def __init__(self, context: Context, release: bool) -> None:
        self.context = context
        self._release = release
        self._tool = erofs_id(context, release=release)

    def layer(self, image: SystemImage, layer: Layer) -> _Packed:
        def make(path: Path) -> None:
            with self.context.bus.step(f"pack layer {layer.diff_id[7:19]} of {image.reference}"):
                self._make(image.layer_entries(layer), path, whiteouts=True)

        return self._once(layer.diff_id, make, Owner(image=image.reference, layer=layer.diff_id))

    def generated(self, entries: Sequence[Entry]) -> _Packed:
        return self._once(fingerprint(entries), lambda path: self._make(entries, path), _OWNER)

    def _once(self, content: str, make: Callable[[Path], None], owner: Owner) -> _Packed:
        identity = step_id("erofs", [self._tool, content], _CODE)[:_ID_LENGTH]
        return _Packed(identity, cached_path(self.context, "erofs", identity, make, suffix=".erofs"), owner)

    def _make(self, entries: Iterable[Entry], path: Path, *, whiteouts: bool = False) -> None:
        make_erofs(self.context, entries, path, whiteouts=whiteouts, release=self._release)


def _generated_image(packer: _Packer, root: Overlay, found: Sequence[Container]) -> _Packed:
    """What this configuration adds: ``root`` and a directory for each container's bundle."""
    tree = Tree()
    for top in ("root", *(container.bundle for container in found)):
        tree.add(directory_entry(top))
    for entry in root.entries():
        tree.add(replace(entry, path=f"root/{entry.path}"))
    for container in found:
        overlay = Overlay(container.image.tree)
        add_mount_points(overlay, container.spec, root)
        for entry in overlay.entries():
            tree.add(replace(entry, path=f"{container.bundle}/{entry.path}"))
    return packer.generated(list(tree.entries()))


class _Store:
    """The erofs images of all layers in use, each once."""

    def __init__(self, packer: _Packer, images: Sequence[SystemImage]) -> None:
        wanted: dict[str, tuple[SystemImage, Layer]] = {}
        for image in images:
            for layer in image.layers:
                wanted.setdefault(layer.diff_id, (image, layer))
        # mkfs.erofs works on one core for the most part: several layers at a time
        with ThreadPoolExecutor(max_workers=packer.context.jobs) as pool:
            packed = pool.map(lambda each: packer.layer(*each), wanted.values())
            self._packed = dict(zip(wanted, packed, strict=True))

    def references(self, images: Sequence[SystemImage]) -> list[str]:
        """Layer ids of images over each other (the first image lowest), top first.

        overlayfs takes a directory once; what a layer that comes twice hides, the upper one of it hides as well.
        """
        layers = [layer for image in images for layer in image.layers]
        return list(dict.fromkeys(self._packed[layer.diff_id].identity for layer in reversed(layers)))

    def packed(self) -> list[_Packed]:
        return list(self._packed.values())
