"""Digests of content (OCI image-spec, descriptor.md, "Digests")."""

from __future__ import annotations

import hashlib
import re

from hullkit.errors import TrustError

_LENGTHS = {"sha256": 64, "sha512": 128}
_FORM = re.compile(r"[a-z0-9]+:[a-f0-9]+", re.ASCII)


def check_digest(text: object) -> str:
    """``text`` if it is a digest that can be verified here (sha256 or sha512), else TrustError."""
    if isinstance(text, str) and _FORM.fullmatch(text):
        algorithm, _, value = text.partition(":")
        if len(value) == _LENGTHS.get(algorithm):
            return text
    raise TrustError(f"{str(text)[:80]!r} is not a sha256 or sha512 digest")


def split_digest(digest: str) -> tuple[str, str]:
    """(algorithm, hexadecimal value)."""
    algorithm, _, value = check_digest(digest).partition(":")
    return algorithm, value


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()
