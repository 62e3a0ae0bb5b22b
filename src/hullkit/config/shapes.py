"""Shapes: the annotations of the definition, read once, for decoder, schema and suggestions to walk.

``record(cls)`` gives the keys of a ``Definition`` with the shape of each value. Supported annotations: ``str``,
``int``, ``float``, ``bool``, ``Literal`` of texts, ``int | str``, ``tuple[T, ...]``, ``dict[str, T]``, ``Any``, other
definitions, ``T | None`` (None: the key may be left out), and ``Annotated`` with ``Doc`` and ``Short``.
"""

from __future__ import annotations

import types
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec

from hullkit.config.definition import Definition, Doc, Short


class ScalarShape(msgspec.Struct, frozen=True):
    """``kinds`` is one or two of str, int, float, bool."""

    kinds: tuple[type, ...]


class ChoiceShape(msgspec.Struct, frozen=True):
    choices: tuple[str, ...]


class ListShape(msgspec.Struct, frozen=True):
    item: Shape


class MapShape(msgspec.Struct, frozen=True):
    value: Shape


class RecordShape(msgspec.Struct, frozen=True):
    cls: type[Definition]


class AnyShape(msgspec.Struct, frozen=True):
    """Any JSON-like data."""


Shape = ScalarShape | ChoiceShape | ListShape | MapShape | RecordShape | AnyShape


class Field(msgspec.Struct, frozen=True):
    """One key of a record: ``attribute`` is the struct's, ``key`` the text's."""

    attribute: str
    key: str
    shape: Shape
    doc: Doc
    short: Short | None
    required: bool
    default: Any


class Record(msgspec.Struct, frozen=True):
    cls: type[Definition]
    fields: dict[str, Field]

    @property
    def title(self) -> str:
        return (self.cls.__doc__ or "").strip().split("\n")[0]


_NO_DOC = Doc("")


@cache
def record(cls: type[Definition]) -> Record:
    """The keys of a definition, in the order to show them: required ones first."""
    fields = [_field(each) for each in msgspec.structs.fields(cls)]
    fields.sort(key=lambda field: not field.required)
    return Record(cls, {field.key: field for field in fields})


def _field(info: msgspec.structs.FieldInfo) -> Field:
    annotation, doc, short = info.type, _NO_DOC, None
    if get_origin(annotation) is Annotated:
        annotation, *notes = get_args(annotation)
        doc = next((note for note in notes if isinstance(note, Doc)), doc)
        short = next((note for note in notes if isinstance(note, Short)), None)
    default = None if info.default is msgspec.NODEFAULT else info.default
    return Field(info.name, info.encode_name, shape_of(annotation), doc, short, info.required, default)


@cache
def shape_of(annotation: Any) -> Shape:
    """The shape of an annotation, None aside; TypeError for one that the definition does not know."""
    if annotation in (str, int, float, bool):
        return ScalarShape((annotation,))
    if annotation is Any:
        return AnyShape()
    if isinstance(annotation, type) and issubclass(annotation, Definition):
        return RecordShape(annotation)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return ChoiceShape(arguments)
    if origin is tuple and arguments[1:] == (Ellipsis,):
        return ListShape(shape_of(arguments[0]))
    if origin is dict and arguments[0] is str:
        return MapShape(shape_of(arguments[1]))
    if origin in (Union, types.UnionType):
        some = [each for each in arguments if each is not types.NoneType]
        if len(some) == 1:
            return shape_of(some[0])
        if all(each in (str, int, float, bool) for each in some):
            return ScalarShape(tuple(some))
    raise TypeError(f"the definition does not know the type {annotation!r}")
