"""An archive: the verified indexes of some suites for one architecture, and what can be resolved in them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING

from hullkit.context import DEBIAN_ARCH, Context, check_arch
from hullkit.debian.package import Package, checked
from hullkit.debian.state import State, index_path, load_state, save_state, state_path
from hullkit.errors import ConfigError, HostError, NetworkError, TrustError

if TYPE_CHECKING:
    from hullkit.debian.index import Candidate, Index

DEFAULT_SUITES = ("trixie", "trixie-updates", "trixie-security")
#: a set of indexes younger than this (seconds) is used without asking the mirror
FRESH = 24 * 3600


class Archive:
    """Made by ``open``. Cheap until something is resolved: then the indexes are mapped (about 0.1 s for Debian)."""

    def __init__(self, context: Context, state: State) -> None:
        self._context = context
        self._state = state

    @classmethod
    def open(
        cls, context: Context, arch: str, suites: tuple[str, ...] = DEFAULT_SUITES, *, refresh: bool = False
    ) -> Archive:
        """The archive of ``arch`` (hullkit's name, such as "ppc64le").

        Opens no socket when the indexes in the cache are less than a day old (unless ``refresh``) or when offline.
        Raises NetworkError, NotFound (suite, architecture, mirror), TrustError (signature, digest, date).
        """
        allowed = arch in context.unverified_indexes
        state = open_state(context, DEBIAN_ARCH[check_arch(arch)], suites, refresh=refresh, unverified=allowed)
        if bad := [suite.suite for suite in state.suites if not suite.verified]:
            what = f"the package index of {', '.join(bad)} for {arch}"
            context.bus.warning_once(
                f"{what} does not match its signature; used all the same, as --allow-unverified-index says"
            )
        return cls(context, state)

    @property
    def id(self) -> str:
        """Identifies the content of the indexes: equal ids resolve equally. Costs nothing."""
        return self._state.id

    @property
    def time(self) -> int:
        """The Unix time of the newest Release file."""
        return max(suite.date for suite in self._state.suites)

    @property
    def unverified(self) -> bool:
        """An index was accepted that does not match its signed Release."""
        return not all(suite.verified for suite in self._state.suites)

    @property
    def arch(self) -> str:
        """Debian's name of the architecture."""
        return self._state.arch

    @property
    def mirrors(self) -> dict[str, str]:
        """Suite → base URL it came from."""
        return {suite.suite: suite.base for suite in self._state.suites}

    def resolve(
        self, roots: Iterable[str], *, recommends: bool = False, prune: Iterable[str] = ()
    ) -> tuple[Package, ...]:
        """The packages that ``roots`` need, themselves included, sorted by name.

        ``prune``: names that count as installed and are not followed. Raises NotFound (unknown or virtual root, with
        suggestions), ConfigError (no choice fits).
        """
        from hullkit.debian.resolver import Universe, resolve

        universe = Universe(self._candidate, self._providers, self._similar, self.arch)
        return tuple(self._package(found) for found in resolve(universe, roots, recommends=recommends, prune=prune))

    def find(self, name: str) -> Package | None:
        """The newest package of that name."""
        candidate = self._candidate(name)
        return self._package(candidate) if candidate else None

    @cached_property
    def _indexes(self) -> list[Index]:
        from hullkit.debian.index import open_index

        indexes = []
        for suite in self._state.suites:
            directory = index_path(self._context, suite.index)
            try:
                os.utime(directory)  # keeps it from being swept as unused
            except FileNotFoundError as error:
                raise HostError(f"{directory} has vanished from the cache", hint="run it again") from error
            indexes.append(open_index(directory, suite.suite))
        return indexes

    @cached_property
    def _known(self) -> dict[str, Candidate | None]:
        return {}

    def _candidate(self, name: str) -> Candidate | None:
        from hullkit.debian.version import version_key

        if name not in self._known:
            found = [candidate for index in self._indexes if (candidate := index.get(name))]
            # The first of equal versions, in the order of the suites.
            self._known[name] = max(found, key=lambda c: version_key(c.version), default=None)
        return self._known[name]

    def _providers(self, virtual: str) -> list[Candidate]:
        names = {name for index in self._indexes for name in index.provider_names(virtual)}
        found = [candidate for name in names if (candidate := self._candidate(name))]
        # An older version of a package may be the one that provided it.
        found = [candidate for candidate in found if any(p.name == virtual for p in candidate.provides)]
        return sorted(found, key=lambda candidate: candidate.rank)

    def _similar(self, name: str) -> list[str]:
        import difflib

        known = {other for index in self._indexes for other in index.names()}
        near = [other for other in sorted(known) if other[:1] == name[:1] and abs(len(other) - len(name)) < 4]
        return difflib.get_close_matches(name, near, 3, 0.75)

    def _package(self, candidate: Candidate) -> Package:
        fields = candidate.fields
        source, _, version = fields.get("source", candidate.name).partition(" ")
        dates = {suite.suite: suite.date for suite in self._state.suites}
        try:
            package = Package(
                name=candidate.name,
                version=candidate.version,
                arch=fields["architecture"],
                suite=candidate.suite,
                path=fields["filename"].removeprefix("./"),
                sha256=fields["sha256"].lower(),
                size=int(fields["size"]),
                source=source,
                source_version=version.strip("()") or candidate.version,
                time=dates[candidate.suite],
            )
            return checked(package)
        except (KeyError, ValueError, ConfigError) as error:
            raise TrustError(f"the index of {candidate.suite} describes {candidate.name!r} badly: {error}") from error


def open_state(
    context: Context, arch: str, suites: tuple[str, ...], *, refresh: bool = False, unverified: bool = False
) -> State:
    """The indexes of Debian's ``arch`` (or "source"): those in the cache, or those of the mirror; as Archive.open."""
    path = state_path(context, arch, suites)
    state = load_state(path)
    if state is not None and _usable(state, context, refresh, unverified):
        return state
    return _ask(context, path, arch, suites, refresh, unverified)


def _usable(state: State, context: Context, refresh: bool, allowed: bool) -> bool:
    """Whether a state needs no question to the mirror."""
    if not all(index_path(context, suite.index).is_dir() for suite in state.suites):
        return False
    if not allowed and not all(suite.verified for suite in state.suites):
        return False
    if context.offline:
        return True
    now = time.time()
    if any(suite.valid_until and now > suite.valid_until for suite in state.suites):
        return False
    return not refresh and 0 <= now - state.checked < FRESH


def _ask(
    context: Context, path: os.PathLike[str], arch: str, suites: tuple[str, ...], refresh: bool, allowed: bool
) -> State:
    from pathlib import Path

    from hullkit.debian.refresh import refresh as ask

    if context.offline:
        raise NetworkError(
            f"the Debian index for {arch} is not in the cache, and --offline forbids to fetch it",
            hint="run it once online",
        )
    with context.cache.lock(f"debian index {os.fspath(path)}"):
        # Another build may have asked meanwhile.
        state = load_state(Path(path))
        if not refresh and state is not None and _usable(state, context, refresh, allowed):
            return state
        state = ask(context, arch, suites, allowed)
        save_state(Path(path), state)
        return state
