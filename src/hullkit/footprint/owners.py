"""Whose a layer is: the component it was made for, the packages of its files, and who sees it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hullkit.assemble.images import Images, SystemImage
from hullkit.build.resolve import COMPONENT, references
from hullkit.config.model import SystemConfig, base_directory
from hullkit.context import Context
from hullkit.lock.lock import Lock

TITLE_LABEL = "org.opencontainers.image.title"
#: the root file system, as a user of layers beside the containers
SYSTEM = "system"
#: what is written or generated for this configuration
CONFIGURATION = "configuration"


@dataclass
class Owners:
    """``components``: diffID → component (its name, or the reference of an image that is none).

    ``users`` see a layer, by diffID; ``images`` are those of an image by reference, for a layout that stores images.
    """

    context: Context
    components: Mapping[str, str]
    users: Mapping[str, tuple[str, ...]]
    images: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    _packages: dict[str, Mapping[str, str]] = field(default_factory=dict)

    def component(self, layer: str, otherwise: str) -> str:
        return self.components.get(layer, otherwise.removeprefix(COMPONENT))

    def image(self, image: SystemImage) -> str:
        """The component that an image is of; its layers may all be those of bases."""
        if image.reference.startswith(COMPONENT):
            return image.image.labels.get(TITLE_LABEL, image.reference)
        return image.reference

    def package(self, layer: str, path: str) -> str:
        """``NAME_VERSION`` of a file of a component's layer; "" when it comes from no package, or is not known."""
        if layer not in self._packages:
            from hullkit.component.build import layer_owners

            self._packages[layer] = layer_owners(self.context, layer) if layer else {}
        return self._packages[layer].get(path, "")


def find_owners(context: Context, config: SystemConfig, images: Images, lock: Lock | None) -> Owners:
    """The owners of all layers of a system whose images are resolved (components are taken from the cache)."""
    components: dict[str, str] = {}
    users: dict[str, list[str]] = {}
    by_image: dict[str, list[str]] = {}
    for reference, path in references(config):
        image = _image(images, reference, path)
        base = Path(base_directory(config, *path))
        for layer, component in _components(context, image, base, lock):
            components.setdefault(layer, component)
        name = SYSTEM if path[0] in ("kernel", "init") else _container(config, path)
        by_image.setdefault(reference, []).append(name)
        for each in image.layers:
            users.setdefault(each.diff_id, []).append(name)
    return Owners(context, components, _each_once(users), _each_once(by_image))


def _each_once(names: Mapping[str, list[str]]) -> dict[str, tuple[str, ...]]:
    return {key: tuple(dict.fromkeys(found)) for key, found in names.items()}


def _image(images: Images, reference: str, path: tuple[str | int, ...]) -> SystemImage:
    if path[0] == "kernel":
        assert images.kernel is not None
        return images.kernel
    return images[reference]


def _container(config: SystemConfig, path: tuple[str | int, ...]) -> str:
    return next(entry.name for kind, number, entry in config.containers() if (kind, number) == path[:2])


def _components(context: Context, image: SystemImage, base: Path, lock: Lock | None) -> Iterator[tuple[str, str]]:
    """(diffID, component) of each layer; a layer of a base belongs to the base."""
    own = image.reference
    if own.startswith(COMPONENT):
        from hullkit.component.component import component_closure, component_image

        *bases, recipe = component_closure(own, base_dir=base)
        own = recipe.spec.name
        for each in bases:
            below = component_image(context, str(each.folder.path), base_dir=base, lock=lock)
            yield from ((layer.diff_id, each.spec.name) for layer in below.layers)
    yield from ((layer.diff_id, own) for layer in image.layers)
