"""The sets of host tools, as data: which Debian packages have the programs that builds, runs and tests start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

#: what only maintainer scripts of the tools' dependencies need
_SCRIPTS_ONLY = (
    "adduser",
    "base-passwd",
    "debconf",
    "login.defs",
    "openssl-provider-legacy",
    "passwd",
)
#: other sets have it, or nobody wants it: QEMU is started with ``-L`` and ``romfile=``
_QEMU_PRUNED = (*_SCRIPTS_ONLY, "ipxe-qemu", "qemu-system-data", "seabios", "qemu-block-extra", "qemu-efi-aarch64")

#: what every build from source has: a C compiler, make, and what configure scripts and patches take
BUILD_PACKAGES = (
    "binutils",
    "coreutils",
    "dash",
    "diffutils",
    "findutils",
    "gcc",
    "grep",
    "libc6-dev",
    "make",
    "mawk",
    "patch",
    "pkgconf",
    "sed",
)
#: not followed there: scripts of maintainers, and the run-time libraries of sanitizers, which nothing released uses
BUILD_PRUNED = (
    *_SCRIPTS_ONLY,
    "dpkg",
    "libasan8",
    "libgprofng0",
    "libhwasan0",
    "liblsan0",
    "libtsan2",
    "libubsan1",
)
#: links that Debian's alternatives would make: path → the first of these files that is there
ALTERNATIVES: Mapping[str, tuple[str, ...]] = {
    "usr/bin/awk": ("gawk", "mawk"),
    "usr/bin/c++": ("g++",),
    "usr/bin/c99": ("c99-gcc",),
    "usr/bin/cc": ("gcc",),
    "usr/bin/python": ("python3",),
    "usr/bin/sh": ("dash", "bash"),
    "usr/bin/yacc": ("bison.yacc", "byacc"),
}


@dataclass(frozen=True, slots=True)
class Toolset:
    """``programs``: name → path below the tree. ``env``: variable → path below the tree ("{triplet}" is the multiarch
    directory's name)."""

    packages: tuple[str, ...]
    programs: Mapping[str, str] = field(default_factory=dict)
    prune: tuple[str, ...] = _SCRIPTS_ONLY
    env: Mapping[str, str] = field(default_factory=dict)


def _qemu(package: str, *machines: str) -> Toolset:
    programs = {f"qemu-system-{machine}": f"usr/bin/qemu-system-{machine}" for machine in machines}
    return Toolset((package,), programs, _QEMU_PRUNED, {"QEMU_MODULE_DIR": "usr/lib/{triplet}/qemu"})


TOOLSETS: Mapping[str, Toolset] = {
    "erofs": Toolset(
        ("erofs-utils",), {name: f"usr/bin/{name}" for name in ("mkfs.erofs", "fsck.erofs", "dump.erofs")}
    ),
    # Firmware and other data of every QEMU; the programs are sets of their own, one per machine.
    "qemu": Toolset(("qemu-system-data", "seabios"), prune=_SCRIPTS_ONLY),
    "qemu-x86": _qemu("qemu-system-x86", "x86_64"),
    "qemu-arm": _qemu("qemu-system-arm", "aarch64"),
    "qemu-riscv": _qemu("qemu-system-riscv", "riscv64"),
    "qemu-ppc": _qemu("qemu-system-ppc", "ppc64"),
    "qemu-s390x": _qemu("qemu-system-s390x", "s390x"),
    "qemu-img": Toolset(("qemu-utils",), {"qemu-img": "usr/bin/qemu-img"}, _QEMU_PRUNED),
    # Data: firmware that starts EFI programs, and the program that starts the kernel of a unified kernel image.
    "ovmf": Toolset(("ovmf",)),
    "efi-stub": Toolset(("systemd-boot-efi",)),
    # For tests, and for scripts/debian-cloud; libarchive lets mke2fs read an archive (-d).
    "ext": Toolset(
        ("e2fsprogs", "libarchive13t64"),
        {name: f"usr/sbin/{name}" for name in ("mke2fs", "e2fsck", "debugfs")},
        (*_SCRIPTS_ONLY, "logsave"),
    ),
    "verity": Toolset(("cryptsetup-bin",), {"veritysetup": "usr/sbin/veritysetup"}),
    "fat": Toolset(("dosfstools", "mtools"), {"fsck.fat": "usr/sbin/fsck.fat", "mtools": "usr/bin/mtools"}),
    "iso": Toolset(("xorriso",), {"xorriso": "usr/bin/xorriso"}),
    "gpt": Toolset(("gdisk",), {"sgdisk": "usr/sbin/sgdisk"}),
    "registry": Toolset(("docker-registry",), {"docker-registry": "usr/bin/docker-registry"}),
    "skopeo": Toolset(("skopeo",), {"skopeo": "usr/bin/skopeo"}),
}
#: architecture of a system → the file of the set efi-stub; a host has that of its own architecture
EFI_STUBS: Mapping[str, str] = {
    "amd64": "usr/lib/systemd/boot/efi/linuxx64.efi.stub",
    "arm64": "usr/lib/systemd/boot/efi/linuxaa64.efi.stub",
    "riscv64": "usr/lib/systemd/boot/efi/linuxriscv64.efi.stub",
}
#: architecture of a system → the set with its QEMU
QEMU_SETS: Mapping[str, str] = {
    "amd64": "qemu-x86",
    "arm64": "qemu-arm",
    "riscv64": "qemu-riscv",
    "ppc64le": "qemu-ppc",
    "s390x": "qemu-s390x",
}
