"""The event bus: what a build tells while it works.

Library code emits; terminals, plain logs and ``--progress json`` listen (``hullkit.cli.progress``).
An event is cheap, carries no formatting, and may be emitted from any thread.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["started", "progress", "done", "cached", "failed", "info", "warning", "command"]


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened.

    ``step`` names a unit of work and pairs its events (``"fetch nginx"``); ``current`` and ``total`` are bytes
    (total 0: not known); ``seconds`` is the duration of a finished step; ``text`` is for info, warning and command.
    """

    kind: Kind
    step: str = ""
    text: str = ""
    current: int = 0
    total: int = 0
    seconds: float = 0.0


Listener = Callable[[Event], None]


@dataclass(slots=True)
class Bus:
    """Passes events to its listeners, one at a time."""

    listeners: list[Listener] = field(default_factory=list)
    _warned: set[str] = field(default_factory=set)
    _mutex: threading.Lock = field(default_factory=threading.Lock)

    def subscribe(self, listener: Listener) -> None:
        self.listeners.append(listener)

    def emit(self, event: Event) -> None:
        if not self.listeners:
            return
        with self._mutex:
            for listener in self.listeners:
                listener(event)

    def info(self, text: str) -> None:
        self.emit(Event("info", text=text))

    def warning(self, text: str) -> None:
        self.emit(Event("warning", text=text))

    def warning_once(self, text: str) -> None:
        """A warning that several parts of a run would give with the same words."""
        with self._mutex:
            known = text in self._warned
            self._warned.add(text)
        if not known:
            self.warning(text)

    def command(self, text: str) -> None:
        """A host command is about to run; shown with ``-v``."""
        self.emit(Event("command", text=text))

    def cached(self, step: str) -> None:
        self.emit(Event("cached", step=step))

    def progress(self, step: str, current: int, total: int) -> None:
        self.emit(Event("progress", step=step, current=current, total=total))

    @contextmanager
    def step(self, step: str) -> Iterator[None]:
        """Emit started, then done (or failed) around a block."""
        begun = time.monotonic()
        self.emit(Event("started", step=step))
        try:
            yield
        except BaseException:
            self.emit(Event("failed", step=step, seconds=time.monotonic() - begun))
            raise
        self.emit(Event("done", step=step, seconds=time.monotonic() - begun))
