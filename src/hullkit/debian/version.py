"""Debian versions: parsing and order (Debian policy 5.6.12, deb-version(7))."""

from __future__ import annotations

import re
from functools import lru_cache

_PART = re.compile(r"([^0-9]*)([0-9]*)")
_OPERATORS = ("<<", "<=", "=", ">=", ">>")

#: an ordered value: compare keys, not texts
VersionKey = tuple[object, ...]


def _letter_order(character: str) -> int:
    """ "~" before the end of the part (0), letters before everything else."""
    if character == "~":
        return -1
    return ord(character) if character.isalpha() else ord(character) + 256


def _number_order(digits: str) -> tuple[int, str]:
    """Numeric order without making a number: a hostile version may have any count of digits."""
    digits = digits.lstrip("0")
    return len(digits), digits


def _part_key(text: str) -> tuple[object, ...]:
    key: list[object] = []
    for letters, digits in _PART.findall(text):
        key.append((*map(_letter_order, letters), 0))
        key.append(_number_order(digits))
    return tuple(key)


@lru_cache(maxsize=1 << 16)
def version_key(version: str) -> VersionKey:
    """The sort key of ``[epoch:]upstream[-revision]``; equal for versions that Debian holds equal (1.0 and 1.00)."""
    epoch, colon, rest = version.partition(":")
    if not colon:
        epoch, rest = "0", version
    upstream, _, revision = rest.rpartition("-") if "-" in rest else (rest, "", "0")
    return (_number_order(epoch), _part_key(upstream), _part_key(revision))


def compare(left: str, right: str) -> int:
    """-1, 0 or 1 as ``left`` is older than, equal to or newer than ``right``."""
    a, b = version_key(left), version_key(right)
    return -1 if a < b else int(a > b)


def holds(version: str, operator: str, bound: str) -> bool:
    """Whether ``version OPERATOR bound`` holds; the operators are those of a Depends field, older spellings too."""
    order = compare(version, bound)
    if operator in ("<=", "<"):
        return order <= 0
    if operator in (">=", ">"):
        return order >= 0
    if operator == "<<":
        return order < 0
    if operator == ">>":
        return order > 0
    return order == 0
