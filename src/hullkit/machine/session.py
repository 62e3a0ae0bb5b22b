"""A machine under observation: console into the log, events into state, one loop without threads."""

from __future__ import annotations

import selectors
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from hullkit.events import Bus
from hullkit.machine import control
from hullkit.machine.consolelog import ConsoleLog
from hullkit.machine.control import Channel, printable
from hullkit.machine.process import Machine
from hullkit.machine.report import BootStage, Failure, GuestReport

_CHUNK = 1 << 16
#: the guest cannot make us remember more containers than this
_MAX_CONTAINERS = 1000
_MAX_STAGES = 100
_MAX_FAILURES = 100
#: after a panic the kernel still has something to say
_LAST_WORDS = 1.0


@dataclass(frozen=True, slots=True)
class Reached:
    """A stage: when it began by the guest's clock (since its kernel started) and by ours (since power-on)."""

    name: str
    uptime: float
    at: float


@dataclass(slots=True)
class Session:
    """What is known of a running system so far; ``pump`` makes it more."""

    machine: Machine
    log: ConsoleLog
    bus: Bus
    stages: list[Reached] = field(default_factory=list)
    containers: dict[str, control.Container] = field(default_factory=dict)
    last_lines: deque[control.Log] = field(default_factory=lambda: deque(maxlen=50))
    up: Reached | None = None
    up_cpu_seconds: float | None = None
    #: what said that this boot fails, each culprit once, the first one first
    failures: list[Failure] = field(default_factory=list)
    report: GuestReport | None = None
    _channel: Channel = field(init=False)
    _selector: selectors.BaseSelector = field(init=False)
    _open: int = 2
    _broken: bool = False

    def __post_init__(self) -> None:
        self._channel = Channel(self.machine.control)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self.machine.console, selectors.EVENT_READ)
        self._selector.register(self._channel, selectors.EVENT_READ)

    @property
    def failure(self) -> Failure | None:
        return self.failures[0] if self.failures else None

    @property
    def refused(self) -> str:
        """Why the latest line on the control channel was not understood, if there was one."""
        return printable(self._channel.garbage_reason, 200)

    @property
    def heard(self) -> bool:
        """Whether init has spoken on the control channel."""
        return bool(self.stages or self.containers or self.up or self.failures)

    def elapsed(self) -> float:
        """Seconds since power-on."""
        return time.monotonic() - self.machine.started

    def pump(self, seconds: float) -> None:
        """Take in what the machine says, waiting at most so long for some of it."""
        if not self._open:
            time.sleep(min(seconds, 0.05))
            return
        for key, _ in self._selector.select(seconds):
            if key.fileobj is self._channel:
                self._take_events()
            else:
                self._take_console()

    def _take_console(self) -> None:
        try:
            data = self.machine.console.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self.log.feed(data)
        else:
            self._selector.unregister(self.machine.console)
            self._open -= 1

    def _take_events(self) -> None:
        for event in self._channel.receive():
            self._take(event)
        if self._channel.closed:
            self._selector.unregister(self._channel)
            self._open -= 1

    def _take(self, event: control.Event) -> None:
        match event:
            case control.Stage() if len(self.stages) < _MAX_STAGES:
                self.stages.append(Reached(printable(event.name, 40), event.uptime, self.elapsed()))
            case control.Container() if event.name in self.containers or len(self.containers) < _MAX_CONTAINERS:
                self.containers[event.name] = event
                if event.state == "failed" and self.up is not None:
                    self._fail(event.name, event.message or "failed")
            case control.Log():
                self.last_lines.append(event)
            case control.Up() if self.up is None:
                self.up = Reached("up", event.uptime, self.elapsed())
                self.up_cpu_seconds = self.machine.cpu_seconds()
            case control.Failed():
                self._fail(event.culprit, event.message or "failed")
            case control.Fatal():
                self._fail("init", event.message)
            case control.Reported():
                self.report = event.report
            case _:
                pass

    def _fail(self, culprit: str, message: str) -> None:
        culprit = printable(culprit, 100)
        if len(self.failures) < _MAX_FAILURES and culprit not in {failure.culprit for failure in self.failures}:
            self.failures.append(Failure(culprit, printable(message)))

    def wait(self, until: Callable[[], bool], seconds: float) -> bool:
        """Pump until something holds; False when time is up, or the machine broke down before that."""
        deadline = time.monotonic() + seconds
        while not until():
            left = deadline - time.monotonic()
            if left <= 0 or self.broken():
                return until()
            self.pump(min(left, 0.25))
        return True

    def broken(self) -> bool:
        """Whether the machine is beyond talking to: QEMU gone, or a kernel that says it dies (``failure`` says so)."""
        ended = self.machine.ended()
        if self._broken or (self.log.symptom is None and not ended):
            return self._broken
        self._broken = True
        self._drain(0 if ended else _LAST_WORDS)
        if self.log.symptom is not None or self.machine.exit_code != 0 or not self.failures:
            # a power-off after init has said why is not news
            self._fail(*(self.log.symptom or self._how_it_ended()))
        return True

    def _drain(self, seconds: float) -> None:
        """Read on for so long, and in any case what lies there already."""
        deadline = time.monotonic() + seconds
        while self._open and (time.monotonic() < deadline or self._selector.select(0)):
            self.pump(max(0.0, min(0.1, deadline - time.monotonic())))

    def _how_it_ended(self) -> tuple[str, str]:
        code = self.machine.exit_code or 0
        if code == 0 and not self.heard:
            return "kernel", f"the machine restarted {self.where()} (is there enough memory?)"
        if code == 0:
            return "boot", f"the machine powered off or restarted by itself, {self.where()}"
        said = printable(" ".join(self.machine.said().split()), 300)
        how = f"signal {-code}" if code < 0 else f"exit status {code}"
        return "qemu", f"QEMU ended with {how}, {self.where()}" + (f": {said}" if said else "")

    def where(self) -> str:
        """The stage reached, for people."""
        if self.up is not None:
            return "after it was up"
        if self.stages:
            return f"in stage {self.stages[-1].name}"
        return "before the kernel wrote anything" if self.log.silent else "before init reported"

    def ask(self, command: control.Command) -> bool:
        return self._channel.send(command)

    def boot_stages(self) -> tuple[BootStage, ...]:
        """Firmware (power-on to the kernel's clock starting), kernel, then the guest's own, each with its duration."""
        marks = [stage for stage in self.stages if stage.name != "up"]
        if self.up is not None:
            marks.append(self.up)
        if not marks:
            return ()
        # Power-on to kernel start: our clock when a message came, less the guest's uptime in it, of the message that
        # was the least time under way. (Those of the beginning wait for the driver of the channel.)
        start = max(0.0, min(mark.at - mark.uptime for mark in marks))
        begins = [("firmware", 0.0), ("kernel", start), *((mark.name, start + mark.uptime) for mark in marks)]
        ends = [at for _, at in begins[1:]] + [begins[-1][1]]
        return tuple(
            BootStage(name, round(at, 3), round(max(0.0, end - at), 3))
            for (name, at), end in zip(begins, ends, strict=True)
        )
