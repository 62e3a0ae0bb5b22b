"""Who may sign an index: the pinned keys of Debian's archive, or the certificates of a private mirror.

``keys/debian-archive.gpg`` holds the certificates of Debian 13 (trixie) and 12 (bookworm), as Debian publishes them in
the package debian-archive-keyring; their fingerprints are pinned here too, so that a changed file is noticed.
"""

from __future__ import annotations

import hashlib
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

from hullkit.errors import ConfigError, TrustError

_PINNED_FILE = Path(__file__).parent / "keys" / "debian-archive.gpg"
FINGERPRINTS = frozenset(
    {
        "04b54c3cdca79751b16bc6b5225629df75b188bd",  # archive, 13
        "5e04a1e3223a19a20706e20f9904613d4cce68c6",  # security, 13
        "41587f7db8c774bccf131416762f67a0b2c39de4",  # stable release, 13
        "b8b80b5b623eab6ad8775c45b7c5d7d6350947f8",  # archive, 12
        "05ab90340c0c5e797f44a8c8254cf3b5aec0a8f0",  # security, 12
        "4d64fec119c2029067d6e791f8d2585b8783d481",  # stable release, 12
    }
)


def keyring_file() -> Path:
    """``$HULLKIT_DEBIAN_KEYRING`` (certificates of a private mirror, instead of Debian's), else the pinned file."""
    given = os.environ.get("HULLKIT_DEBIAN_KEYRING")
    return Path(given) if given else _PINNED_FILE


def keyring_id() -> str:
    """Identifies the keyring in use: what one keyring verified says nothing about another."""
    return hashlib.sha256(_read(keyring_file())).hexdigest()[:16]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"keyring {path}: {error.strerror}", hint="see HULLKIT_DEBIAN_KEYRING") from error


@lru_cache(maxsize=4)
def _certificates(data: bytes, path: Path) -> tuple[Any, ...]:
    from pysequoia import Cert

    try:
        certificates = tuple(Cert.split_bytes(data))
    except Exception as error:
        raise ConfigError(f"keyring {path}: not OpenPGP certificates: {error}") from error
    if path == _PINNED_FILE and {c.fingerprint.lower() for c in certificates} != FINGERPRINTS:
        raise TrustError(f"{path}: does not hold the pinned Debian keys", hint="install hullkit again")
    if not certificates:
        raise ConfigError(f"keyring {path}: holds no certificate")
    return certificates


def verify_signed_text(data: bytes, what: str) -> str:
    """The text that a clear-signed file signs, and nothing around it.

    Raises TrustError unless a key of the keyring made a good signature over it (RFC 9580, 7).
    """
    from pysequoia import verify

    path = keyring_file()
    certificates = _certificates(_read(path), path)
    if not data.startswith(b"-----BEGIN PGP SIGNED MESSAGE-----"):
        raise TrustError(f"{what}: not a signed index", hint="is this a Debian mirror?")
    try:
        result = verify(bytes=data, store=lambda _wanted: list(certificates))
    except Exception as error:
        # The library adds a stack trace to its message.
        reason = str(error).partition("Stack backtrace")[0].strip().rstrip(".")
        raise TrustError(f"{what}: no good signature of a known key: {reason}") from error
    if not result.valid_sigs or result.bytes is None:
        raise TrustError(f"{what}: no good signature of a known key")
    try:
        return bytes(result.bytes).decode("utf-8")
    except UnicodeDecodeError as error:
        raise TrustError(f"{what}: not UTF-8") from error
