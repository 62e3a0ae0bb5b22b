"""Make a Debian system to compare with: root as an archive, disk image, kernel, initramfs, and the machine file.

mmdebstrap makes the root, without privileges where the host allows that; the disk image is made by the mke2fs of
hullkit's tools. It comes from the mirror that hullkit itself uses, with security updates.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hullkit.cache import Cache, default_cache_root
from hullkit.cli.progress import Lines
from hullkit.component.tools import DebianTools
from hullkit.context import DEBIAN_ARCH, Context
from hullkit.debian.archive import DEFAULT_SUITES, Archive
from hullkit.errors import CheckFailed, HostError, HullError
from hullkit.footprint.foreign import load_foreign
from hullkit.hosttools.run import run
from hullkit.machine.check import run_check
from hullkit.machine.options import MachineOptions
from hullkit.machine.process import stop_signals

#: bytes that an ext4 file system takes beside the contents, and room to work in
_ROOM = 128 << 20
_DISK = "disk.img"


@dataclass(frozen=True)
class Flavour:
    """``packages`` are added to those that Debian calls required, and apt; ``units`` are words for systemctl."""

    name: str
    packages: str
    files: dict[str, str]
    units: tuple[str, ...] = ()


#: what the recipes of Debian's own "genericcloud" images (the cloud team's debian-cloud-images) name
CLOUD = Flavour(
    "debian-cloud",
    """
    linux-image-cloud-{arch} init sudo libpam-systemd systemd-resolved libnss-resolve libnss-myhostname netplan.io
    polkitd unattended-upgrades apparmor zstd apt-utils iptables iputils-ping linux-sysctl-defaults less nano netbase
    vim-tiny whiptail systemd-timesyncd openssh-server ssh-import-id cloud-initramfs-growroot cloud-init
    cloud-guest-utils apt-listchanges bash-completion bind9-host man-db manpages socat pciutils reportbug traceroute
    vim psmisc tcpdump ca-certificates curl ethtool uuid-runtime screen xz-utils
    """,
    {
        "etc/netplan/90-default.yaml": "network:\n  version: 2\n  ethernets:\n"
        "    all-en: {match: {name: en*}, dhcp4: true, dhcp6: true}\n"
    },
)
#: the least that does what examples/tiny.yml does: an address by DHCP, and a random-number daemon
SMALL = Flavour(
    "debian-small",
    "linux-image-cloud-{arch} systemd-sysv udev rng-tools5",
    {"etc/systemd/network/10-dhcp.network": "[Match]\nName=en*\n[Network]\nDHCP=ipv4\n"},
    ("enable systemd-networkd.service", "mask getty-static.service"),
)
#: for both
_FILES = {
    "etc/hostname": "debian\n",
    "etc/fstab": "/dev/vda / ext4 defaults 0 1\n",
    "etc/machine-id": "5d2c9f0e6c1b4b7e9a641f0c3d8e7b52\n",
}


def mmdebstrap(flavour: Flavour, mirrors: dict[str, str], arch: str, out: Path) -> None:
    """Make the archive ``out`` of the root."""
    if shutil.which("mmdebstrap") is None:
        raise HostError("mmdebstrap is not installed", hint="apt install mmdebstrap")
    command = ["mmdebstrap", "--variant=minbase", f"--architectures={arch}"]
    command.append("--include=" + ",".join(flavour.packages.format(arch=arch).split()))
    for path, text in {**_FILES, **flavour.files}.items():
        source = out.with_name(path.replace("/", "-"))
        source.write_text(text)
        source.chmod(0o600 if "netplan" in path else 0o644)
        command.append(f"--customize-hook=upload {source} /{path}")
    command += [f'--customize-hook=systemctl --root="$1" {words}' for words in flavour.units]
    sources = [f"deb {mirrors[suite]} {suite} main" for suite in DEFAULT_SUITES]
    subprocess.run([*command, DEFAULT_SUITES[0], str(out), *sources], check=True)


def boot_files(archive: Path, directory: Path) -> None:
    """Kernel and initramfs, out of the archive."""
    with tarfile.open(archive) as members:
        for member in members:
            name = member.name.rpartition("/")[2]
            for begin, target in (("vmlinuz-", "vmlinuz"), ("initrd.img-", "initrd.img")):
                if "/boot/" in f"/{member.name}" and name.startswith(begin) and member.isfile():
                    stream = members.extractfile(member)
                    assert stream is not None
                    with stream, open(directory / target, "wb") as out:
                        shutil.copyfileobj(stream, out)


def disk_image(context: Context, archive: Path, out: Path) -> None:
    """An ext4 file system with the contents of the archive; nothing of it is left to be initialised by a boot."""
    size = (archive.stat().st_size + _ROOM) // 1024
    options = [
        "-q",
        "-t",
        "ext4",
        "-E",
        "lazy_itable_init=0,lazy_journal_init=0",
        "-d",
        str(archive),
        str(out),
        str(size),
    ]
    # libarchive refuses names that its locale cannot write
    run(context, context.tools.get("mke2fs"), options, env={"LC_ALL": "C.UTF-8"})


def first_boot(context: Context, machine: Path) -> None:
    """Boot the machine once and keep what that writes: the first boot makes a number of caches, and takes longer."""
    foreign = load_foreign(context, machine)
    disks = tuple(replace(disk, snapshot=disk.path.name != _DISK) for disk in foreign.disks)
    with stop_signals():
        report = run_check(context, foreign.boot, MachineOptions(disks=disks, arch=context.arch))
    if not report.ok:
        raise CheckFailed(f"{report.culprit}: {report.message}")


def make(context: Context, flavour: Flavour, directory: Path) -> Path:
    """All files below ``directory``; gives the machine file."""
    work, machine = directory / flavour.name, directory / f"{flavour.name}.yml"
    machine.unlink(missing_ok=True)
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    arch = DEBIAN_ARCH[context.arch]
    mmdebstrap(flavour, Archive.open(context, context.arch).mirrors, arch, work / "root.tar")
    boot_files(work / "root.tar", work)
    disk_image(context, work / "root.tar", work / _DISK)
    unfinished = directory / f".{flavour.name}.yml"
    files = {"kernel": "vmlinuz", "initrd": "initrd.img", "disk": _DISK, "root": "root.tar"}
    lines = [f"name: {flavour.name}", "cmdline: root=/dev/vda rw console=ttyS0 quiet"]
    lines += [f"{key}: {flavour.name}/{name}" for key, name in files.items()]
    unfinished.write_text("\n".join(lines) + "\n")
    first_boot(context, unfinished)
    return unfinished.rename(machine)


def main(given: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--small", action="store_true", help="the least that does what examples/tiny.yml does")
    parser.add_argument("--cache", type=Path, help="hullkit's cache")
    options = parser.parse_args(given)
    cache = Cache((options.cache or default_cache_root()).absolute())
    context = Context(cache, debian_mirror=os.environ.get("HULLKIT_DEBIAN_MIRROR"))
    context.bus.subscribe(Lines(sys.stderr, verbose=False, quiet=False))
    context = replace(context, tools=DebianTools(context))
    try:
        sys.stdout.write(f"{make(context, SMALL if options.small else CLOUD, options.directory)}\n")
    except HullError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    except subprocess.CalledProcessError as error:
        sys.stderr.write(f"mmdebstrap failed with status {error.returncode}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
