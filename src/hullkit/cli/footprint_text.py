"""A footprint, and the difference of two, as text for a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from hullkit.machine.control import printable

if TYPE_CHECKING:
    from hullkit.footprint.diff import Change, Difference
    from hullkit.footprint.model import Boot, Footprint, Memory, Spread, Surface

_NAME = 44
#: more of them are no table; --json has all
_COMPONENTS = 50
#: include/uapi/linux/capability.h, since Linux 5.9
_ALL_CAPABILITIES = 41


def render(footprint: Footprint, depth: int) -> str:
    """Sections for disk, memory, boot and attack surface; ``depth`` files are named of each component."""
    lines = [f"{footprint.name} ({footprint.arch}, {footprint.layout})"]
    lines += ["disk", *_indent(_disk(footprint, depth))]
    if footprint.memory is not None:
        lines += ["memory", *_indent(_memory(footprint.memory))]
    if footprint.boot is not None:
        lines += ["boot", *_indent(_boot(footprint.boot))]
    lines += ["attack surface", *_indent(_surface(footprint.surface))]
    return "\n".join(lines) + "\n"


def _indent(lines: Iterator[str]) -> list[str]:
    return [f"    {line}" for line in lines]


def size(count: float) -> str:
    """Bytes with three significant digits or more."""
    if abs(count) >= 1e6:
        return f"{count / 1e6:.2f} MB"
    return f"{count / 1e3:.1f} kB" if abs(count) >= 1e3 else f"{count:.0f} B"


def _name(text: str, indent: int = 0) -> str:
    return f"{' ' * indent}{printable(text, _NAME - indent):{_NAME - indent}}"


def _path(text: str, indent: int = 0) -> str:
    """A path whose end is seen when it is too long."""
    room = _NAME - indent
    shown = printable(text, len(text) + 1)
    return f"{' ' * indent}{shown if len(shown) <= room else '…' + shown[1 - room :]:{room}}"


def _disk(footprint: Footprint, depth: int) -> Iterator[str]:
    disk = footprint.disk
    files_of = f"kernel {size(disk.kernel)}, initramfs {size(disk.initrd)}"
    files_of += f", root {size(disk.root)}" if disk.root else ""
    yield f"{_name(disk.format)}  {size(disk.bytes):>10}  ({files_of})"
    parts: dict[str, list[int]] = {}
    for index, part in enumerate(disk.parts):
        parts.setdefault(part.component, []).append(index)
    sums = {name: sum(disk.parts[index].bytes for index in found) for name, found in parts.items()}
    named = sorted(parts, key=lambda name: (-sums[name], name))
    for component in named[:_COMPONENTS]:
        own = [disk.parts[index] for index in parts[component]]
        users = sorted({user for part in own for user in part.users})
        shared = f"  shared by {', '.join(users)}" if any(len(part.users) > 1 for part in own) else ""
        yield f"{_name(component)}  {size(sums[component]):>10}  {sums[component] / disk.bytes:6.1%}{shared}"
        files = [(file.bytes, file.path, part.package) for part in own for file in part.files if file.bytes]
        for count, path, package in sorted(files, key=lambda row: (-row[0], row[1]))[:depth]:
            yield f"{_path(path, 2)}  {size(count):>10}          {package}".rstrip()
    if more := named[_COMPONENTS:]:
        rest = sum(sums[name] for name in more)
        yield f"{_name(f'{len(more)} smaller components')}  {size(rest):>10}  {rest / disk.bytes:6.1%}"


def _memory(memory: Memory) -> Iterator[str]:
    for share in memory.shares:
        more = ""
        if share.kind == "container":
            kinds = {"programs": share.anonymous, "files": share.file, "tmpfs": share.tmpfs, "kernel": share.kernel}
            more = "  " + ", ".join(f"{name} {size(count)}" for name, count in kinds.items() if count)
        yield f"{_name(share.name)}  {size(share.bytes):>10}{more}"
    yield f"{_name('in all')}  {size(memory.total):>10}  {size(memory.used)} of it neither free nor cache"
    if memory.minimum is not None:
        yield f"{_name('smallest that works')}  {memory.minimum} MiB"


def _spread(spread: Spread) -> str:
    return f"{spread.median:6.2f} s" + (
        f"  ({spread.low:.2f} to {spread.high:.2f})" if spread.low < spread.high else ""
    )


def _boot(boot: Boot) -> Iterator[str]:
    runs = f"{boot.runs} run{'s' if boot.runs > 1 else ''}"
    yield f"{_name('up')}  {_spread(boot.up)}  {runs}, {boot.accel}, {boot.cpus} CPUs, {boot.mem} MiB"
    if boot.cpu is not None:
        yield f"{_name('CPU time until up')}  {_spread(boot.cpu)}"
    for stage in boot.timeline:
        name = stage.name if stage.kind == "stage" else f"  {stage.name} ({stage.kind})"
        yield f"{_name(name)}  {_spread(stage.seconds)}  from {stage.begin.median:.2f} s"


def _surface(surface: Surface) -> Iterator[str]:
    programs = sum(each.files for each in surface.executables)
    yield f"{programs} programs and libraries that can be executed, {surface.modules} kernel modules"
    yield f"{len(surface.privileged)} programs that raise privileges"
    for each in surface.privileged:
        more = " with capabilities" if each.capabilities else ""
        yield f"  {each.mode} /{printable(each.path, 80)} of {printable(each.component, 60)}{more}"
    if surface.ports is None:
        yield "listening ports: not known without a boot"
    for port in surface.ports or ():
        where = "its own network" if port.private else port.address
        yield f"listens: {port.protocol} {port.port} ({where}): {printable(port.container, 40) or 'system'}"
    yield f"the root is written in {' '.join(surface.writable)}"
    for container in surface.containers:
        yield f"{printable(container.name, 40)} ({container.kind}, user {container.user}, seccomp {container.seccomp})"
        yield f"  capabilities: {_capabilities(container.capabilities)}"
        yield f"  writes: {' '.join(container.writable) or 'nothing'}"


def _capabilities(names: Sequence[str]) -> str:
    return f"all {len(names)}" if len(names) >= _ALL_CAPABILITIES else " ".join(names) or "none"


def render_difference(found: Difference, depth: int) -> str:
    lines = [_changed(found.disk, size)]
    for each in found.components:
        lines.append(f"  {_name(each.component)}  {_delta(each.after - each.before):>12}")
        for file in each.files[:depth]:
            lines.append(f"    {_path(file.path)}  {_delta(file.after - file.before):>10}  {file.package}".rstrip())
        if len(each.files) > depth:
            lines.append(f"    and {len(each.files) - depth} more files")
    for sign, programs in (("+", found.programs_added), ("-", found.programs_removed)):
        for program in programs:
            what = f"program that raises privileges: {program.mode} /{printable(program.path, 80)}"
            lines.append(f"{sign} {what} of {printable(program.component, 60)}")
    for sign, ports in (("+", found.ports_added), ("-", found.ports_removed)):
        for one in ports:
            where = f"{printable(one.port.container, 60) or 'system'} ({printable(one.component, 60)})"
            lines.append(f"{sign} listening port: {one.port.protocol} {one.port.port} of {one.port.address}: {where}")
    for sign, rights in (("+", found.rights_added), ("-", found.rights_removed)):
        lines += [
            f"{sign} {printable(each.container, 60)} ({printable(each.component, 60)}): {each.what}" for each in rights
        ]
    lines += _section("memory", found.memory, size)
    lines += _section("boot", found.boot, lambda seconds: f"{seconds:.2f} s")
    return "\n".join(lines) + "\n"


def _section(title: str, changes: Sequence[Change], show: Callable[[float], str]) -> list[str]:
    return [title, *(f"  {_changed(change, show)}" for change in changes)] if changes else []


def _changed(change: Change, show: Callable[[float], str]) -> str:
    before = "-" if change.before is None else show(change.before)
    after = "-" if change.after is None else show(change.after)
    return f"{_name(change.name)}  {before:>10} → {after}"


def _delta(count: int) -> str:
    return ("+" if count > 0 else "") + size(count)
