"""Unified kernel images (the UAPI group's specification): kernel, initramfs and command line in one EFI program.

The program is systemd's stub; what it starts are sections added to it (PE format: Microsoft's "PE Format", 64-bit).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from hullkit.errors import TrustError
from hullkit.tree.entry import Source

_HEADER = 40
# IMAGE_SCN_CNT_INITIALIZED_DATA | MEM_READ; CNT_CODE | MEM_EXECUTE | MEM_READ
_DATA, _CODE = 0x40000040, 0x60000020
_PE32_PLUS = 0x20B


@dataclass(frozen=True, slots=True)
class _Stub:
    """What must be known of a PE file to add sections to it; ``optional`` and ``table`` are offsets."""

    coff: int
    optional: int
    table: int
    sections: int
    headers: int
    #: alignments in memory and in the file, and the first free address
    memory: int
    file: int
    end: int


def _parse(data: bytes) -> _Stub:
    try:
        (start,) = struct.unpack_from("<I", data, 0x3C)
        signature, sections, optional_size = struct.unpack_from("<4s2xH12xH2x", data, start)
        optional = start + 24
        (magic,) = struct.unpack_from("<H", data, optional)
        memory, file = struct.unpack_from("<II", data, optional + 32)
        (headers,) = struct.unpack_from("<I", data, optional + 60)
        table = optional + optional_size
        end = 0
        for number in range(sections):
            size, address = struct.unpack_from("<II", data, table + number * _HEADER + 8)
            end = max(end, address + size)
    except struct.error:
        raise TrustError("the EFI stub is no whole PE file") from None
    if data[:2] != b"MZ" or signature != b"PE\0\0" or magic != _PE32_PLUS or not memory or not file:
        raise TrustError("the EFI stub is no 64-bit PE file")
    return _Stub(start + 4, optional, table, sections, headers, memory, file, _up(end, memory))


@dataclass(frozen=True)
class UkiImage:
    """``stub`` with ``sections`` (name of at most 8 letters, content) behind its own. A Source.

    TrustError when the stub is no PE file, or has no room for more section headers.
    """

    stub: bytes
    sections: Sequence[tuple[str, Source]]

    @cached_property
    def _head(self) -> bytes:
        """The stub with its new headers."""
        stub = _parse(self.stub)
        head = bytearray(self.stub.ljust(_up(len(self.stub), stub.file), b"\0"))
        at, offset, address = stub.table + stub.sections * _HEADER, len(head), stub.end
        if at + len(self.sections) * _HEADER > stub.headers:
            raise TrustError("the EFI stub has no room for more sections")
        for name, content in self.sections:
            size = _up(content.size, stub.file)
            flags = _CODE if name == ".linux" else _DATA
            fields = (name.encode(), content.size, address, size, offset, flags)
            struct.pack_into("<8sIIII12xI", head, at, *fields)
            at, offset, address = at + _HEADER, offset + size, _up(address + content.size, stub.memory)
        struct.pack_into("<H", head, stub.coff + 2, stub.sections + len(self.sections))
        struct.pack_into("<I", head, stub.optional + 56, address)
        struct.pack_into("<I", head, stub.optional + 64, 0)  # checksum: EFI does not look at it
        return bytes(head)

    @property
    def size(self) -> int:
        alignment = _parse(self.stub).file
        return len(self._head) + sum(_up(content.size, alignment) for _, content in self.sections)

    def chunks(self) -> Iterator[bytes]:
        yield self._head
        alignment = _parse(self.stub).file
        for _, content in self.sections:
            yield from content.chunks()
            yield bytes(-content.size % alignment)


def _up(number: int, alignment: int) -> int:
    return -(-number // alignment) * alignment
