"""What the guest writes on its serial console: kept whole in a file, watched for a dying kernel."""

from __future__ import annotations

import os
import re
import secrets
import time
from collections import deque
from pathlib import Path
from types import TracebackType

from hullkit.cache import Cache, host_errors
from hullkit.errors import HostError
from hullkit.machine.control import printable

#: lines shown when something went wrong; after a symptom (a panic's long trace) no more than AFTER_SYMPTOM of them
TAIL_LINES = 30
AFTER_SYMPTOM = 10
#: a line without an end is cut here
_MAX_LINE = 4096
#: a guest that never stops writing does not fill the disk
MAX_LOG = 64 << 20
#: logs of earlier runs that stay in the cache
KEPT_LOGS = 20

_PREFIX = re.compile(rb"^(?:<\d+>)?\[ *\d+\.\d+\](?:\[ *[TC]\d+\])? ")
#: how a kernel line begins -> who is to blame
_SYMPTOMS: tuple[tuple[re.Pattern[bytes], str], ...] = (
    (re.compile(rb"Kernel panic - not syncing: .*System is deadlocked on memory"), "memory"),
    (re.compile(rb"Kernel panic - not syncing"), "kernel"),
    (re.compile(rb"Initramfs unpacking failed"), "initramfs"),
    (re.compile(rb"Out of memory: Killed process"), "memory"),
)


def keep_log(cache: Cache, log: Path) -> Path:
    """Move the finished log of a run into the cache: ``machine/consoles/TIME-RANDOM.log``, each run's own, of which the
    last KEPT_LOGS stay. ``machine/console.log`` leads to the one that was kept last."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    kept = cache.publish(log, cache.path("machine", "consoles", f"{stamp}-{secrets.token_hex(4)}.log"))
    link = log.with_name("link")
    link.symlink_to(os.path.join(kept.parent.name, kept.name))
    os.replace(link, cache.path("machine", "console.log"))
    for old in sorted(kept.parent.glob("*.log"))[:-KEPT_LOGS]:
        old.unlink(missing_ok=True)
    return kept


class ConsoleLog:
    """Feed it bytes. ``symptom`` is the first (culprit, line) that means the system is broken."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = path.open("wb", buffering=0)
        except OSError as error:
            raise HostError(f"console log {path}: {error.strerror}") from error
        self._written = 0
        self._line = bytearray()
        self._lines: deque[bytes] = deque(maxlen=TAIL_LINES)
        #: how many lines are still taken into the tail (negative: no end)
        self._more = -1
        self.symptom: tuple[str, str] | None = None
        #: whether anything has come at all
        self.silent = True

    def __enter__(self) -> ConsoleLog:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _at: TracebackType | None
    ) -> None:
        self._file.close()

    def feed(self, data: bytes) -> None:
        self.silent = False
        self._keep(data)
        for piece in data.splitlines(keepends=True):
            self._line += piece[: max(0, _MAX_LINE - len(self._line))]
            if piece.endswith((b"\n", b"\r")):
                self._end_line()

    def _keep(self, data: bytes) -> None:
        if self._written >= MAX_LOG:
            return
        data = data[: MAX_LOG - self._written]
        with host_errors(f"console log {self.path}"):
            self._file.write(data)
        self._written += len(data)
        if self._written >= MAX_LOG:
            self._file.write(b"\n[hullkit: the log ends here, the guest writes on]\n")

    def _end_line(self) -> None:
        line = bytes(self._line).strip()
        self._line.clear()
        if not line:
            return
        if self._more == 0:
            return
        self._lines.append(line)
        if self.symptom is not None:
            self._more -= 1
        else:
            text = _PREFIX.sub(b"", line)
            for pattern, culprit in _SYMPTOMS:
                if pattern.match(text):
                    self.symptom = (culprit, printable(text.decode(errors="replace"), 200))
                    self._more = AFTER_SYMPTOM
                    break

    def tail(self) -> list[str]:
        """The last lines, safe to print."""
        last = [*self._lines, *([bytes(self._line)] if self._line.strip() else [])]
        return [printable(line.decode(errors="replace"), 200) for line in last[-TAIL_LINES:]]
