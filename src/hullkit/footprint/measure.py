"""A system → its footprint: what can be known without a boot, then what boots tell."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from hullkit.assemble.containers import containers
from hullkit.assemble.images import Images, SystemImage
from hullkit.assemble.system import Segment, System
from hullkit.build.resolve import resolve_images
from hullkit.config.model import SystemConfig
from hullkit.context import Context
from hullkit.errors import ConfigError
from hullkit.footprint.boot import boot_of
from hullkit.footprint.disk import FORMAT, Cost, account, group
from hullkit.footprint.memory import memory_of
from hullkit.footprint.model import VERSION, Disk, FileCost, Footprint, Port
from hullkit.footprint.owners import SYSTEM, Owners, find_owners
from hullkit.footprint.surface import capable_files, surface
from hullkit.lock.lock import Lock
from hullkit.machine.report import Report


def measure_built(context: Context, config: SystemConfig, system: System, lock: Lock | None, initrd: int) -> Footprint:
    """Disk and attack surface of a built system whose initramfs has ``initrd`` bytes.

    ConfigError when the system has no kernel.
    """
    if system.kernel is None or not config.kernel.image:
        raise ConfigError("a footprint needs a kernel, and the configuration names none", hint="add kernel: image:")
    images = resolve_images(context, config, lock)
    owners = find_owners(context, config, images, lock)
    kernel = _kernel(system.kernel.size, config, images, owners)
    costs = account(system, owners, kernel, initrd, lambda segment: _compressed(context, segment))
    found = [
        (container, owners.image(container.image))
        for container in containers(config, images, hardened=not system.linuxkit)
    ]
    layers = {layer.diff_id: (image, layer) for image in _all(images) for layer in image.layers}
    capable = capable_files({name: image.layer_entries(layer) for name, (image, layer) in layers.items()})
    assert images.kernel is not None
    known = {
        "version": images.kernel.image.labels.get("org.hullkit.kernel.version", ""),
        "command line": system.cmdline,
    }
    return Footprint(
        version=VERSION,
        name=system.name,
        arch=system.arch,
        layout=system.layout,
        disk=Disk(FORMAT, kernel.file.bytes + initrd, kernel.file.bytes, initrd, tuple(group(costs))),
        surface=surface(
            costs,
            found,
            capable,
            known,
            writable_root=system.linuxkit or "hullkit.root=rw" in system.cmdline.split(),
        ),
    )


def _all(images: Images) -> list[SystemImage]:
    return [*images.by_reference.values(), *([images.kernel] if images.kernel is not None else [])]


def _kernel(size: int, config: SystemConfig, images: Images, owners: Owners) -> Cost:
    assert images.kernel is not None
    entry = images.kernel.file(config.kernel.binary_file)
    layer = entry.owner.layer
    return Cost(
        owners.component(layer, images.kernel.reference),
        owners.package(layer, entry.path),
        layer,
        (SYSTEM,),
        FileCost(entry.path, size, size),
    )


def _compressed(context: Context, segment: Segment) -> int:
    from hullkit.output.initrd import compressed_segment

    return compressed_segment(context, segment).size


def with_boots(footprint: Footprint, reports: Sequence[Report]) -> Footprint:
    """The same with memory and ports (of the last boot) and boot times (of all)."""
    last = reports[-1]
    guest = last.guest
    ports = tuple(
        Port(port.container, port.protocol, port.address, port.port, port.private)
        for port in (guest.ports if guest is not None else ())
    )
    return msgspec.structs.replace(
        footprint,
        memory=memory_of(last),
        boot=boot_of(reports),
        surface=msgspec.structs.replace(footprint.surface, ports=ports),
    )


def with_minimum(footprint: Footprint, mebibytes: int) -> Footprint:
    """The same with the smallest memory that the system works in."""
    assert footprint.memory is not None
    return msgspec.structs.replace(footprint, memory=msgspec.structs.replace(footprint.memory, minimum=mebibytes))
