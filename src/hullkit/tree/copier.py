"""Moving bytes from sources to a stream with the least copying.

Large slices of host files go to real files and pipes inside the kernel (copy_file_range, which may share extents, else
sendfile); small ones are read through one descriptor that stays open, since most files of a tree lie in the same tar.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from hullkit.tree.entry import CHUNK, FileSlice, Source

#: below this a read and a buffered write are cheaper than flushing and two system calls
_IN_KERNEL = 256 << 10


class Copier:
    """Appends sources to ``stream``; as a context manager it closes what it opened, never the stream."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._path: Path | None = None
        self._input = -1
        # Only these are known to write to their own descriptor: GzipFile and others have a fileno() too.
        direct = isinstance(stream, (io.BufferedWriter, io.BufferedRandom, io.FileIO))
        self._output = stream.fileno() if direct else -1

    def __enter__(self) -> Copier:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _close(self) -> None:
        if self._input >= 0:
            os.close(self._input)
            self._input, self._path = -1, None

    def copy(self, source: Source) -> None:
        """Write all of ``source``; OSError when a host file is shorter than it was."""
        if not isinstance(source, FileSlice):
            for chunk in source.chunks():
                self._stream.write(chunk)
            return
        if source.path != self._path:
            self._close()
            self._input = os.open(source.path, os.O_RDONLY | os.O_CLOEXEC)
            self._path = source.path
        done = 0
        if source.size >= _IN_KERNEL and self._output >= 0:
            self._stream.flush()
            done = self._in_kernel(source)
        while done < source.size:
            data = os.pread(self._input, min(CHUNK, source.size - done), source.offset + done)
            if not data:
                raise OSError(f"{source.path}: shorter than expected (it changed during the build?)")
            self._stream.write(data)
            done += len(data)

    def _in_kernel(self, source: FileSlice) -> int:
        """Copy as much as the kernel will; returns how many bytes."""
        done = 0
        for how in (self._copy_file_range, self._sendfile):
            try:
                while done < source.size:
                    moved = how(source.offset + done, source.size - done)
                    if not moved:
                        break
                    done += moved
            except OSError:
                # Not supported between these two; a real failure (disk full) comes again from the write that follows.
                continue
        return done

    def _copy_file_range(self, offset: int, size: int) -> int:
        return os.copy_file_range(self._input, self._output, size, offset_src=offset)

    def _sendfile(self, offset: int, size: int) -> int:
        return os.sendfile(self._output, self._input, offset, min(size, 1 << 30))
