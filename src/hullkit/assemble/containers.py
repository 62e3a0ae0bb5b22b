"""The containers of a system: names, bundles and runtime configuration, the same in every layout."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hullkit.assemble.gojson import go_json
from hullkit.assemble.images import Images, SystemImage
from hullkit.assemble.spec import effective_config, runtime_json, runtime_spec, with_volumes
from hullkit.config.load import parse_image_config
from hullkit.config.model import ImageConfig, ImageEntry, SystemConfig, base_directory, container_ids
from hullkit.errors import HullError, Position

KINDS = ("onboot", "onshutdown", "services")


@dataclass(frozen=True)
class Container:
    """One container: ``bundle`` is its directory below the root, ``config`` what applies to it after precedence."""

    kind: str
    entry: ImageEntry
    image: SystemImage
    config: ImageConfig
    bundle: str
    spec: dict[str, Any]
    runtime: dict[str, Any]
    where: Position | None

    @property
    def name(self) -> str:
        return self.entry.name

    @property
    def readonly(self) -> bool:
        return bool(self.spec["root"].get("readonly"))

    def config_json(self) -> bytes:
        return go_json(self.spec)

    def runtime_json(self) -> bytes:
        return go_json(self.runtime)


def containers(config: SystemConfig, images: Images, *, hardened: bool) -> Iterator[Container]:
    """All containers in order; ``hardened``: hullkit's safe defaults instead of LinuxKit's."""
    ids = container_ids(config)
    for kind, number, entry in config.containers():
        try:
            yield _container(config, images, kind, number, entry, ids, hardened=hardened)
        except HullError as error:
            error.where = error.where or config.position(kind, number)
            raise


def _container(
    config: SystemConfig,
    images: Images,
    kind: str,
    number: int,
    entry: ImageEntry,
    ids: Mapping[str, int],
    *,
    hardened: bool,
) -> Container:
    image = images[entry.image]
    label = image.image.labels.get("org.mobyproject.config")
    parsed = parse_image_config(label, f"the label of {entry.image}") if label else None
    bound = with_volumes(entry, config, mounts=hardened)
    effective = effective_config(bound, parsed, image.image.process)
    name = entry.name if kind == "services" else f"{number:03d}-{entry.name}"
    spec = runtime_spec(
        effective,
        rootfs_path="rootfs",
        ids=ids,
        hardened=hardened,
        name=entry.name,
        arch=image.context.arch,
        base=base_directory(config, kind, number, "seccomp"),
    )
    return Container(
        kind=kind,
        entry=entry,
        image=image,
        config=effective,
        bundle=f"containers/{kind}/{name}",
        spec=spec,
        runtime=runtime_json(effective),
        where=config.position(kind, number),
    )
