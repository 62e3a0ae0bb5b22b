"""The images of a system, resolved: what each reference of the configuration stands for in the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from hullkit.config.model import SystemConfig
from hullkit.context import Context
from hullkit.errors import HullError, NotFound, Position
from hullkit.oci.document import Descriptor
from hullkit.oci.image import Image, Layer
from hullkit.oci.index import Platform
from hullkit.oci.layers import layer_entries
from hullkit.oci.store import Store
from hullkit.tree.entry import Entry
from hullkit.tree.tree import Tree


@dataclass(frozen=True)
class SystemImage:
    """An image of the system; ``reference`` is what the person wrote, ``where`` the first place that names it."""

    context: Context
    store: Store
    reference: str
    image: Image
    #: lowest first, as in the manifest
    layers: tuple[Layer, ...]
    where: Position | None = None

    @property
    def role(self) -> str:
        """What a component is for: init, kernel, runtime, dhcp-client; empty for most."""
        return self.image.labels.get("org.hullkit.role", "")

    def layer_entries(self, layer: Layer) -> Sequence[Entry]:
        return layer_entries(self.context, self.store, layer, self.reference)

    def without(self, path: str) -> SystemImage:
        """The same image less the layers that hold ``path`` (a kernel's modules without the kernel)."""
        kept = [layer for layer in self.layers if all(each.path != path for each in self.layer_entries(layer))]
        return replace(self, layers=tuple(kept))

    @cached_property
    def tree(self) -> Tree:
        """All layers flattened."""
        return stacked([self])

    def file(self, path: str) -> Entry:
        """A regular file of the image, hard links followed; NotFound when there is none."""
        found = self.tree.get(path)
        while found is not None and found.target:
            found = self.tree.get(found.target.lstrip("/"))
        if found is None or found.content is None:
            raise NotFound(f"the image {self.reference} has no file {path}", where=self.where)
        return found


def stacked(images: Sequence[SystemImage]) -> Tree:
    """The images' layers over each other, the first image lowest."""
    tree = Tree()
    for image in images:
        for layer in image.layers:
            tree.apply_layer(image.layer_entries(layer))
    return tree


@dataclass(frozen=True)
class SystemIndex:
    """An image for several platforms as it is in its registry, for a volume that holds it; ``platforms`` empty: all."""

    store: Store
    reference: str
    root: Descriptor
    platforms: tuple[Platform, ...] = ()


@dataclass(frozen=True)
class Images:
    """Images by the reference that names them in the configuration; the kernel apart (it has a profile).

    ``indexes``: those of volumes with ``format: oci``, by the number of the volume.
    """

    by_reference: Mapping[str, SystemImage]
    kernel: SystemImage | None
    indexes: Mapping[int, SystemIndex] = field(default_factory=dict)

    def hullkit_init(self, config: SystemConfig) -> SystemImage | None:
        """The first of the init images that is hullkit's init; None for a system with LinuxKit's (or another)."""
        return next((self[reference] for reference in config.init if self[reference].role == "init"), None)

    def supervisor(self, config: SystemConfig) -> str:
        """What runs the services: ``containerd`` where its component is among the init images, else ``direct``."""
        found = any(self[reference].role == "supervisor" for reference in config.init)
        return "containerd" if found else "direct"

    def __getitem__(self, reference: str) -> SystemImage:
        try:
            return self.by_reference[reference]
        except KeyError:
            raise HullError(f"the image {reference} was not resolved") from None
