"""The reference of the system YAML (docs/yaml.md), made from the definition."""

from __future__ import annotations

import json
from typing import Any

from hullkit.config.definition import Definition
from hullkit.config.model import ImageEntry, ServiceEntry, SystemFile
from hullkit.config.shapes import (
    AnyShape,
    ChoiceShape,
    Field,
    ListShape,
    MapShape,
    Record,
    RecordShape,
    ScalarShape,
    Shape,
    record,
)

_HEAD = """\
# The system YAML

Made by `hullkit schema --markdown` from the definition in `src/hullkit/config/`; do not edit.

A system is described by one or more YAML files. LinuxKit's files work unchanged; hullkit adds keys. An unknown or
repeated key, a value of another type and an empty value (null) are errors. The fields of an image entry may also stand
in the label `org.mobyproject.config` of its image; what the YAML says wins.

Several files are merged: `kernel` field by field, lists by appending; of `layout`, `network` and `budget` the last one
counts. `@component:NAME` (or `@component:./PATH`) and `@pkg:PATH` may stand for an image.
"""
_NAMES = {str: "text", int: "whole number", float: "number", bool: "true or false"}


def markdown() -> str:
    """The whole reference."""
    todo: list[type[Definition]] = [SystemFile]
    parts = [_HEAD]
    for cls in todo:  # grows while it runs: each definition once, where it is first needed
        known = record(cls)
        parts.append(_section(known))
        for field in _own_fields(known):
            todo += [inner for inner in _records(field.shape) if inner not in todo]
    return "\n".join(parts)


def _own_fields(known: Record) -> list[Field]:
    """The fields to list: those that an entry inherits are listed where they come from."""
    inherited = record(ImageEntry).fields if known.cls is ServiceEntry else {}
    return [field for key, field in known.fields.items() if key not in inherited]


def _section(known: Record) -> str:
    title = "The file" if known.cls is SystemFile else known.cls.__name__
    lines = [f"## {title}", known.title.replace("``", "`")]
    if known.cls is ServiceEntry:
        lines.append(f"All keys of {_link(ImageEntry)}, and:")
    lines += ["", "| key | value | meaning |", "|---|---|---|"]
    lines += [_row(field) for field in _own_fields(known)]
    return "\n".join([*lines, ""])


def _row(field: Field) -> str:
    value = _words(field.shape)
    if field.short is not None:
        short = " or ".join(f"`{each}`" for each in field.short.choices) or _NAMES[field.short.form]
        value = f"{value}; or {short}" + (f" ({field.short.description})" if field.short.description else "")
    meaning = [field.doc.text]
    if field.required:
        meaning.append("Required.")
    if field.default is not None:
        meaning.append(f"Default: `{_json(field.default)}`.")
    if field.doc.example is not None:
        meaning.append(f"Example: `{_json(field.doc.example)}`")
    return f"| `{field.key}` | {value} | {' '.join(meaning)} |".replace(" | |", " | any |")


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False).replace("|", "\\|")


def _link(cls: type[Definition]) -> str:
    return f"[{cls.__name__}](#{cls.__name__.lower()})"


def _words(shape: Shape) -> str:
    if isinstance(shape, ScalarShape):
        return " or ".join(_NAMES[kind] for kind in shape.kinds)
    if isinstance(shape, ChoiceShape):
        return " or ".join(f"`{each}`" for each in shape.choices)
    if isinstance(shape, ListShape):
        return f"list of {_words(shape.item)}"
    if isinstance(shape, MapShape):
        return f"map of texts to {_words(shape.value)}"
    if isinstance(shape, RecordShape):
        return _link(shape.cls)
    assert isinstance(shape, AnyShape)
    return "anything"


def _records(shape: Shape) -> list[type[Definition]]:
    if isinstance(shape, RecordShape):
        return [shape.cls]
    if isinstance(shape, ListShape):
        return _records(shape.item)
    return _records(shape.value) if isinstance(shape, MapShape) else []
