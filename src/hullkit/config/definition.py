"""The words in which the configuration is defined: documented fields, short forms, constraints.

``model.py`` says what may be written by annotating the fields of frozen structs; the decoder, the JSON Schema, the
suggestions for misspelt keys and the reference documentation all read those annotations and nothing else.
"""

from collections.abc import Callable
from typing import Any

import msgspec


class Definition(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Base of everything that can be written; keys are the camelCase of the attributes unless a field names its own.

    ``None`` means absent; an empty list, map or text was written as such. (A null in the text is an error.)
    """

    def to_json(self) -> dict[str, Any]:
        """As JSON-like data under the keys of the text; what is absent is left out."""
        fields = msgspec.structs.fields(self)
        fields = (*(each for each in fields if each.required), *(each for each in fields if not each.required))
        values = ((each.encode_name, getattr(self, each.name)) for each in fields)
        return {name: to_data(value) for name, value in values if value is not None}


def to_data(value: Any) -> Any:
    """A value of the configuration as JSON-like data."""
    if isinstance(value, Definition):
        return value.to_json()
    if isinstance(value, tuple | list):
        return [to_data(each) for each in value]
    if isinstance(value, dict):
        return {name: to_data(each) for name, each in value.items()}
    return value


class Short(msgspec.Struct, frozen=True):
    """Another, shorter way to write a value: a scalar of type ``form`` that ``convert`` turns into the full value.

    ``convert`` raises ValueError with a message that completes "KEY: ...". ``choices`` are the allowed texts, if few.
    """

    form: type
    convert: Callable[[Any], Any]
    choices: tuple[str, ...] = ()
    description: str = ""


class Doc(msgspec.Struct, frozen=True):
    """What a field means, for people and for the JSON Schema, with its constraints.

    ``say`` completes "must be ..." when ``pattern`` does not match.
    """

    text: str
    pattern: str | None = None
    at_least: float | None = None
    at_most: float | None = None
    say: str = ""
    example: Any = None


def key(name: str, default: Any = None) -> Any:
    """A field whose key is not the camelCase of its attribute."""
    return msgspec.field(default=default, name=name)


_LONGEST_SHOWN = 60


def shown(text: str) -> str:
    """A text of the user in a message: quoted, not endless, and without characters that a terminal would obey."""
    plain = "".join(each if each.isprintable() else repr(each)[1:-1] for each in text[:_LONGEST_SHOWN])
    return f'"{plain}"' if len(text) <= _LONGEST_SHOWN else f'"{plain[:_LONGEST_SHOWN]}…"'


SIZE_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def parse_size(text: str) -> int:
    """``"64k"``, ``"1M"``, ``"2GiB"`` in bytes (powers of 1024)."""
    number = text.strip().lower().removesuffix("ib").removesuffix("b")
    unit = number[-1:] if number[-1:].isalpha() else ""
    digits = number.removesuffix(unit).strip() if unit else number
    if unit not in SIZE_UNITS or not digits.isascii() or not digits.isdigit() or len(digits) > 15:
        raise ValueError(f'{shown(text)} is not a size; write bytes, or a number with k, M or G such as "64M"')
    return int(digits) * SIZE_UNITS[unit]


DURATION_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def parse_duration(text: str) -> float:
    """``"500ms"``, ``"10s"``, ``"2m"``, ``"1h"`` in seconds."""
    number = text.strip()
    unit = next((unit for unit in DURATION_UNITS if number.endswith(unit)), "")
    digits = number.removesuffix(unit).strip()
    try:
        if not unit or len(digits) > 12 or not digits.replace(".", "", 1).isdecimal() or not digits.isascii():
            raise ValueError
        return float(digits) * DURATION_UNITS[unit]
    except ValueError:
        raise ValueError(f'{shown(text)} is not a duration; write seconds, or a text such as "10s" or "2m"') from None


SIZE = Short(str, parse_size, description='a number with k, M or G, such as "64M"')
DURATION = Short(str, parse_duration, description='a number with ms, s, m or h, such as "30s"')
