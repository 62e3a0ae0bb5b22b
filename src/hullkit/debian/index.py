"""A package index in a form that is quick to ask: only the fields the resolver needs, and where each package begins.

A directory of the cache, made once per Packages (or Sources) file and named by its digest:
``paragraphs`` (the Packages file with the wanted fields only) and ``names`` (MessagePack: name → [offset, length], and
virtual name → names of the packages that provide it). Opening reads ``names`` (3 MB for
Debian main) and maps the rest. ``state.INDEX_FORMAT`` numbers this layout.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TypedDict

from hullkit.debian.relations import Group, Relation, parse_relations
from hullkit.debian.version import version_key
from hullkit.errors import HostError

#: a paragraph longer than this is not of a package index
_PARAGRAPH_MAX = 16 << 20
_WANTED = (
    rb"Package|Version|Architecture|Source|Depends|Pre-Depends|Recommends|Provides|Conflicts|Breaks|Filename|Size|SHA256"
    rb"|Essential|Protected|Priority|Multi-Arch"
    rb"|Format|Directory|Checksums-Sha256"  # of a Sources file (deb-src-control(5))
)
_FIELD = re.compile(rb"^(?:" + _WANTED + rb"):[^\n]*(?:\n[ \t][^\n]*)*", re.MULTILINE)
_PRIORITIES = {"required": 0, "important": 1, "standard": 2, "optional": 3}


@dataclass(frozen=True)
class Candidate:
    """A package of an index; ``fields`` has lower-case names."""

    fields: dict[str, str]
    suite: str

    @property
    def name(self) -> str:
        return self.fields["package"]

    @property
    def version(self) -> str:
        return self.fields["version"]

    @cached_property
    def required(self) -> tuple[Group, ...]:
        """Pre-Depends before Depends."""
        return self._relations("pre-depends") + self._relations("depends")

    @cached_property
    def recommended(self) -> tuple[Group, ...]:
        return self._relations("recommends")

    @cached_property
    def provides(self) -> tuple[Relation, ...]:
        return tuple(relation for group in self._relations("provides") for relation in group)

    @cached_property
    def conflicts(self) -> tuple[Relation, ...]:
        groups = self._relations("conflicts") + self._relations("breaks")
        return tuple(relation for group in groups for relation in group)

    @property
    def rank(self) -> tuple[bool, bool, int, str]:
        """Sorts the providers of a virtual package, the preferred one first."""
        return (
            self.fields.get("essential") != "yes",
            self.fields.get("protected") != "yes",
            _PRIORITIES.get(self.fields.get("priority", ""), 4),
            self.name,
        )

    def satisfies(self, relation: Relation) -> bool:
        if relation.name == self.name and relation.accepts(self.version):
            return True
        return any(p.name == relation.name and relation.accepts_provided(p.version) for p in self.provides)

    def _relations(self, field: str) -> tuple[Group, ...]:
        text = self.fields.get(field)
        return parse_relations(text) if text else ()


class _Names(TypedDict):
    names: dict[str, tuple[int, int]]
    provides: dict[str, list[str]]


class Index:
    """One Packages file, opened from the directory that ``build_index`` made."""

    def __init__(self, directory: Path, suite: str) -> None:
        import msgspec

        self.suite = suite
        try:
            names = msgspec.msgpack.decode((directory / "names").read_bytes(), type=_Names)
        except (OSError, msgspec.DecodeError) as error:
            raise HostError(f"{directory} is damaged: {error}", hint="remove it and run it again") from error
        self._names = names["names"]
        self._provides = names["provides"]
        with open(directory / "paragraphs", "rb") as stream:
            self._data = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) if self._names else None

    def get(self, name: str) -> Candidate | None:
        """The newest package of that name in this index."""
        place = self._names.get(name)
        if place is None or self._data is None:
            return None
        offset, length = place
        return Candidate(_parse(self._data[offset : offset + length]), self.suite)

    def provider_names(self, virtual: str) -> list[str]:
        return self._provides.get(virtual, [])

    def names(self) -> Iterator[str]:
        return iter(self._names)


@lru_cache(maxsize=16)
def open_index(directory: Path, suite: str) -> Index:
    """The index in ``directory``, opened once per process: its content never changes. Raises HostError (damaged)."""
    return Index(directory, suite)


def _parse(paragraph: bytes) -> dict[str, str]:
    fields = {}
    for field in _FIELD.findall(paragraph):
        name, _, value = field.decode("utf-8", "replace").partition(":")
        fields[name.lower()] = " ".join(value.split())
    return fields


def _paragraphs(blocks: Iterable[bytes]) -> Iterator[bytes]:
    rest = b""
    for block in blocks:
        *whole, rest = (rest + block).split(b"\n\n")
        yield from whole
        if len(rest) > _PARAGRAPH_MAX:
            raise ValueError("a paragraph without end")
    yield rest


def build_index(packages: Iterable[bytes], directory: Path) -> None:
    """Write the two files of an index into ``directory`` (empty, exists) from the blocks of a Packages file.

    Of several versions of one name the newest stays. Raises ValueError when it is not a package index.
    """
    import msgspec

    names: dict[str, tuple[int, int]] = {}
    versions: dict[str, str] = {}
    provides: dict[str, set[str]] = {}
    with open(directory / "paragraphs", "wb") as out:
        offset = 0
        for paragraph in _paragraphs(packages):
            fields = _FIELD.findall(paragraph)
            if not fields:
                continue
            slim = b"\n".join(fields) + b"\n\n"
            out.write(slim)
            name, version = _identity(fields)
            if name not in versions or version_key(version) > version_key(versions[name]):
                names[name], versions[name] = (offset, len(slim)), version
                for virtual in _provided(fields):
                    provides.setdefault(virtual, set()).add(name)
            offset += len(slim)
    listing = {"names": names, "provides": {virtual: sorted(found) for virtual, found in sorted(provides.items())}}
    (directory / "names").write_bytes(msgspec.msgpack.encode(listing))


def _identity(fields: list[bytes]) -> tuple[str, str]:
    name = version = ""
    for field in fields:
        if field.startswith(b"Package:"):
            name = field[8:].strip().decode("ascii")
        elif field.startswith(b"Version:"):
            version = field[8:].strip().decode("ascii")
    if not name or not version:
        raise ValueError("a paragraph without Package and Version")
    return name, version


def _provided(fields: list[bytes]) -> Iterator[str]:
    for field in fields:
        if field.startswith(b"Provides:"):
            for group in parse_relations(field[9:].decode("utf-8", "replace").replace("\n", " ")):
                for relation in group:
                    yield relation.name
