"""Lines of the files in sysusers.d and tmpfiles.d: what both formats have of fields, quotes, escapes, specifiers."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from hullkit.errors import ConfigError
from hullkit.tree.entry import Entry, Owner

_MAX_FILE = 1 << 20
_PLAIN, _ESCAPE = r"[^\s\"'\\]", r"\\(?:x[0-9a-fA-F]{2}|[0-7]{3}|.)"
_FIELD = re.compile(rf"""\s*((?:"(?:{_ESCAPE}|[^"\\])*"|'(?:{_ESCAPE}|[^'\\])*'|{_ESCAPE}|{_PLAIN})+)""")
_QUOTED = re.compile(rf""""((?:{_ESCAPE}|[^"\\])*)"|'((?:{_ESCAPE}|[^'\\])*)'""")
_LETTERS = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "s": " ", "t": "\t", "v": "\v"}


@dataclass(frozen=True, slots=True)
class Line:
    """``where`` it is written (PATH:NUMBER); ``rest``: what follows the fields that were asked for, as written."""

    where: str
    fields: tuple[str, ...]
    rest: str
    owner: Owner

    def field(self, number: int) -> str:
        """A field; empty when it is "-" or missing."""
        text = self.fields[number] if number < len(self.fields) else ""
        return "" if text == "-" else text

    def error(self, message: str) -> ConfigError:
        return ConfigError(f"debian.declared: {self.where}: {message}")


def conf_lines(files: Mapping[str, Entry], kind: str, fields: int, *, escapes: bool = True) -> Iterator[Line]:
    """The lines of all ``usr/lib/KIND/*.conf``, by the names of the files; at most ``fields`` of each are split.
    ``escapes``: a backslash begins one of C's; else it stands for the character behind it.

    Raises ConfigError when there is no such file, or one cannot be read.
    """
    names = sorted(name for name in files if posixpath.dirname(name) == f"usr/lib/{kind}" and name.endswith(".conf"))
    if not names:
        raise ConfigError(f"debian.declared: the packages have no file in usr/lib/{kind}")
    for name in names:
        entry = files[name]
        if entry.content is None or entry.size > _MAX_FILE:
            raise ConfigError(f"debian.declared: {name} is not a file of at most {_MAX_FILE} bytes")
        text = b"".join(entry.content.chunks()).decode("utf-8", "surrogateescape")
        for number, line in enumerate(text.split("\n"), 1):
            if line.strip() and not line.lstrip().startswith("#"):
                yield _split(line, fields, escapes, f"{name}:{number}", entry.owner)


def _split(line: str, most: int, escapes: bool, where: str, owner: Owner) -> Line:
    fields: list[str] = []
    at = 0
    while len(fields) < most and (found := _FIELD.match(line, at)):
        text = _QUOTED.sub(lambda quoted: quoted[1] or quoted[2] or "", found[1])
        fields.append(unescaped(text) if escapes else re.sub(r"\\(.)", r"\1", text))
        at = found.end()
    rest = line[at:].strip()
    if rest and len(fields) < most:
        raise ConfigError(f"debian.declared: {where}: a quote or an escape without an end")
    return Line(where, tuple(fields), rest, owner)


def unescaped(text: str) -> str:
    """C's escapes as the characters they stand for; bytes that are not UTF-8 by surrogateescape."""

    def character(found: re.Match[str]) -> str:
        code = found[1]
        if len(code) == 3:
            number = int(code[1:], 16) if code[0] == "x" else int(code, 8) & 0xFF
            return bytes([number]).decode("utf-8", "surrogateescape")
        return _LETTERS.get(code, code)

    plain = re.sub(rf"\\({_ESCAPE[2:]})", character, text)
    return plain.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")


def expanded(text: str, specifiers: Mapping[str, str]) -> str:
    """With its specifiers (``%`` and a letter) replaced. Raises KeyError for one that is not among them."""
    return re.sub(r"%(.?)", lambda found: specifiers[found[1]], text)
