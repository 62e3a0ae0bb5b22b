"""Nodes → structs, strictly: an unknown key, a wrong type or a missing key is a problem with a position.

All problems of a text are collected, so that ``hullkit lint`` can show them together.
"""

from __future__ import annotations

import math
import re
from typing import Any, TypeVar

from hullkit.config.definition import Definition, Short, shown
from hullkit.config.model import Path
from hullkit.config.shapes import (
    AnyShape,
    ChoiceShape,
    Field,
    ListShape,
    MapShape,
    RecordShape,
    ScalarShape,
    Shape,
    record,
)
from hullkit.config.yamlnodes import MappingNode, Node, Scalar, ScalarNode, SequenceNode
from hullkit.errors import ConfigError, Position

Decoded = TypeVar("Decoded", bound=Definition)

#: what stands for a value that could not be decoded; its problem has been reported
_BAD: Any = object()
_LONGEST_KEY = 60


def path_text(path: Path) -> str:
    """``services[0].env[2]``"""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            name = part if part.isidentifier() or part.endswith(".add") else shown(part)
            text += f".{name}" if text else name
    return text


class Problems:
    """What is wrong with one text, in the order found; knows where each path of it is written."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.found: list[ConfigError] = []
        self.positions: dict[Path, tuple[str, int, int]] = {}

    def at(self, message: str, line: int, column: int, hint: str | None = None) -> None:
        self.found.append(ConfigError(message, hint=hint, where=Position(self.file, line, column)))

    def report(self, path: Path, message: str, hint: str | None = None) -> None:
        """A problem of the value at ``path`` (or of the nearest value around it)."""
        for length in range(len(path), -1, -1):
            if place := self.positions.get(path[:length]):
                text = f"{path_text(path)}: {message}" if path else message
                self.found.append(ConfigError(text, hint=hint, where=Position(*place)))
                return
        self.found.append(ConfigError(message, hint=hint, where=Position(self.file, 1, 1)))


def decode(node: Node, cls: type[Decoded], problems: Problems, path: Path = ()) -> Decoded | None:
    """The node as ``cls``; None when it is no such thing at all. Look at ``problems.found`` before using it."""
    value = _decode(node, RecordShape(cls), path, problems)
    return None if value is _BAD else value


def _decode(node: Node, shape: Shape, path: Path, problems: Problems) -> Any:
    problems.positions[path] = (problems.file, node.line, node.column)
    if isinstance(shape, ScalarShape):
        return _scalar(node, shape, path, problems)
    if isinstance(shape, RecordShape):
        return _record(node, shape.cls, path, problems)
    if isinstance(shape, ListShape):
        if not isinstance(node, SequenceNode):
            return _wrong(node, "a list", path, problems)
        items = [_decode(item, shape.item, (*path, index), problems) for index, item in enumerate(node.items)]
        return tuple(item for item in items if item is not _BAD)
    if isinstance(shape, MapShape):
        return _map(node, shape, path, problems)
    if isinstance(shape, ChoiceShape):
        return _choice(node, shape, path, problems)
    return _anything(node, shape, path, problems)


def _record(node: Node, cls: type[Definition], path: Path, problems: Problems) -> Any:
    if not isinstance(node, MappingNode):
        return _wrong(node, "a map of keys and values", path, problems)
    fields = record(cls).fields
    values: dict[str, Any] = {}
    for key, inner in node.pairs:
        field = fields.get(key.text)
        if field is None:
            _unknown_key(key, fields, path, problems)
            continue
        value = _field(inner, field, (*path, key.text), problems)
        values[field.attribute] = field.default if value is _BAD else value
    missing = [field for field in fields.values() if field.required and field.attribute not in values]
    for field in missing:
        problems.report(path, f'"{field.key}" is missing')
    return _BAD if missing else cls(**values)


def _field(node: Node, field: Field, path: Path, problems: Problems) -> Any:
    short = field.short
    if short is not None and isinstance(node, ScalarNode) and isinstance(node.value, short.form):
        problems.positions[path] = (problems.file, node.line, node.column)
        value = _converted(node.value, short, path, problems)
    else:
        value = _decode(node, field.shape, path, problems)
    if value is not _BAD:
        _constraints(value, field, path, problems)
    return value


def _converted(value: Scalar, short: Short, path: Path, problems: Problems) -> Any:
    try:
        return short.convert(value)
    except ValueError as error:
        problems.report(path, str(error))
        return _BAD


def _constraints(value: Any, field: Field, path: Path, problems: Problems) -> None:
    doc = field.doc
    if isinstance(value, int | float) and not isinstance(value, bool):
        if doc.at_least is not None and value < doc.at_least:
            problems.report(path, f"{value} is too small; the least is {doc.at_least:g}")
        elif doc.at_most is not None and value > doc.at_most:
            problems.report(path, f"{value} is too large; the most is {doc.at_most:g}")
    elif isinstance(value, str) and doc.pattern is not None and not re.search(doc.pattern, value):
        problems.report(path, f"{shown(value)} must be {doc.say}")


def _scalar(node: Node, shape: ScalarShape, path: Path, problems: Problems) -> Any:
    wanted = " or ".join(_NAMES[kind] for kind in shape.kinds)
    if not isinstance(node, ScalarNode):
        return _wrong(node, wanted, path, problems)
    value = node.value
    if isinstance(value, float) and not math.isfinite(value):
        return _wrong(node, wanted if float not in shape.kinds else "a finite number", path, problems)
    if type(value) in shape.kinds:
        return value
    if isinstance(value, int) and float in shape.kinds and not isinstance(value, bool):
        return float(value)
    if isinstance(value, float) and int in shape.kinds and value.is_integer() and abs(value) < 1 << 63:
        return int(value)  # as yaml.v3 does
    return _wrong(node, wanted, path, problems)


def _choice(node: Node, shape: ChoiceShape, path: Path, problems: Problems) -> Any:
    if not isinstance(node, ScalarNode) or not isinstance(node.value, str):
        return _wrong(node, "text: " + ", ".join(shape.choices), path, problems)
    if node.value not in shape.choices:
        problems.report(path, f"{shown(node.value)} is not known here", "write one of: " + ", ".join(shape.choices))
        return _BAD
    return node.value


def _map(node: Node, shape: MapShape, path: Path, problems: Problems) -> Any:
    if not isinstance(node, MappingNode):
        return _wrong(node, "a map of keys and values", path, problems)
    values = {}
    for key, inner in node.pairs:
        if not isinstance(key.value, str):
            problems.at(f"{path_text(path)}: a key must be text", key.line, key.column, f"quote it: {shown(key.text)}")
            continue
        value = _decode(inner, shape.value, (*path, key.text), problems)
        if value is not _BAD:
            values[key.text] = value
    return values


def _anything(node: Node, shape: AnyShape, path: Path, problems: Problems) -> Any:
    if isinstance(node, SequenceNode):
        return [_decode(item, shape, (*path, index), problems) for index, item in enumerate(node.items)]
    if isinstance(node, MappingNode):
        return _map(node, MapShape(shape), path, problems)
    assert isinstance(node, ScalarNode)
    if isinstance(node.value, float) and not math.isfinite(node.value):
        return _wrong(node, "a finite number", path, problems)
    return node.value


_NAMES = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


def _wrong(node: Node, wanted: str, path: Path, problems: Problems) -> Any:
    problems.report(path, f"must be {wanted}, not {_what(node)}", _remedy(node, wanted))
    return _BAD


def _what(node: Node) -> str:
    if isinstance(node, SequenceNode):
        return "a list"
    if not isinstance(node, ScalarNode):
        return "a map"
    value = node.value
    if value is None:
        return "empty (null)"
    kind = "the text" if isinstance(value, str) else "a truth value," if isinstance(value, bool) else "the number"
    return f"{kind} {shown(node.text)}" if isinstance(value, str) else f"{kind} {node.text[:_LONGEST_KEY]}"


_TRUE, _FALSE = ("y", "yes", "on", "true", "1"), ("n", "no", "off", "false", "0")


def _remedy(node: Node, wanted: str) -> str | None:
    """What to write instead."""
    if not isinstance(node, ScalarNode):
        return None
    if node.value is None:
        return {"text": 'remove the key, or write ""', "a list": "remove the key, or write []"}.get(
            wanted, "remove the key"
        )
    if wanted == "text":
        return f"quote it: {shown(node.text)}" if len(node.text) <= _LONGEST_KEY else "quote it"
    if wanted == "true or false":
        word = node.text.lower()
        return "write true" if word in _TRUE else "write false" if word in _FALSE else None
    if wanted == "a whole number" and isinstance(node.value, str) and node.text.strip().lstrip("-").isdecimal():
        return "without quotes"
    if wanted == "a list" and isinstance(node.value, str) and len(node.text) <= _LONGEST_KEY:
        return f"write [{shown(node.text)}]"
    return None


def _unknown_key(key: ScalarNode, fields: dict[str, Field], path: Path, problems: Problems) -> None:
    from difflib import get_close_matches

    place = f"{path_text(path)}: " if path else ""
    lower = {name.lower(): name for name in fields}
    near = get_close_matches(key.text.lower()[:100], lower, 1, 0.7)
    if near:
        hint = f"did you mean {lower[near[0]]}?"
    else:
        hint = "known here: " + ", ".join(fields) if len(fields) <= 12 else "hullkit schema shows all keys"
    problems.at(f"{place}unknown key {shown(key.text)}", key.line, key.column, hint)
