"""A small reader of ELF files: what a program needs to start, and the sections of a kernel module.

Nothing is executed and no offset of a file is trusted: each read is bounded by the file and by the limits below.
Follows the System V ABI, chapters 4 and 5 (``gabi``), for 32 and 64 bit, both byte orders.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from hullkit.errors import TrustError
from hullkit.tree.entry import Bytes, FileSlice, Source

MAGIC = b"\x7fELF"
#: e_machine of the architectures that hullkit builds for (gabi, "Machine Information")
MACHINES = {"amd64": 62, "arm64": 183, "riscv64": 243, "ppc64le": 21, "s390x": 22}

_PT_LOAD, _PT_DYNAMIC, _PT_INTERP = 1, 2, 3
_DT_NEEDED, _DT_STRTAB, _DT_STRSZ, _DT_RPATH, _DT_RUNPATH = 1, 5, 10, 15, 29
_SHT_NOBITS = 8
_MAX_HEADERS = 4096
_MAX_DYNAMIC = 1 << 20
_MAX_STRINGS = 16 << 20
_MAX_SECTION = 64 << 20

Reader = Callable[[int, int], bytes]


@dataclass(frozen=True, slots=True)
class ElfInfo:
    """What the dynamic loader reads from a file; the search path is RUNPATH, or RPATH where there is no RUNPATH."""

    machine: int
    interpreter: str = ""
    needed: tuple[str, ...] = ()
    search_path: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Header:
    wide: bool
    order: str
    machine: int
    phoff: int
    phnum: int
    phentsize: int
    shoff: int
    shnum: int
    shentsize: int
    shstrndx: int


@dataclass(frozen=True, slots=True)
class _Segment:
    type: int
    offset: int
    vaddr: int
    filesz: int


@contextmanager
def open_source(source: Source) -> Iterator[Reader]:
    """Random access to a source; a read beyond its end gives fewer bytes."""
    if isinstance(source, FileSlice):
        with open(source.path, "rb", buffering=0) as stream:

            def read(offset: int, size: int) -> bytes:
                if offset >= source.size:
                    return b""
                stream.seek(source.offset + offset)
                return stream.read(min(size, source.size - offset)) or b""

            yield read
    else:
        data = source.data if isinstance(source, Bytes) else b"".join(source.chunks())
        yield lambda offset, size: data[offset : offset + size]


def read_elf(source: Source, name: str) -> ElfInfo | None:
    """The dynamic section and interpreter of an ELF file; None when ``source`` is no ELF file.

    Raises TrustError, naming ``name``, for an ELF file that is damaged or beyond the limits.
    """
    with open_source(source) as read:
        if read(0, 4) != MAGIC:
            return None
        header = _header(read, name)
        segments = list(_segments(read, header, name))
        interpreter = ""
        dynamic: _Segment | None = None
        for segment in segments:
            if segment.type == _PT_INTERP:
                interpreter = _text(_exact(read, segment.offset, min(segment.filesz, 4096), name), 0, name)
            elif segment.type == _PT_DYNAMIC:
                dynamic = segment
        if dynamic is None:
            return ElfInfo(header.machine, interpreter)
        return _dynamic(read, header, segments, dynamic, interpreter, name)


def read_section(read: Reader, wanted: str, name: str) -> bytes | None:
    """The bytes of the section called ``wanted``; None when the file has no such section. TrustError as read_elf."""
    if read(0, 4) != MAGIC:
        raise TrustError(f"{name}: not an ELF file")
    header = _header(read, name)
    table = _exact(read, header.shoff, header.shnum * header.shentsize, name)
    layout = header.order + ("IIQQQQ" if header.wide else "IIIIII")
    if header.shentsize < struct.calcsize(layout):
        raise TrustError(f"{name}: damaged ELF file: section headers of {header.shentsize} bytes")
    sections = [struct.unpack_from(layout, table, index * header.shentsize) for index in range(header.shnum)]
    if header.shstrndx >= len(sections):
        return None
    strings = _exact(read, sections[header.shstrndx][4], min(sections[header.shstrndx][5], _MAX_STRINGS), name)
    for label, kind, _flags, _address, offset, size in sections:
        if kind == _SHT_NOBITS or label >= len(strings) or _text(strings, label, name) != wanted:
            continue
        if size > _MAX_SECTION:
            raise TrustError(f"{name}: section {wanted} of {size} bytes is beyond the limit of {_MAX_SECTION}")
        return _exact(read, offset, size, name)
    return None


def _exact(read: Reader, offset: int, size: int, name: str) -> bytes:
    data = read(offset, size)
    if len(data) != size:
        raise TrustError(f"{name}: damaged ELF file: {size} bytes wanted at offset {offset}, {len(data)} there")
    return data


def _text(table: bytes, offset: int, name: str) -> str:
    end = table.find(b"\0", offset)
    if not 0 <= offset <= end or end - offset > 4096:
        raise TrustError(f"{name}: damaged ELF file: a string without an end")
    return table[offset:end].decode("utf-8", "surrogateescape")


def _header(read: Reader, name: str) -> _Header:
    ident = _exact(read, 0, 16, name)
    if ident[4] not in (1, 2) or ident[5] not in (1, 2):
        raise TrustError(f"{name}: damaged ELF file: class {ident[4]}, data encoding {ident[5]}")
    wide, order = ident[4] == 2, "<" if ident[5] == 1 else ">"
    layout = order + ("HHIQQQIHHHHHH" if wide else "HHIIIIIHHHHHH")
    fields = struct.unpack(layout, _exact(read, 16, struct.calcsize(layout), name))
    _type, machine, _version, _entry, phoff, shoff, _flags, _size, phentsize, phnum, shentsize, shnum, shstrndx = fields
    if max(phnum, shnum) > _MAX_HEADERS:
        raise TrustError(f"{name}: ELF file with {max(phnum, shnum)} headers is beyond the limit of {_MAX_HEADERS}")
    return _Header(wide, order, machine, phoff, phnum, phentsize, shoff, shnum, shentsize, shstrndx)


def _segments(read: Reader, header: _Header, name: str) -> Iterator[_Segment]:
    layout = header.order + ("IIQQQQ" if header.wide else "IIIII")
    if header.phnum and header.phentsize < struct.calcsize(layout):
        raise TrustError(f"{name}: damaged ELF file: program headers of {header.phentsize} bytes")
    table = _exact(read, header.phoff, header.phnum * header.phentsize, name)
    for index in range(header.phnum):
        fields = struct.unpack_from(layout, table, index * header.phentsize)
        if header.wide:
            kind, _flags, offset, vaddr, _paddr, filesz = fields
        else:
            kind, offset, vaddr, _paddr, filesz = fields
        yield _Segment(kind, offset, vaddr, filesz)


def _dynamic(
    read: Reader, header: _Header, segments: list[_Segment], dynamic: _Segment, interpreter: str, name: str
) -> ElfInfo:
    if dynamic.filesz > _MAX_DYNAMIC:
        raise TrustError(f"{name}: dynamic section of {dynamic.filesz} bytes is beyond the limit of {_MAX_DYNAMIC}")
    data = _exact(read, dynamic.offset, dynamic.filesz, name)
    layout = header.order + ("qQ" if header.wide else "iI")
    size = struct.calcsize(layout)
    values: dict[int, list[int]] = {}
    for tag, value in struct.iter_unpack(layout, data[: len(data) // size * size]):
        if tag == 0:
            break
        values.setdefault(tag, []).append(value)
    if _DT_STRTAB not in values or _DT_STRSZ not in values:
        return ElfInfo(header.machine, interpreter)
    length = values[_DT_STRSZ][0]
    if length > _MAX_STRINGS:
        raise TrustError(f"{name}: string table of {length} bytes is beyond the limit of {_MAX_STRINGS}")
    strings = _exact(read, _file_offset(segments, values[_DT_STRTAB][0], name), length, name)

    def texts(tag: int) -> list[str]:
        return [_text(strings, value, name) for value in values.get(tag, [])]

    paths = texts(_DT_RUNPATH) or texts(_DT_RPATH)
    search = tuple(part for path in paths for part in path.split(":") if part)
    return ElfInfo(header.machine, interpreter, tuple(texts(_DT_NEEDED)), search)


def _file_offset(segments: list[_Segment], address: int, name: str) -> int:
    for segment in segments:
        if segment.type == _PT_LOAD and segment.vaddr <= address < segment.vaddr + segment.filesz:
            return segment.offset + address - segment.vaddr
    raise TrustError(f"{name}: damaged ELF file: address {address:#x} is in no segment")
