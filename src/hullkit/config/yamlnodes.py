"""YAML text → nodes with positions; scalars are resolved by the rules of LinuxKit's parser (gopkg.in/yaml.v3).

Only PyYAML's event parser is used. Its resolver follows YAML 1.1, where 22:22 is 1342, yes is true and 08 is an error;
yaml.v3 reads 22:22, yes and on as text, 010 as 8, 0o10 as 8 and 08 as a float (yaml.v3: resolve.go, decode.go).
Merge keys are applied here, duplicate keys are problems, aliases are bounded, positions count from 1.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import yaml

from hullkit.config.definition import shown
from hullkit.errors import ConfigError, Position

#: a file of more bytes is not a configuration
MAX_BYTES = 32 << 20
#: nodes of a document after aliases are followed; an alias bomb has more
MAX_NODES = 200_000
MAX_DEPTH = 100


class PureParser(yaml.reader.Reader, yaml.scanner.Scanner, yaml.parser.Parser):
    """PyYAML's event parser in Python, for when it was built without libyaml."""

    def __init__(self, text: str) -> None:
        yaml.reader.Reader.__init__(self, text)
        yaml.scanner.Scanner.__init__(self)
        yaml.parser.Parser.__init__(self)


#: libyaml's parser where there is one: ten times as fast
DEFAULT_PARSER: Any = yaml.cyaml.CParser if yaml.__with_libyaml__ else PureParser  # type: ignore[attr-defined]

Scalar = str | int | float | bool | None
#: receives (message, line, column) of a problem that does not stop the parser
Report = Callable[[str, int, int], None]


class Node:
    """A value of a YAML text and where it begins."""

    __slots__ = ("column", "height", "line", "weight")

    def __init__(self, line: int, column: int) -> None:
        self.line = line
        self.column = column
        #: nodes in it, aliases followed
        self.weight = 1
        #: levels below it, aliases followed
        self.height = 0


class ScalarNode(Node):
    __slots__ = ("tag", "text", "value")

    def __init__(self, line: int, column: int, text: str, value: Scalar) -> None:
        super().__init__(line, column)
        self.text = text
        self.value = value


class SequenceNode(Node):
    __slots__ = ("items",)

    def __init__(self, line: int, column: int) -> None:
        super().__init__(line, column)
        self.items: list[Node] = []


class MappingNode(Node):
    """``pairs`` has each key once, merge keys applied, in the order written (merged ones last)."""

    __slots__ = ("pairs",)

    def __init__(self, line: int, column: int) -> None:
        super().__init__(line, column)
        self.pairs: list[tuple[ScalarNode, Node]] = []


_CONSTANTS: dict[str, Scalar] = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
}
_INTEGER = re.compile(r"([-+]?)(?:0[xX]([0-9a-fA-F]+)|0[bB]([01]+)|0[oO]?([0-7]+)|(0|[1-9][0-9]*))\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
_DATE = re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}")
#: longer numbers are text to us: Python's conversion is quadratic, and no field holds them
_LONGEST_NUMBER = 100


def resolve(text: str) -> Scalar:
    """The value of a plain (unquoted) scalar. Dates stay text: no field of a configuration is a date."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if text[0] not in "+-.0123456789" or len(text) > _LONGEST_NUMBER or _DATE.match(text):
        return text
    plain = text if text[0] == "." else text.replace("_", "")
    if match := _INTEGER.match(plain):
        sign, hexadecimal, binary, octal, decimal = match.groups()
        base = 16 if hexadecimal else 2 if binary else 8 if octal else 10
        number = int(hexadecimal or binary or octal or decimal, base)
        # ParseInt takes 64 signed bits, then ParseUint 64 unsigned ones (without a sign); more is a float
        if number < 1 << 63 or (sign == "-" and number == 1 << 63) or (not sign and number < 1 << 64):
            return -number if sign == "-" else number
    if _FLOAT.match(plain):
        value = float(plain)
        return text if value in (float("inf"), float("-inf")) else value
    return text


_TAGGED: dict[str, tuple[type, ...]] = {"int": (int,), "float": (int, float), "bool": (bool,), "null": (type(None),)}
_TAG_PREFIX = "tag:yaml.org,2002:"


def _tagged(tag: str, text: str) -> Scalar:
    """The value of a scalar with an explicit tag; ValueError when it is no value of that tag."""
    name = tag.removeprefix(_TAG_PREFIX)
    if name in _TAGGED:
        value = resolve(text)
        if not isinstance(value, _TAGGED[name]) or (name != "bool" and isinstance(value, bool)):
            raise ValueError(f"{shown(text)} is not a value of the tag !!{name}")
        return float(value) if name == "float" and value is not None else value
    if name == "binary":
        import base64

        try:
            return base64.b64decode(text.replace("\n", ""), validate=True).decode()
        except ValueError:
            raise ValueError("a !!binary value must be base64 of UTF-8 text") from None
    return text


class _Composer:
    def __init__(self, parser: Any, file: str, report: Report) -> None:
        self.parser = parser
        self.file = file
        self.report = report
        #: None while the anchored value is being read
        self.anchors: dict[str, Node | None] = {}

    def error(self, message: str, mark: Any, hint: str | None = None) -> ConfigError:
        return ConfigError(message, hint=hint, where=Position(self.file, mark.line + 1, mark.column + 1))

    def node(self, event: Any, depth: int) -> Node:
        mark = event.start_mark
        if depth > MAX_DEPTH:
            raise self.error(f"nested more than {MAX_DEPTH} deep", mark)
        if isinstance(event, yaml.AliasEvent):
            return self.alias(event, depth)
        if event.anchor is not None:
            self.anchors[event.anchor] = None
        if isinstance(event, yaml.ScalarEvent):
            node: Node = self.scalar(event)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self.sequence(event, depth)
        else:
            node = self.mapping(event, depth)
        if node.weight > MAX_NODES:
            raise self.error(f"more than {MAX_NODES} values, aliases counted as often as they are used", mark)
        if event.anchor is not None:
            self.anchors[event.anchor] = node
        return node

    def alias(self, event: Any, depth: int) -> Node:
        if event.anchor not in self.anchors:
            raise self.error(f"the anchor &{event.anchor} is not defined before *{event.anchor}", event.start_mark)
        node = self.anchors[event.anchor]
        if node is None:
            raise self.error(f"the value of the anchor &{event.anchor} contains itself", event.start_mark)
        if depth + node.height > MAX_DEPTH:
            raise self.error(f"nested more than {MAX_DEPTH} deep, aliases followed", event.start_mark)
        return node

    def scalar(self, event: Any) -> ScalarNode:
        line, column, text = event.start_mark.line + 1, event.start_mark.column + 1, event.value
        value: Scalar = text
        if event.tag is not None and event.tag != "!":
            try:
                value = _tagged(event.tag, text)
            except ValueError as error:
                self.report(str(error), line, column)
        elif not event.style:
            value = resolve(text)
        return ScalarNode(line, column, text, value)

    def sequence(self, event: Any, depth: int) -> SequenceNode:
        node = SequenceNode(event.start_mark.line + 1, event.start_mark.column + 1)
        while not isinstance(inner := self.parser.get_event(), yaml.SequenceEndEvent):
            item = self.node(inner, depth + 1)
            node.items.append(item)
            node.weight += item.weight
            node.height = max(node.height, item.height + 1)
        return node

    def mapping(self, event: Any, depth: int) -> MappingNode:
        node = MappingNode(event.start_mark.line + 1, event.start_mark.column + 1)
        seen: dict[str, ScalarNode] = {}
        merged: Node | None = None
        while not isinstance(inner := self.parser.get_event(), yaml.MappingEndEvent):
            key = self.node(inner, depth + 1)
            value = self.node(self.parser.get_event(), depth + 1)
            node.weight += key.weight + value.weight
            if not isinstance(key, ScalarNode):
                self.report("a list or map cannot be a key", key.line, key.column)
            elif key.text in seen:
                first = seen[key.text]
                self.report(
                    f"the key {shown(key.text)} is here twice, first on line {first.line}", key.line, key.column
                )
            else:
                seen[key.text] = key
                if key.text == "<<" and not getattr(inner, "style", None):
                    merged = value
                else:
                    node.pairs.append((key, value))
        if merged is not None:
            self.merge(node, merged, set(seen))
        node.height = max((value.height + 1 for _, value in node.pairs), default=0)
        return node

    def merge(self, node: MappingNode, merged: Node, seen: set[str]) -> None:
        """Add the pairs of a merge key's maps: what is written in the map itself wins, then the first of the maps."""
        sources = merged.items if isinstance(merged, SequenceNode) else [merged]
        for source in sources:
            if not isinstance(source, MappingNode):
                self.report("a merge key (<<) needs a map, or a list of maps", source.line, source.column)
                continue
            for key, value in source.pairs:
                if key.text not in seen:
                    seen.add(key.text)
                    node.pairs.append((key, value))


#: what the parser says -> what it means and what to do
_EXPLAINED = (
    ("found character that cannot start any token", "a character that cannot begin a value"),
    ("mapping values are not allowed", "a second ': ' on the line; quote the text if it belongs to the value"),
    ("did not find expected key", "this line does not fit the map above it: check its indentation and quotes"),
    ("did not find expected '-'", "this line does not fit the list above it: check its indentation"),
    ("could not find expected ':'", "a key without ': ' after it, or a line of a text that is not indented enough"),
    ("did not find expected ',' or", "a list [...] or map {...} that is not closed, or lacks a comma"),
    ("did not find expected node content", "a list [...] or map {...} that is not closed"),
    ("found unexpected end of stream", "a quoted text that is not closed"),
    ("found undefined tag handle", "a tag (!...) that is not defined; quote the text"),
)


def _syntax_error(error: yaml.YAMLError, text: str, file: str) -> ConfigError:
    mark = getattr(error, "problem_mark", None)
    if mark is None:  # a ReaderError: a control character
        line, column = _first_unprintable(text)
        where = Position(file, line, column)
        return ConfigError("not valid YAML: a control character", hint='write it as "\\x.." in quotes', where=where)
    where = Position(file, mark.line + 1, mark.column + 1)
    problem = getattr(error, "problem", None) or "it cannot be read"
    lines = text.split("\n")
    rest = lines[mark.line][mark.column :] if mark.line < len(lines) else ""
    if rest.startswith("\t"):
        return ConfigError("not valid YAML: a tab indents this line", hint="indent with spaces", where=where)
    if rest[:1] in ("@", "`", "%") and "cannot start" in problem:
        return ConfigError(f"not valid YAML: a value cannot begin with {rest[0]}", hint="quote it", where=where)
    meaning = next((meaning for said, meaning in _EXPLAINED if said in problem), problem)
    begun = getattr(error, "context_mark", None)
    if begun is None or begun.line == mark.line:
        return ConfigError(f"not valid YAML: {meaning}", where=where)
    if not "".join(lines[mark.line :]).strip():  # noticed at the end: what is wrong began before
        where = Position(file, begun.line + 1, begun.column + 1)
        return ConfigError(f"not valid YAML: {meaning}", where=where)
    return ConfigError(f"not valid YAML: {meaning} (begun on line {begun.line + 1})", where=where)


def _first_unprintable(text: str) -> tuple[int, int]:
    """Line and column of the first character that YAML does not allow (YAML 1.1: c-printable)."""
    found = yaml.reader.Reader.NON_PRINTABLE.search(text)
    before = text[: found.start()] if found else ""
    return before.count("\n") + 1, len(before) - before.rfind("\n")


def decode_text(data: bytes, file: str) -> str:
    """Bytes of a file as text: UTF-8, or UTF-16 with a byte order mark; ConfigError with the line of a bad byte."""
    if len(data) > MAX_BYTES:
        raise ConfigError(f"larger than {MAX_BYTES >> 20} MiB", where=Position(file, 1, 1))
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError("not valid UTF-8 text", where=Position(file, line, 1)) from None


def compose(
    text: str, file: str, report: Report, parser: Callable[[str], Any] = DEFAULT_PARSER
) -> tuple[Node, Position | None]:
    """The value of the first document of a YAML text, and where a second one begins (yaml.v3 reads only the first).

    Raises ConfigError for what is not YAML and for an empty text; other problems go to ``report``, and the value is
    what can be made of the rest.
    """
    root: Node | None = None
    try:
        events = parser(text)
        composer = _Composer(events, file, report)
        while events.check_event():
            event = events.get_event()
            if isinstance(event, yaml.DocumentStartEvent):
                if root is not None:
                    mark: Any = event.start_mark
                    return root, Position(file, mark.line + 1, mark.column + 1)
                root = composer.node(events.get_event(), 0)
    except yaml.YAMLError as error:
        raise _syntax_error(error, text, file) from None
    if root is None:
        raise ConfigError("the document is empty", hint="write {} for an empty one", where=Position(file, 1, 1))
    return root, None
