"""The three things a machine boots: kernel, initramfs and kernel command line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hullkit.errors import ConfigError, NotFound

#: COMMAND_LINE_SIZE of the architecture with the shortest line that is served (arch/x86/include/asm/setup.h)
MAX_CMDLINE = 2047


@dataclass(frozen=True, slots=True)
class BootFiles:
    """A direct kernel boot. ``name`` is for people; ``cmdline`` has no newline and no NUL."""

    kernel: Path
    initrd: Path
    cmdline: str
    name: str = ""

    @classmethod
    def from_prefix(cls, prefix: Path) -> BootFiles:
        """What the ``kernel+initrd`` format writes: PREFIX-kernel, PREFIX-initrd.img and PREFIX-cmdline.

        Raises NotFound when one of the three is missing, ConfigError when one cannot be what it must be.
        """
        kernel, initrd, cmdline = (
            prefix.with_name(prefix.name + end) for end in ("-kernel", "-initrd.img", "-cmdline")
        )
        for path in (kernel, initrd, cmdline):
            if not path.is_file():
                raise NotFound(
                    f"{prefix}: there is no {path.name}",
                    hint="name the YAML files, or the PREFIX that a build --format kernel+initrd wrote",
                )
        with open(cmdline, "rb") as stream:
            line = stream.read(MAX_CMDLINE + 2)
        return cls(kernel, initrd, _cmdline(line, cmdline), prefix.name)


def _cmdline(data: bytes, path: Path) -> str:
    try:
        text = data.decode("ascii").strip()
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: a kernel command line is plain ASCII") from None
    if len(text) > MAX_CMDLINE or any(not character.isprintable() for character in text):
        raise ConfigError(f"{path}: not one line of at most {MAX_CMDLINE} printable characters")
    return text
