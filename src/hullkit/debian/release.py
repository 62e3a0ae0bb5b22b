"""A suite's Release file: the signed list of its indexes, and the checks before it is believed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from email.utils import mktime_tz, parsedate_tz

from hullkit.debian.deb822 import paragraphs
from hullkit.errors import TrustError

#: how far a Release file may be dated in the future (seconds): clocks differ
_FUTURE = 24 * 3600


@dataclass(frozen=True, slots=True)
class Release:
    """``date`` and ``valid_until`` are Unix times (0: not given); ``files``: path below the suite → (SHA-256, size)."""

    suite: str
    codename: str
    date: int
    valid_until: int
    by_hash: bool
    files: dict[str, tuple[str, int]]


def _time(text: str, what: str) -> int:
    parsed = parsedate_tz(text)
    if parsed is None:
        raise TrustError(f"{what}: not a date: {text[:80]!r}")
    return int(mktime_tz(parsed))


def parse_release(text: str, what: str) -> Release:
    """Read the signed text of an InRelease file. Raises TrustError when it is not one."""
    found = list(paragraphs(text))
    if len(found) != 1:
        raise TrustError(f"{what}: not one paragraph but {len(found)}")
    fields = found[0]
    files = {}
    for line in fields.get("sha256", "").split("\n"):
        match = re.fullmatch(r"([0-9a-f]{64})\s+(\d{1,15})\s+(\S+)", line)
        if match:
            files[match[3]] = (match[1], int(match[2]))
    if "date" not in fields or not files:
        raise TrustError(f"{what}: has no Date or no SHA256 list")
    until = fields.get("valid-until")
    return Release(
        suite=fields.get("suite", ""),
        codename=fields.get("codename", ""),
        date=_time(fields["date"], what),
        valid_until=_time(until, what) if until else 0,
        by_hash=fields.get("acquire-by-hash", "").lower() == "yes",
        files=files,
    )


def check_release(release: Release, suite: str, now: float, what: str) -> None:
    """Raises TrustError for another suite than asked for, an expired file, or one from the future."""
    if suite not in (release.suite, release.codename):
        raise TrustError(f"{what}: is the index of {release.codename or release.suite!r}, not of {suite!r}")
    if release.valid_until and now > release.valid_until:
        days = (now - release.valid_until) / 86400
        raise TrustError(f"{what}: expired {days:.1f} days ago", hint="the mirror is stale: use another one")
    if release.date > now + _FUTURE:
        raise TrustError(f"{what}: is dated in the future", hint="check this machine's clock")
