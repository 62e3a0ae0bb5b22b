"""Which packages a set of roots needs, by apt's rules.

One candidate per name (the newest over all suites); all roots first, then depth first, Pre-Depends before Depends; of
alternatives the first that can be had; a real package before those that provide it. A choice that leads nowhere
(a clash with a chosen package, or a requirement that nothing satisfies) is banned and the whole is tried again: the
choice banned is the nearest one above that had an alternative.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from hullkit.debian.index import Candidate
from hullkit.debian.relations import Group, Relation
from hullkit.errors import ConfigError, NotFound

_RESTARTS_MAX = 200


@dataclass(frozen=True, slots=True)
class Universe:
    """What can be chosen. ``candidate``: by name. ``providers``: the packages that provide a name, preferred first.
    ``similar``: known names like a misspelt one."""

    candidate: Callable[[str], Candidate | None]
    providers: Callable[[str], list[Candidate]]
    similar: Callable[[str], list[str]]
    arch: str


class _DeadEnd(Exception):
    def __init__(self, requirer: str, group: Group, clashes: list[tuple[str, str]]) -> None:
        super().__init__(requirer)
        self.requirer = requirer
        self.group = group
        self.clashes = clashes


@dataclass(slots=True)
class _Attempt:
    """One try: what is chosen, by whom, and what that rules out."""

    universe: Universe
    banned: frozenset[str]
    pruned: frozenset[str]
    recommends: bool
    chosen: dict[str, Candidate] = field(default_factory=dict)
    #: name → who required it, and whether there was something else to choose
    reason: dict[str, tuple[str, bool]] = field(default_factory=dict)
    #: real and provided name → (package, version; "" when provided without one)
    holders: dict[str, list[tuple[Candidate, str]]] = field(default_factory=dict)
    #: name → (relation, package) of the Conflicts and Breaks of what is chosen
    enemies: dict[str, list[tuple[Relation, str]]] = field(default_factory=dict)

    def add(self, candidate: Candidate, requirer: str = "", optional: bool = False) -> None:
        self.chosen[candidate.name] = candidate
        self.reason[candidate.name] = (requirer, optional)
        self.hold(candidate)
        for relation in candidate.conflicts:
            self.enemies.setdefault(relation.name, []).append((relation, candidate.name))

    def hold(self, candidate: Candidate) -> None:
        self.holders.setdefault(candidate.name, []).append((candidate, candidate.version))
        for provided in candidate.provides:
            self.holders.setdefault(provided.name, []).append((candidate, provided.version))

    def satisfied(self, relation: Relation) -> bool:
        if relation.name in self.pruned:
            return True
        return any(candidate.satisfies(relation) for candidate, _ in self.holders.get(relation.name, ()))

    def clash(self, new: Candidate) -> str | None:
        """The chosen package that ``new`` cannot be with."""
        for relation in new.conflicts:
            for holder, _ in self.holders.get(relation.name, ()):
                if holder.name != new.name and holder.name in self.chosen and holder.satisfies(relation):
                    return holder.name
        for name in (new.name, *(provided.name for provided in new.provides)):
            for relation, owner in self.enemies.get(name, ()):
                if owner != new.name and new.satisfies(relation):
                    return owner
        return None

    def targets(self, group: Group) -> Iterator[Candidate]:
        """All packages that would satisfy a requirement, the preferred one first."""
        for relation in group:
            if relation.qualifier not in ("", "any", "native", self.universe.arch):
                continue
            real = self.universe.candidate(relation.name)
            if real is not None and real.satisfies(relation):
                yield real
            for provider in self.universe.providers(relation.name):
                if provider.name != relation.name and provider.satisfies(relation):
                    yield provider

    def satisfy(self, group: Group, requirer: str, soft: bool) -> Candidate | None:
        """Choose for one requirement; None when nothing new is needed. Raises _DeadEnd."""
        if any(self.satisfied(relation) for relation in group):
            return None
        clashes: list[tuple[str, str]] = []
        usable: list[Candidate] = []
        for target in self.targets(group):
            if target.name in self.banned or target in usable:
                continue
            if clash := self.clash(target):
                clashes.append((target.name, clash))
            else:
                usable.append(target)
                if len(usable) == 2 or soft:
                    break
        if usable:
            self.add(usable[0], requirer, optional=soft or len(usable) > 1)
            return usable[0]
        if soft:
            return None
        raise _DeadEnd(requirer, group, clashes)

    def requirements(self, candidate: Candidate) -> Iterator[tuple[Group, bool]]:
        for group in candidate.required:
            yield group, False
        if self.recommends:
            for group in candidate.recommended:
                yield group, True

    def walk(self, root: Candidate) -> None:
        stack = [(root.name, self.requirements(root))]
        while stack:
            name, requirements = stack[-1]
            for group, soft in requirements:
                if new := self.satisfy(group, name, soft):
                    stack.append((new.name, self.requirements(new)))
                    break
            else:
                stack.pop()

    def culprit(self, end: _DeadEnd) -> str | None:
        """The choice to ban: the nearest above the dead end, or above what it clashed with, that had an alternative."""
        for start in (end.requirer, *(other for _, other in end.clashes)):
            name = start
            while name:
                requirer, optional = self.reason.get(name, ("", False))
                if optional:
                    return name
                name = requirer
        return None

    def explain(self, name: str) -> str:
        """``nginx → libssl3``: how a package came in."""
        chain = [name]
        while (above := self.reason.get(chain[-1], ("", False))[0]) and above not in chain:
            chain.append(above)
        return " → ".join(reversed(chain))


def resolve(
    universe: Universe, roots: Iterable[str], *, recommends: bool = False, prune: Iterable[str] = ()
) -> list[Candidate]:
    """The closure of ``roots``, sorted by name.

    ``prune``: names that count as installed and are not followed. Raises NotFound for an unknown or purely virtual
    root, ConfigError when no choice fits.
    """
    pruned = frozenset(prune)
    wanted = [_root(universe, name) for name in dict.fromkeys(roots) if name not in pruned]
    banned: set[str] = set()
    first: ConfigError | None = None
    for _ in range(_RESTARTS_MAX):
        attempt = _Attempt(universe, frozenset(banned), pruned, recommends)
        try:
            _run(attempt, wanted)
            return sorted(attempt.chosen.values(), key=lambda candidate: candidate.name)
        except _DeadEnd as end:
            culprit = attempt.culprit(end)
            # What went wrong first is what a person can understand; later ends come from the bans.
            first = first or _unsatisfiable(attempt, end)
            if culprit is None:
                raise first from None
            banned.add(culprit)
    raise first or ConfigError(f"no set of packages found for {', '.join(c.name for c in wanted)}: too many clashes")


def _run(attempt: _Attempt, roots: list[Candidate]) -> None:
    for name in sorted(attempt.pruned):
        if phantom := attempt.universe.candidate(name):
            attempt.hold(phantom)
    for root in roots:
        if root.name in attempt.chosen:
            continue
        if clash := attempt.clash(root):
            raise ConfigError(f"the packages {root.name} and {clash} exclude each other", hint="drop one of them")
        attempt.add(root)
    for root in roots:
        attempt.walk(root)


def _root(universe: Universe, name: str) -> Candidate:
    if candidate := universe.candidate(name):
        return candidate
    if providers := universe.providers(name):
        names = ", ".join(provider.name for provider in providers[:8])
        raise NotFound(f"{name} is a virtual package", hint=f"name one of those that provide it: {names}")
    similar = universe.similar(name)
    hint = f"did you mean {' or '.join(similar)}?" if similar else None
    raise NotFound(f"there is no Debian package {name!r} for {universe.arch}", hint=hint)


def _unsatisfiable(attempt: _Attempt, end: _DeadEnd) -> ConfigError:
    needed = " | ".join(map(str, end.group))
    message = f"{attempt.explain(end.requirer)} needs {needed}"
    if end.clashes:
        return ConfigError(f"{message}; {end.clashes[0][0]} excludes {attempt.explain(end.clashes[0][1])}")
    return ConfigError(f"{message}, which no package satisfies")
