"""The JSON Schema (draft 2020-12) of the configuration, made from the definition."""

from __future__ import annotations

from typing import Any

from hullkit.config.definition import Definition, Short
from hullkit.config.model import ImageConfig, SystemFile
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

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_TYPES = {str: "string", int: "integer", float: "number", bool: "boolean"}


def json_schema(cls: type[Definition] = SystemFile) -> dict[str, Any]:
    """The schema of a system YAML; of an image's label for ``ImageConfig``. No key beside those it names is valid."""
    definitions: dict[str, Any] = {}
    top = _record(cls, definitions)
    title = "hullkit system" if cls is SystemFile else record(cls).title
    return {"$schema": DIALECT, "title": title, **top, "$defs": dict(sorted(definitions.items()))}


def label_schema() -> dict[str, Any]:
    """The schema of the image label ``org.mobyproject.config``."""
    return json_schema(ImageConfig)


def _record(cls: type[Definition], definitions: dict[str, Any]) -> dict[str, Any]:
    known = record(cls)
    schema: dict[str, Any] = {"type": "object", "description": known.title, "additionalProperties": False}
    schema["properties"] = {field.key: _field(field, definitions) for field in known.fields.values()}
    if required := [field.key for field in known.fields.values() if field.required]:
        schema["required"] = required
    return schema


def _field(field: Field, definitions: dict[str, Any]) -> dict[str, Any]:
    schema = _shape(field.shape, definitions)
    doc = field.doc
    if doc.pattern is not None:
        schema["pattern"] = doc.pattern
    if doc.at_least is not None:
        schema["minimum"] = doc.at_least
    if doc.at_most is not None:
        schema["maximum"] = doc.at_most
    if field.short is not None:
        schema = {"anyOf": [_short(field.short), schema]}
    if doc.text:
        schema["description"] = doc.text
    if doc.example is not None:
        schema["examples"] = [doc.example]
    if field.default is not None:
        schema["default"] = field.default
    return schema


def _short(short: Short) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": _TYPES[short.form]}
    if short.choices:
        schema["enum"] = list(short.choices)
    if short.description:
        schema["description"] = short.description
    return schema


def _shape(shape: Shape, definitions: dict[str, Any]) -> dict[str, Any]:
    if isinstance(shape, ScalarShape):
        names = [_TYPES[kind] for kind in shape.kinds]
        return {"type": names[0] if len(names) == 1 else names}
    if isinstance(shape, ChoiceShape):
        return {"type": "string", "enum": list(shape.choices)}
    if isinstance(shape, ListShape):
        return {"type": "array", "items": _shape(shape.item, definitions)}
    if isinstance(shape, MapShape):
        return {"type": "object", "additionalProperties": _shape(shape.value, definitions)}
    if isinstance(shape, RecordShape):
        name = shape.cls.__name__
        if name not in definitions:
            definitions[name] = {}
            definitions[name] = _record(shape.cls, definitions)
        return {"$ref": f"#/$defs/{name}"}
    assert isinstance(shape, AnyShape)
    return {}
