"""Where Debian is fetched from: the mirror given, else one that the host's apt uses, else the public one.

Environment: ``HULLKIT_DEBIAN_SECURITY_MIRROR`` (base URL of the security archive), ``HULLKIT_DEBIAN_KEYRING`` (a
private mirror's certificates, see ``keys``), ``HULLKIT_DEBIAN_SNAPSHOT`` (base URL of a snapshot archive; for a private
mirror there is none unless given).
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hullkit.cache import atomic_write
from hullkit.context import Context
from hullkit.debian.deb822 import paragraphs
from hullkit.debian.keys import keyring_id, verify_signed_text
from hullkit.debian.release import check_release, parse_release
from hullkit.errors import HullError
from hullkit.net import Http, Policy

PUBLIC_MIRROR = "http://ftp.debian.org/debian"
SNAPSHOT = "http://snapshot.debian.org/archive"
APT_DIRECTORY = Path("/etc/apt")
#: the suite that a mirror must carry
SUITE = "trixie"
_REMEMBERED = 24 * 3600
_RELEASE_MAX = 4 << 20
#: a host's apt source that does not answer is no reason to wait long
_PROBE = Policy(attempts=2, connect_timeout=5.0, read_timeout=15.0, deadline=30.0)
_ONE_LINE = re.compile(r"deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+(\S+)")


@dataclass(frozen=True, slots=True)
class Mirror:
    """Base URLs (of ``dists`` and ``pool``) without a slash at the end; ``security``: where that may be, in order."""

    main: str
    security: tuple[str, ...]

    def bases(self, suite: str) -> tuple[str, ...]:
        return self.security if is_security(suite) else (self.main,)


def is_security(suite: str) -> bool:
    return suite.endswith("-security")


def apt_sources() -> Iterator[tuple[str, str]]:
    """(base URL, suite) of each binary source that the host's apt has; unreadable files are skipped."""
    names = [str(APT_DIRECTORY / "sources.list"), *sorted(glob.glob(str(APT_DIRECTORY / "sources.list.d" / "*")))]
    for name in names:
        try:
            text = Path(name).read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        found = _deb822(text) if name.endswith(".sources") else _one_line(text) if name.endswith(".list") else ()
        for uri, suite in found:
            # A source with a password is not asked: the password would end up in messages and state files.
            if uri.startswith(("http://", "https://", "file:/")) and "@" not in uri and not suite.endswith("/"):
                yield uri.rstrip("/"), suite


def _one_line(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        if match := _ONE_LINE.match(line.strip()):
            yield match[1], match[2]


def _deb822(text: str) -> Iterator[tuple[str, str]]:
    for fields in paragraphs(text):
        if fields.get("enabled", "yes").lower() in ("no", "false", "0") or "deb" not in fields.get("types", "").split():
            continue
        for uri in fields.get("uris", "").split():
            for suite in fields.get("suites", "").split():
                yield uri, suite


def find_mirror(context: Context, http: Http) -> Mirror:
    """The mirror of this run. Opens a socket only to try the host's apt sources, at most once a day."""
    sources = list(apt_sources())
    if context.debian_mirror:
        main = context.debian_mirror.rstrip("/")
    else:
        main = _probed(context, http, list(dict.fromkeys(uri for uri, suite in sources if not is_security(suite))))
    given = os.environ.get("HULLKIT_DEBIAN_SECURITY_MIRROR")
    if given:
        return Mirror(main, (given.rstrip("/"),))
    from_apt = [uri for uri, suite in sources if is_security(suite)]
    return Mirror(main, tuple(dict.fromkeys([main + "-security", *from_apt])))


def _probed(context: Context, http: Http, candidates: list[str]) -> str:
    """The first candidate with a verified index of SUITE, remembered for a day; else the public mirror."""
    if not candidates:
        return PUBLIC_MIRROR
    identity = hashlib.sha256(json.dumps([candidates, keyring_id()]).encode()).hexdigest()
    memory = context.cache.path("debian", "mirror.json")
    try:
        known = json.loads(memory.read_text())
        if known["id"] == identity and (context.offline or 0 <= time.time() - known["time"] < _REMEMBERED):
            return str(known["main"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    if context.offline:
        return PUBLIC_MIRROR
    main = next((base for base in candidates if _verifies(context, base)), PUBLIC_MIRROR)
    atomic_write(memory, json.dumps({"id": identity, "main": main, "time": int(time.time())}).encode())
    return main


def _verifies(context: Context, base: str) -> bool:
    url = f"{base}/dists/{SUITE}/InRelease"
    try:
        data = Http(context, policy=_PROBE).get(url, max_size=_RELEASE_MAX)
        check_release(parse_release(verify_signed_text(data, url), url), SUITE, time.time(), url)
    except HullError:
        return False
    return True


def snapshot_bases(suite: str, moment: int) -> tuple[str, ...]:
    """Bases of the snapshot archive that should still have what the index of Unix time ``moment`` named."""
    given = os.environ.get("HULLKIT_DEBIAN_SNAPSHOT")
    if not moment or not (given or "HULLKIT_DEBIAN_KEYRING" not in os.environ):
        return ()
    root = f"{(given or SNAPSHOT).rstrip('/')}/{'debian-security' if is_security(suite) else 'debian'}"
    # The archive is photographed some hours after an index is signed, so the first look is a day later.
    return tuple(f"{root}/{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(t))}" for t in (moment + 86400, moment))
