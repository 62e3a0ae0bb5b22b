"""What a machine boots: a kernel with initramfs, command line and perhaps a disk; or an image, by its firmware."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hullkit.errors import ConfigError, NotFound

#: COMMAND_LINE_SIZE of the architecture with the shortest line that is served (arch/x86/include/asm/setup.h)
MAX_CMDLINE = 2047


#: word of the command line of a system whose root is on a disk (docs/guest.md)
_VERITY = "hullkit.verity="


@dataclass(frozen=True, slots=True)
class Sizes:
    """In bytes: what is loaded before the kernel starts, and what it reads from a disk or CD."""

    kernel: int
    initrd: int
    disk: int


@dataclass(frozen=True, slots=True)
class BootFiles:
    """A direct kernel boot. ``name`` is for people; ``cmdline`` has no newline and no NUL. ``store``: the disk with the
    root, for a system that does not carry it in its initramfs."""

    kernel: Path
    initrd: Path
    cmdline: str
    name: str = ""
    store: Path | None = None

    @property
    def sizes(self) -> Sizes:
        store = self.store.stat().st_size if self.store is not None else 0
        return Sizes(self.kernel.stat().st_size, self.initrd.stat().st_size, store)

    @classmethod
    def from_prefix(cls, prefix: Path) -> BootFiles:
        """What ``kernel+initrd`` and ``kernel+erofs`` write: PREFIX-kernel, PREFIX-initrd.img, PREFIX-cmdline, and
        PREFIX-erofs.img when the command line speaks of it. An empty command line has no file.

        Raises NotFound when one of the others is missing, ConfigError when one cannot be what it must be.
        """
        kernel, initrd, cmdline = (
            prefix.with_name(prefix.name + end) for end in ("-kernel", "-initrd.img", "-cmdline")
        )
        for path in (kernel, initrd):
            if not path.is_file():
                raise NotFound(
                    f"{prefix}: there is no {path.name}",
                    hint="name the YAML files, or the PREFIX that a build --format kernel+initrd wrote",
                )
        line = ""
        if cmdline.is_file():
            with open(cmdline, "rb") as stream:
                line = command_line(stream.read(MAX_CMDLINE + 2), cmdline)
        store = None
        if any(word.startswith(_VERITY) for word in line.split()):
            store = prefix.with_name(prefix.name + "-erofs.img")
            if not store.is_file():
                raise NotFound(f"{prefix}: there is no {store.name}, where its root is", hint="build it again")
        return cls(kernel, initrd, line, prefix.name, store)


@dataclass(frozen=True, slots=True)
class BootMedium:
    """A boot by EFI firmware from an image: from a CD, or (``as_disk``) from a disk, as a USB stick would be one."""

    image: Path
    as_disk: bool = False

    @property
    def name(self) -> str:
        return self.image.name

    @property
    def sizes(self) -> Sizes:
        """Kernel and initramfs are inside the image."""
        return Sizes(0, 0, self.image.stat().st_size)


Boot = BootFiles | BootMedium


def command_line(data: bytes, path: Path) -> str:
    """What ``path`` says is the kernel's command line, without white space around it. ConfigError when it cannot be."""
    try:
        text = data.decode("ascii").strip()
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: a kernel command line is plain ASCII") from None
    if len(text) > MAX_CMDLINE or any(not character.isprintable() for character in text):
        raise ConfigError(f"{path}: not one line of at most {MAX_CMDLINE} printable characters")
    return text
