"""The small languages inside the configuration's texts: capabilities, binds, tmpfs, limits, modes, image references.

Each function takes one text and raises ValueError with a message that completes "KEY: ...". They accept what LinuxKit
accepts (src/cmd/linuxkit/moby/config.go) unless no runtime could use it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from hullkit.config.definition import shown

_CAPABILITY_NAMES = """
CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE
NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN
SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE
MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE
"""
_SIGNAL_NAMES = """
HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU URG XCPU
XFSZ VTALRM PROF WINCH IO PWR SYS RTMIN RTMAX
"""
_RLIMIT_NAMES = """
CPU FSIZE DATA STACK CORE RSS NPROC NOFILE MEMLOCK AS LOCKS SIGPENDING MSGQUEUE NICE RTPRIO RTTIME
"""
#: in the order of their numbers (include/uapi/linux/capability.h, Linux 5.9 and later)
CAPABILITIES = tuple(f"CAP_{name}" for name in _CAPABILITY_NAMES.split())
_KNOWN = frozenset(CAPABILITIES)
#: signal(7): what may be written for a service's stop signal
SIGNALS = frozenset(f"SIG{name}" for name in _SIGNAL_NAMES.split())
#: getrlimit(2): LinuxKit knows these sixteen
RLIMITS = frozenset(f"RLIMIT_{name}" for name in _RLIMIT_NAMES.split())
UNLIMITED = (1 << 64) - 1


def near(text: str, known: Sequence[str]) -> str:
    """``; did you mean X?`` or nothing."""
    from difflib import get_close_matches

    found = get_close_matches(text.upper()[:64], known, 1, 0.75)
    return f"; did you mean {found[0]}?" if found else ""


def capabilities(names: Sequence[str]) -> tuple[str, ...]:
    """A list of capability names as they are; ``all`` or ``none`` alone stand for every one or no one."""
    if len(names) == 1 and names[0].lower() in ("all", "none"):
        return CAPABILITIES if names[0].lower() == "all" else ()
    for name in names:
        if name.lower() in ("all", "none"):
            raise ValueError(f"{shown(name)} must be the only capability of the list")
        if name not in _KNOWN:
            wanted = name.upper() if name.upper().startswith("CAP_") else f"CAP_{name.upper()}"
            meant = f"; did you mean {wanted}?" if wanted in _KNOWN else near(wanted, CAPABILITIES)
            raise ValueError(f"unknown capability {shown(name)}{meant}")
    return tuple(names)


class Bind(msgspec.Struct, frozen=True):
    """``source:destination[:options]``; without options ``options`` is None."""

    source: str
    destination: str
    options: tuple[str, ...] | None

    def with_source(self, source: str) -> str:
        """The text again, with another source."""
        return ":".join([source, self.destination, *([",".join(self.options)] if self.options is not None else [])])


def bind(text: str) -> Bind:
    parts = text.split(":")
    if not 2 <= len(parts) <= 3:
        many = "too many" if len(parts) > 3 else "no"
        raise ValueError(
            f'the bind {shown(text)} has {many} ":"; write source:destination, or source:destination:options'
        )
    if not parts[0] or not parts[1]:
        raise ValueError(f"the bind {shown(text)} has an empty part; write source:destination")
    return Bind(parts[0], parts[1], tuple(parts[2].split(",")) if len(parts) == 3 else None)


def tmpfs(text: str) -> tuple[str, tuple[str, ...] | None]:
    """``destination[:options]``"""
    parts = text.split(":")
    if len(parts) > 2:
        raise ValueError(f'the tmpfs {shown(text)} has too many ":"; write destination, or destination:options')
    if not parts[0]:
        raise ValueError(f"the tmpfs {shown(text)} has no destination")
    return parts[0], tuple(parts[1].split(",")) if len(parts) == 2 else None


def rlimit(text: str) -> tuple[str, int, int]:
    """``name,soft,hard`` as (RLIMIT_NAME, soft, hard); ``unlimited`` is the largest 64-bit number."""
    parts = text.split(",")
    if len(parts) != 3:
        raise ValueError(f"the rlimit {shown(text)} must be name,soft,hard")
    name = parts[0].strip().upper()
    name = name if name.startswith("RLIMIT_") else f"RLIMIT_{name}"
    if name not in RLIMITS:
        raise ValueError(f"unknown rlimit {shown(parts[0].strip())}{near(name, sorted(RLIMITS))}")
    soft, hard = (_limit(part.strip(), text) for part in parts[1:])
    if soft > hard:
        raise ValueError(f"the rlimit {shown(text)} has a soft limit above the hard one")
    return name, soft, hard


def _limit(text: str, whole: str) -> int:
    if text.lower() == "unlimited":
        return UNLIMITED
    if not re.fullmatch(r"[0-9]{1,20}", text) or int(text) > UNLIMITED:
        raise ValueError(f"the rlimit {shown(whole)}: {shown(text)} is neither a number nor unlimited")
    return int(text)


def octal_mode(text: str) -> int:
    """Permissions as an octal text."""
    if not re.fullmatch(r"0*[0-7]{1,4}", text):
        raise ValueError(f'the mode {shown(text)} is not octal; write permissions such as "0644"')
    return int(text, 8)


_REFERENCE = (
    r"(?:(?:\[[0-9a-fA-F:]+\]|[a-zA-Z0-9.-]+)(?::[0-9]+)?/)?"  # registry
    r"[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*)*"  # repository
    r"(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?"  # tag
    r"(?:@[a-z0-9]+(?:[+._-][a-z0-9]+)*:[0-9a-fA-F]{32,})?"  # digest
)
_LONGEST_REFERENCE = 4096


def image_reference(text: str) -> str:
    """An image name as the OCI distribution specification allows it, or a template (``@pkg:``, ``@component:``)."""
    if not text:
        raise ValueError("the image has no name")
    if text.startswith("@"):
        kind, _, rest = text.partition(":")
        if kind not in ("@pkg", "@component") or not rest:
            raise ValueError(f"{shown(text)} is no template; write @component:NAME, or @pkg:PATH of a LinuxKit package")
    elif len(text) > _LONGEST_REFERENCE or not re.fullmatch(_REFERENCE, text):
        why = "; capital letters are not allowed" if re.fullmatch(_REFERENCE, text.lower()) else ""
        raise ValueError(f"{shown(text)} is not the name of an image{why}")
    return text


def expand_reference(text: str) -> str:
    """``redis`` → ``docker.io/library/redis``: an image name with its registry; templates stay as they are."""
    first, slash, _ = text.partition("/")
    if not text or text.startswith("@"):
        return text
    if not slash:
        return f"docker.io/library/{text}"
    return text if "." in first or ":" in first or first == "localhost" else f"docker.io/{text}"


_PORT = re.compile(r"([0-9]{1,5})(?:/(?:tcp|udp))?")


def port(text: str) -> str:
    """``80``, ``"80/tcp"`` or ``"68/udp"``."""
    match = _PORT.fullmatch(text)
    if match is None or not 1 <= int(match[1]) <= 65535:
        raise ValueError(f'{shown(text)} is not a port; write a number such as 80, or "68/udp"')
    return text
