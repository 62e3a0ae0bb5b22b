"""What the modules of a kernel component are chosen for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Hardware:
    """``profile``: a hardware profile of the recipe, None for its default; ``modules``: names of further modules."""

    profile: str | None = None
    modules: tuple[str, ...] = ()
