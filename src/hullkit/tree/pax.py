"""The small languages inside tar headers: octal and base-256 numbers, pax records, extended attributes."""

from __future__ import annotations

import binascii
from collections.abc import Mapping

#: pax records: keyword -> value, both as bytes
Records = Mapping[bytes, bytes]

#: prefix of the records of extended attributes (star's form)
SCHILY = b"SCHILY.xattr."
_LIBARCHIVE = b"LIBARCHIVE.xattr."
_MAX_NUMBER = 1 << 62
_MAX_XATTR_NAME, _MAX_XATTR_VALUE = 255, 65536  # include/uapi/linux/limits.h


class Malformed(ValueError):
    """A field that cannot be understood; the text says which."""


def number(field: bytes) -> int:
    """A numeric header field: octal digits, or GNU's big-endian base-256 when the first bit is set."""
    digits = field.rstrip(b"\0 ")
    if not digits.isdigit():
        if field[0] & 0x80:
            return _base256(field)
        digits = digits.split(b"\0", 1)[0].strip(b" ") or b"0"
    try:
        if digits.isdigit():  # int() would also take signs and underscores
            return int(digits, 8)
    except ValueError:
        pass
    raise Malformed(f"{field!r} is not a number")


def _base256(field: bytes) -> int:
    value = int.from_bytes(field, "big", signed=field[0] == 0xFF)
    if field[0] != 0xFF:
        value -= 1 << (8 * len(field) - 1)
    if not -_MAX_NUMBER < value < _MAX_NUMBER:
        raise Malformed("an absurd number")
    return value


def decimal(text: bytes) -> int:
    """A whole decimal number of a pax record."""
    digits = text[1:] if text.startswith(b"-") else text
    if not digits.isdigit() or len(digits) > 19:
        raise Malformed(f"{text[:32]!r} is not a number")
    value = int(text)
    if not -_MAX_NUMBER < value < _MAX_NUMBER:
        raise Malformed("an absurd number")
    return value


def seconds(text: bytes) -> int:
    """A pax time, rounded down to seconds."""
    whole, _, fraction = text.partition(b".")
    if fraction and not fraction.isdigit():
        raise Malformed(f"{text[:32]!r} is not a time")
    value = decimal(whole)
    return value - 1 if whole.startswith(b"-") and fraction.strip(b"0") else value


def parse(body: bytes) -> dict[bytes, bytes]:
    """The records of an extended header, ``LENGTH KEYWORD=VALUE\\n`` each; a later one replaces an earlier."""
    found: dict[bytes, bytes] = {}
    position = 0
    while position < len(body):
        space = body.find(b" ", position, position + 20)
        length = body[position:space] if space > 0 else b""
        if not length.isdigit():
            raise Malformed("a damaged extended header")
        end = position + int(length)
        key, equals, value = body[space + 1 : end - 1].partition(b"=")
        if end > len(body) or end <= space + 1 or body[end - 1 : end] != b"\n" or not equals or not key:
            raise Malformed("a damaged extended header")
        found[key] = value
        position = end
    return found


def xattrs(records: Records) -> tuple[tuple[str, bytes], ...]:
    """Extended attributes of the records, sorted by name; star's raw form wins over libarchive's base64."""
    found: dict[str, bytes] = {}
    for key, value in records.items():
        if key.startswith(_LIBARCHIVE):
            from urllib.parse import unquote_to_bytes

            name = unquote_to_bytes(key[len(_LIBARCHIVE) :])
            _check(name)
            try:
                found[_text(name)] = binascii.a2b_base64(value)
            except binascii.Error as error:
                raise Malformed("an extended attribute that is not base64") from error
    for key, value in records.items():
        if key.startswith(SCHILY):
            name = key[len(SCHILY) :]
            _check(name)
            found[_text(name)] = value
    if any(len(value) > _MAX_XATTR_VALUE for value in found.values()):
        raise Malformed(f"an extended attribute of more than {_MAX_XATTR_VALUE} bytes")
    return tuple(sorted(found.items()))


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def _check(name: bytes) -> None:
    if not 0 < len(name) <= _MAX_XATTR_NAME or b"\0" in name:
        raise Malformed(f"the extended attribute name {name[:32]!r} is not valid")
