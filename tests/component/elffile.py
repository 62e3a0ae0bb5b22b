"""Make small ELF files for tests: a dynamic program or library with exactly the fields that the loader reads."""

from __future__ import annotations

import struct


def elf(needed: tuple[str, ...] = (), *, interpreter: str = "", runpath: str = "", machine: int = 62) -> bytes:
    """A 64-bit little-endian file: ELF header, program headers, dynamic section, strings."""
    strings = b"\0"
    tags: list[tuple[int, int]] = []
    for tag, text in [*((1, name) for name in needed), (29, runpath)]:
        if text:
            tags.append((tag, len(strings)))
            strings += text.encode() + b"\0"
    interp = interpreter.encode() + b"\0"
    phnum = 3 if interpreter else 2
    start = 64 + 56 * phnum
    dynamic_at = start + len(interp)
    dynamic_size = 16 * (len(tags) + 3)
    strings_at = dynamic_at + dynamic_size
    total = strings_at + len(strings)
    tags += [(5, strings_at), (10, len(strings)), (0, 0)]
    header = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    header += struct.pack("<HHIQQQIHHHHHH", 3, machine, 1, 0, 64, 0, 0, 64, 56, phnum, 64, 0, 0)
    programs = struct.pack("<IIQQQQQQ", 1, 5, 0, 0, 0, total, total, 4096)
    programs += struct.pack("<IIQQQQQQ", 2, 6, dynamic_at, dynamic_at, 0, dynamic_size, dynamic_size, 8)
    if interpreter:
        programs += struct.pack("<IIQQQQQQ", 3, 4, start, start, 0, len(interp), len(interp), 1)
    return header + programs + interp + b"".join(struct.pack("<qQ", *each) for each in tags) + strings


def module(fields: list[str]) -> bytes:
    """A relocatable file with a ``.modinfo`` section of these ``key=value`` texts."""
    info = b"".join(field.encode() + b"\0" for field in fields)
    names = b"\0.modinfo\0.shstrtab\0"
    sections = [(0, 0, 0, 0), (1, 1, 64, len(info)), (10, 3, 64 + len(info), len(names))]
    table_at = 64 + len(info) + len(names)
    header = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    header += struct.pack("<HHIQQQIHHHHHH", 1, 62, 1, 0, 0, table_at, 0, 64, 0, 0, 64, len(sections), 2)
    table = b"".join(
        struct.pack("<IIQQQQIIQQ", label, kind, 0, 0, at, size, 0, 0, 1, 0) for label, kind, at, size in sections
    )
    return header + info + names + table
