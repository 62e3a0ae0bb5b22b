"""What an image of a component holds: layers, files, and the package of each file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hullkit.component.build import layer_owners
from hullkit.context import Context
from hullkit.oci.image import Image
from hullkit.oci.layers import layer_entries
from hullkit.tree.entry import EntryType


@dataclass(frozen=True, slots=True)
class ImageFile:
    """``package`` is ``NAME_VERSION``; empty for what recipes declare."""

    path: str
    mode: int
    size: int
    package: str


def describe_layers(context: Context, image: Image) -> tuple[list[dict[str, Any]], list[ImageFile]]:
    """The layers (diffID, packages, number of files, bytes), lowest first, and all their files but directories."""
    layers = []
    files: list[ImageFile] = []
    for layer in image.layers:
        owners = layer_owners(context, layer.diff_id)
        entries = [entry for entry in layer_entries(context, image.store, layer, "") if entry.type is not EntryType.DIR]
        files.extend(ImageFile(e.path, e.mode, e.size, owners.get(e.path, "")) for e in entries)
        names = sorted({package.partition("_")[0] for package in owners.values() if package})
        layers.append(
            {
                "diffID": layer.diff_id,
                "from": ", ".join(names[:3]) + (" …" if len(names) > 3 else "") or "recipe",
                "files": len(entries),
                "bytes": layer.descriptor.size,
            }
        )
    return layers, sorted(files, key=lambda file: file.path)
