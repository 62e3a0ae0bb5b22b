"""Relations between packages: the Depends, Conflicts and Provides fields (Debian policy 7.1)."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from hullkit.debian.version import holds

_RELATION = re.compile(
    r"\s*(?P<name>[A-Za-z0-9][A-Za-z0-9+.-]*)(?::(?P<qualifier>[a-z0-9-]+))?"
    r"\s*(?:\(\s*(?P<operator><<|<=|=|>=|>>|<|>)\s*(?P<version>[^\s)]+)\s*\))?\s*"
)


class Relation(NamedTuple):
    """``name``, perhaps with an architecture ``qualifier`` ("any") and a bound on the version ("" operator: none)."""

    name: str
    qualifier: str = ""
    operator: str = ""
    version: str = ""

    def __str__(self) -> str:
        name = f"{self.name}:{self.qualifier}" if self.qualifier else self.name
        return f"{name} ({self.operator} {self.version})" if self.operator else name

    def accepts(self, version: str) -> bool:
        """Whether a real package of this version satisfies the bound."""
        return not self.operator or holds(version, self.operator, self.version)

    def accepts_provided(self, version: str) -> bool:
        """Whether a Provides entry does; an unversioned one (``version`` "") satisfies no bound (policy 7.5)."""
        return not self.operator or (bool(version) and holds(version, self.operator, self.version))


#: the alternatives of one requirement, in the order of preference
Group = tuple[Relation, ...]


@lru_cache(maxsize=1 << 14)
def parse_relations(text: str) -> tuple[Group, ...]:
    """Read a field such as ``a (>= 1) | b, c:any``. Parts that are not relations are left out, as apt does."""
    groups = []
    for part in text.split(","):
        group = []
        for alternative in part.split("|"):
            if match := _RELATION.fullmatch(alternative):
                group.append(Relation(*(match[key] or "" for key in ("name", "qualifier", "operator", "version"))))
        if group:
            groups.append(tuple(group))
    return tuple(groups)
