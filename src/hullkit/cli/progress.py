"""Listeners of the event bus: bars on a terminal, lines in a log, JSON lines for programs. All write to stderr."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from hullkit.events import Bus, Event

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

#: a log line for a long transfer at most every so many seconds
LOG_EVERY = 5.0
#: steps quicker than this (seconds) leave no line in a log or on a terminal
WORTH_TELLING = 0.2


def megabytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB"


class JsonLines:
    """One JSON object a line: kind, step, text, current, total, seconds (empty fields left out), and a time stamp."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __call__(self, event: Event) -> None:
        fields: dict[str, Any] = {"time": round(time.time(), 3), "kind": event.kind}
        for name in ("step", "text", "current", "total", "seconds"):
            if value := getattr(event, name):
                fields[name] = round(value, 3) if isinstance(value, float) else value
        self._stream.write(json.dumps(fields, ensure_ascii=False) + "\n")
        self._stream.flush()


class Lines:
    """Plain lines, for logs and pipes."""

    def __init__(self, stream: TextIO, *, verbose: bool, quiet: bool) -> None:
        self._stream = stream
        self._verbose = verbose
        self._quiet = quiet
        self._told: dict[str, float] = {}

    def _write(self, text: str) -> None:
        self._stream.write(f"hullkit: {text}\n")
        self._stream.flush()

    def __call__(self, event: Event) -> None:
        if event.kind == "warning":
            self._write(f"warning: {event.text}")
        elif event.kind == "command":
            if self._verbose:
                self._write(f"+ {event.text}")
        elif self._quiet:
            return
        elif event.kind == "info":
            self._write(event.text)
        elif event.kind == "cached":
            if self._verbose:
                self._write(f"{event.step}: cached")
        elif event.kind == "done":
            self._told.pop(event.step, None)
            if self._verbose or event.seconds >= WORTH_TELLING:
                self._write(f"{event.step} ({event.seconds:.1f} s)")
        elif event.kind == "progress":
            self._progress(event)

    def _progress(self, event: Event) -> None:
        now = time.monotonic()
        last = self._told.setdefault(event.step, now)
        if now - last >= LOG_EVERY:
            self._told[event.step] = now
            of = f" of {megabytes(event.total)}" if event.total else ""
            self._write(f"{event.step}: {megabytes(event.current)}{of}")


class Bars:
    """A live display for a person at a terminal: a bar for each step that takes long, a line for each finished one."""

    def __init__(self, *, verbose: bool, quiet: bool) -> None:
        self._lines = Lines(sys.stderr, verbose=verbose, quiet=quiet)
        self._quiet = quiet
        self._display: Progress | None = None
        self._tasks: dict[str, TaskID] = {}

    def _progress(self) -> Progress:
        # rich costs 0.1 s to import: only when something takes long enough to need a bar
        if self._display is None:
            from rich.console import Console
            from rich.progress import BarColumn, DownloadColumn, Progress, SpinnerColumn, TextColumn

            columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), DownloadColumn())
            self._display = Progress(*columns, console=Console(stderr=True), transient=True)
            self._display.start()
        return self._display

    def __call__(self, event: Event) -> None:
        if event.kind == "progress" and not self._quiet:
            display = self._progress()
            if event.step not in self._tasks:
                self._tasks[event.step] = display.add_task(event.step, total=event.total or None)
            display.update(self._tasks[event.step], completed=event.current, total=event.total or None)
            return
        if event.kind in ("done", "failed") and self._display is not None and event.step in self._tasks:
            self._display.remove_task(self._tasks.pop(event.step))
        if self._display is not None and not self._tasks:
            self.close()
        if self._display is not None:
            self._display.stop()
            self._lines(event)
            self._display.start()
        else:
            self._lines(event)

    def close(self) -> None:
        if self._display is not None:
            self._display.stop()
            self._display = None
            self._tasks.clear()


@contextmanager
def listening(bus: Bus, progress: str, *, verbose: bool, quiet: bool) -> Iterator[None]:
    """Attach the listener that ``--progress`` asks for; a terminal is left as it was found."""
    if progress == "none":
        bus.subscribe(_warnings_only)
        yield
    elif progress == "json":
        bus.subscribe(JsonLines(sys.stderr))
        yield
    elif progress == "plain" or not sys.stderr.isatty():
        bus.subscribe(Lines(sys.stderr, verbose=verbose, quiet=quiet))
        yield
    else:
        bars = Bars(verbose=verbose, quiet=quiet)
        bus.subscribe(bars)
        try:
            yield
        finally:
            bars.close()


def _warnings_only(event: Event) -> None:
    if event.kind == "warning":
        sys.stderr.write(f"hullkit: warning: {event.text}\n")
