"""Patterns of paths in recipes: ``*`` and ``[..]`` stay within a name, ``**`` crosses directories."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

_SPECIAL = frozenset("*[")


def is_literal(pattern: str) -> bool:
    return not _SPECIAL.intersection(pattern)


@lru_cache(maxsize=1024)
def glob_regex(pattern: str) -> re.Pattern[str]:
    """Compile a pattern for ``fullmatch``; an unclosed ``[`` stands for itself, as in the shell."""
    out, at = "", 0
    while at < len(pattern):
        if pattern.startswith("**", at):
            out, at = out + ".*", at + 2
        elif pattern[at] == "*":
            out, at = out + "[^/]*", at + 1
        elif pattern[at] == "[" and (end := pattern.find("]", at + 2)) > 0:
            inner = pattern[at + 1 : end].replace("\\", "\\\\").replace("[", "\\[")
            inner = "^/" + inner[1:] if inner.startswith("!") else inner
            out, at = f"{out}[{inner}]", end + 1
        else:
            out, at = out + re.escape(pattern[at]), at + 1
    return re.compile(out, re.DOTALL)


def matching(pattern: str, names: Iterable[str]) -> Iterator[str]:
    regex = glob_regex(pattern)
    return (name for name in names if regex.fullmatch(name))


def matches_any(patterns: Sequence[str], name: str) -> bool:
    return any(glob_regex(pattern).fullmatch(name) for pattern in patterns)


def optional(pattern: str) -> tuple[str, bool]:
    """A pattern without its trailing ``?``, and whether it had one (then it may match nothing)."""
    return (pattern[:-1], True) if pattern.endswith("?") else (pattern, False)
