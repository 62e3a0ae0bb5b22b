"""Kernel images from the inside: their version, and what is compressed in them.

Formats: x86's setup header (Documentation/arch/x86/boot.rst), gzip (most other architectures), and the EFI images
whose payload is compressed (drivers/firmware/efi/libstub/zboot-header.S).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from struct import unpack_from

from hullkit.context import Context
from hullkit.errors import ConfigError, TrustError
from hullkit.steps import cached_path, step_id
from hullkit.tree.decompress import compression, decompress
from hullkit.tree.entry import Bytes, Entry, EntryType, FileSlice, Source, fingerprint

_CODE = ("hullkit.assemble.vmlinux", "hullkit.tree.decompress")
#: compressed and uncompressed kernels are a tenth of this
_MAX = 512 << 20
_LINUX = re.compile(rb"Linux version (\d{1,3})\.(\d{1,4})[^0-9]")
_VERSION = re.compile(rb"(\d{1,3})\.(\d{1,4})")


def read_all(source: Source, what: str) -> bytes:
    if source.size > _MAX:
        raise TrustError(f"{what}: a kernel of {source.size} bytes cannot be")
    return b"".join(source.chunks())


def _is_bzimage(data: bytes) -> bool:
    return len(data) > 0x250 and data[0x1FE:0x200] == b"\x55\xaa" and data[0x202:0x206] == b"HdrS"


def kernel_version(source: Source) -> tuple[int, int] | None:
    """(major, minor) of a kernel; None when it does not tell."""
    head = next(source.chunks(), b"")
    if _is_bzimage(head):
        # the offset of the text counts from the end of the boot sector
        start = unpack_from("<H", head, 0x20E)[0] + 0x200
        return _numbers(_VERSION.match(head[start : start + 64]))
    if head[:2] == b"MZ" and head[4:8] == b"zimg":
        return 6, 1  # the first kernel with such images
    if compression(head) != "gz":
        return _search(source.chunks())
    try:
        return _search(decompress(source.chunks(), "gz", max_size=_MAX, what="kernel"))
    except TrustError:
        return None


def _numbers(found: re.Match[bytes] | None) -> tuple[int, int] | None:
    return (int(found[1]), int(found[2])) if found else None


def _search(chunks: Iterable[bytes]) -> tuple[int, int] | None:
    rest = b""
    for chunk in chunks:
        rest += chunk
        if found := _LINUX.search(rest):
            return _numbers(found)
        rest = rest[-64:]
    return None


def decompressed(context: Context, kernel: Source, what: str) -> FileSlice:
    """The kernel inside a compressed one (gzip as a whole, or a bzImage with gzip, xz or zstd), made once.

    ConfigError for anything else, TrustError for damaged data.
    """

    def make(path: Path) -> None:
        payload = _payload(read_all(kernel, what), what)
        with open(path, "wb") as stream:
            blocks = Bytes(payload).chunks()
            stream.writelines(decompress(blocks, compression(payload), max_size=_MAX, what=what))

    identity = step_id("vmlinux", fingerprint([Entry("kernel", EntryType.FILE, content=kernel)]), _CODE)
    path = cached_path(context, "vmlinux", identity, make)
    return FileSlice(path, 0, path.stat().st_size)


def _payload(data: bytes, what: str) -> bytes:
    if compression(data) == "gz":
        return data
    if not _is_bzimage(data) or unpack_from("<H", data, 0x206)[0] < 0x208:
        raise ConfigError(f"{what} is not a compressed kernel that can be decompressed", hint="gzip and bzImage can")
    offset, length = unpack_from("<II", data, 0x248)
    offset += (data[0x1F1] + 1) * 512
    if offset + length > len(data):
        raise TrustError(f"{what}: its payload exceeds the file")
    payload = data[offset : offset + length]
    kind = compression(payload)
    if not kind:
        raise ConfigError(f"{what}: its payload is compressed in a way that is not supported")
    # gzip ends with the size of what it unfolds to; where a format does not, the kernel's build appends it (le32)
    return payload if kind == "gz" else payload[:-4]
