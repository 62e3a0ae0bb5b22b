"""Inputs made of valid ones: bytes changed, cut, repeated and moved, numbers blown up, two inputs joined."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

#: an input never grows beyond this
MAX_INPUT = 256 << 10
_ODD = (
    *(b"\0", b"\xff", b"\n", b"/", b"../", b"\\", b'"', b"'", b"{", b"}", b"[", b"]", b"%", b"\x80", b"\xed\xb2\x80"),
    *(b"-1", b"0", b"9" * 20, b"9" * 5000, b"1e999", b"NaN", b"null", b"\x7f\xff\xff\xff", b"\xff" * 8, b"\0" * 512),
)


def _change(data: bytearray, chance: random.Random) -> None:
    for _ in range(chance.choice((1, 1, 2, 4, 16))):
        if data:
            data[chance.randrange(len(data))] = chance.randrange(256)


def _flip(data: bytearray, chance: random.Random) -> None:
    if data:
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def _cut(data: bytearray, chance: random.Random) -> None:
    begin = chance.randrange(len(data) + 1)
    del data[begin : begin + chance.choice((1, 4, 64, len(data)))]


def _repeat(data: bytearray, chance: random.Random) -> None:
    begin = chance.randrange(len(data) + 1)
    piece = bytes(data[begin : begin + chance.choice((1, 8, 100, 600))])
    data[begin:begin] = piece * chance.choice((1, 2, 50, 1000))


def _odd(data: bytearray, chance: random.Random) -> None:
    begin = chance.randrange(len(data) + 1)
    data[begin : begin + chance.choice((0, 1, 8))] = chance.choice(_ODD)


def _number(data: bytearray, chance: random.Random) -> None:
    """A decimal number becomes another one; in binary formats most of what matters is elsewhere."""
    found = list(re.finditer(rb"\d+", data))
    if found:
        number = chance.choice(found)
        data[number.start() : number.end()] = chance.choice((b"0", b"-1", b"4294967296", b"9" * 19, b"9" * 4400))


_WAYS: tuple[Callable[[bytearray, random.Random], None], ...] = (_change, _flip, _cut, _repeat, _odd, _number)


def mutated(seeds: Sequence[bytes], chance: random.Random) -> bytes:
    """A new input made of one or two of ``seeds``, at most MAX_INPUT bytes."""
    data = bytearray(chance.choice(seeds))
    if chance.random() < 0.1:
        other = chance.choice(seeds)
        data[chance.randrange(len(data) + 1) :] = other[chance.randrange(len(other) + 1) :]
    for _ in range(chance.choice((1, 1, 2, 3, 8))):
        chance.choice(_WAYS)(data, chance)
    return bytes(data[:MAX_INPUT])
