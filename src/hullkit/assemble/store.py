"""A packed system whose store of erofs images lies on a disk: the images, and the small initramfs that finds them.

The table of the images is in hull.json, the hash that vouches for all of them on the kernel command line
(``hullkit.verity``, docs/guest.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hullkit.assemble.boot import boot_segment
from hullkit.assemble.images import SystemImage
from hullkit.assemble.system import Medium, OnDisk, Segment
from hullkit.disk.verity import VerityImage, padded
from hullkit.tree.entry import Bytes, Entry, EntryType, Source

#: it is unpacked at every boot
_LEVEL = 19

_VERITY = ("dm_mod", "dm_verity", "erofs", "overlay")
_DISK = ("virtio_blk", "virtio_mmio", "nvme", "xen_blkfront")
_REMOVABLE = (
    *("sr_mod", "sd_mod", "virtio_scsi", "ahci", "ata_piix"),
    *("xhci_pci", "ehci_pci", "usb_storage", "uas", "hv_storvsc", "vmw_pvscsi"),
)
#: modules of the initramfs; of the drivers those that the kernel's hardware profile has
STORE_MODULES: Mapping[Medium, tuple[str, ...]] = {
    "disk": (*_VERITY, *_DISK),
    "removable": (*_VERITY, *_DISK, *_REMOVABLE),
}


def places(images: Mapping[str, Source]) -> dict[str, dict[str, int]]:
    """The table of a store: id of an image → its offset and size in bytes."""
    table, offset = {}, 0
    for identity, content in images.items():
        table[identity] = {"offset": offset, "size": padded(content.size)}
        offset += padded(content.size)
    return table


def on_disk(init: SystemImage, kernel: SystemImage | None, images: Sequence[Source], document: bytes) -> OnDisk:
    """``document`` is hull.json, with the table (``places``) of the ``images``."""
    system = Segment("system", (Entry("hull.json", EntryType.FILE, 0o644, content=Bytes(document)),), "zstd", _LEVEL)
    initramfs: dict[Medium, tuple[Segment, ...]] = {
        medium: (boot_segment(init, kernel, modules), system) for medium, modules in STORE_MODULES.items()
    }
    return OnDisk(initramfs, VerityImage(tuple(images)))
