"""Boot a system without a person, follow it until it is up, ask it for its checks, and switch it off."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from hullkit.context import Context
from hullkit.errors import ToolError
from hullkit.machine import ports
from hullkit.machine.boot import Boot
from hullkit.machine.consolelog import ConsoleLog, keep_log
from hullkit.machine.control import Container, printable
from hullkit.machine.launch import prepare
from hullkit.machine.monitor import Monitor
from hullkit.machine.options import MachineOptions, Publish
from hullkit.machine.ports import HttpCheck
from hullkit.machine.process import Stopped
from hullkit.machine.report import CheckReport, ContainerReport, Failure, GuestReport, HostReport, LogLine, Report
from hullkit.machine.session import Session

#: seconds until a system must be up with KVM; TCG is given twice that
TIMEOUT = 180.0
#: seconds for the answer to ``check``: a check may itself wait for a slow command
ANSWER = 60.0
#: seconds for an orderly end (services have 10 s each to stop, side by side)
POWER_OFF = 60.0
#: after a failure, for the answer and for the end
AFTERMATH = 10.0
#: seconds for each published port to answer
PORT = 8.0


def run_check(
    context: Context,
    boot: Boot,
    options: MachineOptions,
    *,
    http_checks: Sequence[HttpCheck] = (),
    hold: float = 0.0,
    console_log: Path | None = None,
) -> Report:
    """Boot and check; the report says ``ok``, or who is to blame.

    ``http_checks`` are asked from the host too where their port is published. ``hold``: seconds that the system stays
    up after its checks (SIGINT ends that early). The console goes to ``console_log``, else into the cache
    (``keep_log``). Raises HostError, ConfigError, NotFound or ToolError when the machine cannot even be started.
    """
    launch = prepare(context, boot, options)
    with ExitStack() as stack:
        work = stack.enter_context(context.cache.temp_dir())
        log = stack.enter_context(ConsoleLog(console_log or work / "console.log"))
        machine = stack.enter_context(launch.start(work, once=True))
        session = Session(machine, log, context.bus)
        run = Run(context, options, session, http_checks, hold, launch.accel)
        failures, checks = run.go()
        machine.kill()
        kept = console_log or keep_log(context.cache, log.path)
        return make_report(boot, options, session, launch.accel, failures, checks, kept)


class Run:
    """The course of one checked boot; ``go`` gives what failed and what the host itself checked."""

    def __init__(
        self,
        context: Context,
        options: MachineOptions,
        session: Session,
        http_checks: Sequence[HttpCheck],
        hold: float,
        accel: str,
    ) -> None:
        self._bus = context.bus
        self._options = options
        self._session = session
        self._http_checks = http_checks
        self._hold = hold
        self._slow = 1.0 if accel == "kvm" else 2.0

    def go(self) -> tuple[list[Failure], list[CheckReport]]:
        failures: list[Failure] = []
        checks: list[CheckReport] = []
        session = self._session
        if not self._boot():
            failures = [session.failure or self._too_slow()]
            self._raise_if_it_never_ran()
        elif self._options.publish:
            self._tell_published()
        if session.heard and not session.broken():
            failures += self._ask_for_checks(bool(failures))
        if not failures:
            checks = self._probe_ports()
            failures += [Failure(check.culprit, f"{check.name}: {check.message}") for check in checks if not check.ok]
        if not failures:
            self._stay()
        failures += [each for each in session.failures if each.culprit not in {known.culprit for known in failures}]
        failures += self._power_off(failures)
        return failures, checks

    def _boot(self) -> bool:
        session = self._session
        limit = self._options.timeout or TIMEOUT * self._slow
        with self._bus.step("boot"):
            session.wait(lambda: session.up is not None or session.failure is not None, limit)
        if session.up is None or session.failure is not None:
            return False
        self._bus.info(
            f"up {session.up.at:.1f} s after power-on ({session.up_cpu_seconds or 0:.1f} s of QEMU's CPU time)"
        )
        return True

    def _too_slow(self) -> Failure:
        session = self._session
        waiting = [one for one in session.containers.values() if is_awaited(one)]
        names = ", ".join(printable(one.name, 60) for one in waiting[:10])
        message = f"not up after {session.elapsed():.0f} s: it stopped {session.where()}"
        if names:
            return Failure(names, f"{message}, waiting for {names}")
        culprit = session.stages[-1].name if session.stages else ("firmware" if session.log.silent else "kernel")
        return Failure(culprit, message)

    def _raise_if_it_never_ran(self) -> None:
        machine = self._session.machine
        if machine.ended() and machine.exit_code and self._session.log.silent and not self._session.stages:
            raise ToolError(
                f"QEMU did not start: {machine.said() or f'exit status {machine.exit_code}'}",
                command=machine.shell_line,
            )

    def _tell_published(self) -> None:
        for port in self._options.publish:
            self._bus.info(
                f"published: {where_to_reach(port, self._http_checks)} leads to port {port.guest} of the guest"
            )

    def _ask_for_checks(self, failed: bool) -> list[Failure]:
        """What the guest's checks say is wrong; not of a failed boot, where they blame whatever was not ready yet."""
        session = self._session
        session.ask("check")
        patience = (AFTERMATH if failed else ANSWER) * self._slow
        with self._bus.step("checks"):
            session.wait(lambda: session.report is not None, patience)
        if failed:
            return []
        if session.report is None:
            why = f": {session.refused}" if session.refused else ""
            return [session.failure or Failure("init", f"no answer to the checks after {patience:.0f} s{why}")]
        return failures_of(session)

    def _probe_ports(self) -> list[CheckReport]:
        results: list[CheckReport] = []
        for port in self._options.publish:
            if port.protocol == "tcp":
                checks = [check for check in self._http_checks if check.port == port.guest]
                with self._bus.step(f"port {port.host}"):
                    results.append(self._probe_port(port, checks))
        return results

    def _probe_port(self, port: Publish, checks: Sequence[HttpCheck]) -> CheckReport:
        """In a thread, for the guest's console must be read meanwhile: a guest whose console is full stands still."""
        probe = ports.Probe(port, checks, PORT * self._slow, Monitor(self._session.machine.monitor))
        probe.start()
        self._session.wait(lambda: probe.result is not None, PORT * self._slow + ports.LONGEST)
        probe.give_up.set()
        name = f"port {port.host}"
        return probe.result or CheckReport(name, ok=False, culprit=f"port {port.guest}", message="no answer")

    def _stay(self) -> None:
        """Keep the system up as long as asked, or until it breaks down."""
        if self._hold > 0:
            self._bus.info(f"staying up for {self._hold:g} s (Ctrl-C ends that)")
            try:
                self._session.wait(lambda: self._session.failure is not None, self._hold)
            except Stopped as stopped:
                if stopped.signum != signal.SIGINT:
                    raise
        self._session.broken()

    def _power_off(self, before: list[Failure]) -> list[Failure]:
        session, machine = self._session, self._session.machine
        if not session.heard or session.broken():
            return []
        session.ask("poweroff")
        patience = (POWER_OFF if not before else AFTERMATH) * self._slow
        with self._bus.step("power off"):
            session.wait(machine.ended, patience)
        session.broken()  # takes in the last lines
        if session.log.symptom is not None and not before:
            return [Failure(*session.log.symptom)]
        if before or machine.exit_code == 0:
            return []
        if machine.exit_code is None:
            return [Failure("init", f"the machine did not power off within {patience:.0f} s")]
        return [Failure("qemu", f"QEMU ended with status {machine.exit_code}: {machine.said()}")]


def where_to_reach(port: Publish, http_checks: Sequence[HttpCheck]) -> str:
    web = port.protocol == "tcp" and (
        port.guest in (80, 8080) or any(check.port == port.guest for check in http_checks)
    )
    return f"{'http' if web else port.protocol}://{ports.address_of(port)}:{port.host}"


def is_awaited(container: Container) -> bool:
    """Whether a boot that is not up yet waits for this one; a service that has exited is on its way to a restart."""
    return container.state in ("starting", "running") or (container.kind == "service" and container.state == "exited")


def failures_of(session: Session) -> list[Failure]:
    """What the guest's report says is wrong: its checks, then containers that failed and that no check blames."""
    report = session.report
    assert report is not None
    found = []
    for check in report.checks:
        if not check.ok:
            message = printable(f"{check.name}: {check.message}" if check.message else check.name)
            found.append(Failure(printable(check.culprit or check.name, 100), message))
    named = {failure.culprit for failure in found}
    for container in report.containers:
        if container.state == "failed" and printable(container.name, 100) not in named:
            why = container.message or f"failed (exit status {container.exit})"
            found.append(Failure(printable(container.name, 100), printable(why)))
    return found


def make_report(
    boot: Boot,
    options: MachineOptions,
    session: Session,
    accel: str,
    failures: Sequence[Failure],
    checks: Sequence[CheckReport],
    log: Path,
) -> Report:
    machine = session.machine
    host = HostReport(
        arch=options.arch,
        accel=accel,
        cpus=options.cpus,
        mem=options.mem,
        kernel_bytes=boot.sizes.kernel,
        initrd_bytes=boot.sizes.initrd,
        disk_bytes=boot.sizes.disk,
        wall_seconds=round(session.elapsed(), 3),
        cpu_seconds=round(machine.cpu_seconds(), 3),
        up_seconds=round(session.up.at, 3) if session.up is not None else None,
        up_cpu_seconds=session.up_cpu_seconds,
        peak_bytes=machine.peak_bytes(),
        console_log=os.fspath(log),
    )
    guest = session.report
    if guest is None and session.containers:
        guest = GuestReport(version=1, containers=tuple(map(seen, session.containers.values())))
    return Report(
        version=1,
        ok=not failures,
        culprit=", ".join(dict.fromkeys(failure.culprit for failure in failures)),
        message="; ".join(failure.message for failure in failures),
        failures=tuple(failures),
        name=boot.name,
        stages=session.boot_stages(),
        guest=guest,
        ports=tuple(checks),
        host=host,
        logs=tuple(LogLine(printable(log.name, 100), printable(log.line, 200)) for log in session.last_lines),
        console=tuple(session.log.tail()) if failures else (),
    )


def seen(event: Container) -> ContainerReport:
    """A container as its latest event told it, for a guest that never came to report."""
    return ContainerReport(event.name, event.kind, event.state, event.exit, event.signal, event.restarts)
