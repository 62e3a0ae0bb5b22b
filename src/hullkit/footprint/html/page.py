"""The page: figures, treemap and tree, memory, boot, attack surface."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from hullkit.footprint.html.disk import size, tree, treemap
from hullkit.footprint.html.style import COLOURS, CSS
from hullkit.footprint.model import Boot, Footprint, Memory, Share, Spread, Surface

#: colours by kind of memory, the same as those of the pieces of containers
_KINDS = {"system": COLOURS[0], "cache": COLOURS[1], "tmpfs": COLOURS[2], "kernel": COLOURS[3]}
_OTHER = "#9aa4b0"
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def page(footprint: Footprint) -> str:
    """The whole report as one HTML document."""
    title = escape(f"Footprint of {footprint.name}")
    body = [
        f'<header><h1>{title}</h1><p class="faint">{escape(footprint.arch)}, layout {escape(footprint.layout)}, '
        f"{escape(footprint.disk.format)}</p></header>",
        _figures(footprint),
        '<nav aria-label="Parts"><a href="#disk">Disk</a><a href="#memory">Memory</a><a href="#boot">Boot</a>'
        '<a href="#surface">Attack surface</a></nav>',
        "<main>",
        *_disk(footprint),
        *_memory(footprint.memory),
        *_boot(footprint.boot),
        *_surface(footprint.surface),
        "</main>",
    ]
    head = (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{CSS}</style></head>\n<body>\n"
    )
    return head + "\n".join(body) + "\n</body></html>\n"


def _figures(footprint: Footprint) -> str:
    figures = [(size(footprint.disk.bytes), "on disk")]
    if footprint.memory is not None:
        figures.append((size(footprint.memory.used), f"of {size(footprint.memory.total)} memory in use"))
        if footprint.memory.minimum is not None:
            figures.append((f"{footprint.memory.minimum} MiB", "smallest machine that works"))
    if footprint.boot is not None:
        figures.append((f"{footprint.boot.up.median:.1f} s", f"until up ({footprint.boot.accel})"))
    figures.append((str(len(footprint.surface.privileged)), "programs that raise privileges"))
    if footprint.surface.ports is not None:
        figures.append((str(sum(not port.private for port in footprint.surface.ports)), "open ports"))
    items = "".join(f"<li><b>{escape(value)}</b>{escape(name)}</li>" for value, name in figures)
    return f'<ul class="figures">{items}</ul>'


def _disk(footprint: Footprint) -> Iterator[str]:
    disk = footprint.disk
    yield f'<section aria-labelledby="disk"><h2 id="disk">Disk: {size(disk.bytes)}</h2>'
    root = f", root {size(disk.root)}" if disk.root else ""
    yield f"<p>Kernel {size(disk.kernel)}, initramfs {size(disk.initrd)}{root}. Every byte has one owner; what several "
    yield "containers use is there, and counted, once.</p>"
    yield f"<figure>{treemap(disk)}<figcaption>Areas are bytes in the image. A component leads to its packages and "
    yield "files in the list below.</figcaption></figure>"
    yield f"<h3>Components, packages, files</h3>{tree(disk)}</section>"


def _row(name: str, track: str, value: str) -> str:
    bar = f'<span class="track" aria-hidden="true">{track}</span>'
    return f'<div class="row"><span>{escape(name)}</span>{bar}<span>{escape(value)}</span></div>'


def _piece(count: int, whole: int, colour: str) -> str:
    return f'<span class="piece" style="width:{100 * max(0, count) / whole:.3f}%;background:{colour}"></span>'


def _memory(memory: Memory | None) -> Iterator[str]:
    yield '<section aria-labelledby="memory">'
    if memory is None:
        yield '<h2 id="memory">Memory</h2><p>Not measured: the system was not booted.</p></section>'
        return
    yield f'<h2 id="memory">Memory: {size(memory.used)} of {size(memory.total)} in use</h2>'
    yield "<p>In use is what is neither free nor cache of files. The parts sum up to the memory of the machine.</p>"
    shown = [share for share in memory.shares if share.kind != "free"]
    whole = max(1, max(share.bytes for share in shown))
    kinds = ("programs", "cached files", "tmpfs", "kernel")
    keys = "".join(
        f'<span class="key" style="background:{COLOURS[index]}"></span>{name}' for index, name in enumerate(kinds)
    )
    yield f'<p class="faint">Of containers:{keys}</p>'
    for share in sorted(shown, key=lambda each: -each.bytes):
        yield _row(share.name, "".join(_pieces(share, whole)), size(share.bytes))
    free = sum(share.bytes for share in memory.shares if share.kind == "free")
    yield f'<p class="faint">Free beside these: {size(free)}.</p></section>'


def _pieces(share: Share, whole: int) -> Iterator[str]:
    if share.kind != "container":
        yield _piece(
            share.bytes,
            whole,
            _KINDS.get(share.kind, _OTHER),
        )
        return
    tmpfs = share.tmpfs or 0
    parts = (share.anonymous or 0, (share.file or 0) - tmpfs, tmpfs, share.kernel or 0)
    for index, count in enumerate(parts):
        yield _piece(count, whole, COLOURS[index])


def _spread(spread: Spread) -> str:
    return f"{spread.median:.2f} s" + (f" ±{(spread.high - spread.low) / 2:.2f}" if spread.high > spread.low else "")


def _boot(boot: Boot | None) -> Iterator[str]:
    yield '<section aria-labelledby="boot">'
    if boot is None:
        yield '<h2 id="boot">Boot</h2><p>Not measured: the system was not booted.</p></section>'
        return
    yield f'<h2 id="boot">Boot: up after {boot.up.median:.1f} s</h2>'
    runs = f"{boot.runs} run{'s' if boot.runs > 1 else ''}"
    cpu = f", {_spread(boot.cpu)} of CPU time until then" if boot.cpu is not None else ""
    yield f"<p>{runs} with {escape(boot.accel)}, {boot.cpus} CPUs, {boot.mem} MiB: {_spread(boot.up)}{cpu}. "
    yield "Stages follow each other; containers are shown from the stage that starts them until they are ready.</p>"
    end = max([boot.up.median, *(stage.begin.median + stage.seconds.median for stage in boot.timeline)]) or 1.0
    for stage in boot.timeline:
        colour = COLOURS[0] if stage.kind == "stage" else COLOURS[2] if stage.kind == "service" else COLOURS[5]
        left, width = 100 * stage.begin.median / end, 100 * stage.seconds.median / end
        bar = f'<span class="bar" style="left:{left:.2f}%;width:{width:.2f}%;background:{colour}"></span>'
        name = stage.name if stage.kind == "stage" else f"{stage.name} ({stage.kind})"
        yield _row(name, bar, _spread(stage.seconds))
    yield "</section>"


def _table(caption: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in heads)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    table = f"<table><caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="scroll" tabindex="0" role="group" aria-label="{escape(caption)}">{table}</div>'


def _surface(surface: Surface) -> Iterator[str]:
    yield '<section aria-labelledby="surface"><h2 id="surface">Attack surface</h2>'
    files = sum(each.files for each in surface.executables)
    yield f"<p>{files} files that can be executed, {surface.modules} kernel modules. The root file system is written "
    yield f"in {escape(', '.join(surface.writable))} only.</p>"
    if surface.ports is None:
        yield "<p>Listening ports: not known, the system was not booted.</p>"
    elif surface.ports:
        ports = [
            [
                str(each.port),
                each.protocol,
                each.address,
                each.container or "system",
                "its own" if each.private else "shared",
            ]
            for each in surface.ports
        ]
        yield _table("Listening ports", ("Port", "Protocol", "Address", "Container", "Network"), ports)
    else:
        yield "<p>Nothing listens.</p>"
    if surface.privileged:
        programs = [
            [f"/{each.path}", each.mode, "yes" if each.capabilities else "no", each.component, ", ".join(each.users)]
            for each in surface.privileged
        ]
        yield _table(
            "Programs that raise privileges", ("File", "Mode", "Capabilities", "Component", "Seen by"), programs
        )
    rows = [
        [
            each.name,
            each.kind,
            each.user,
            ", ".join(each.capabilities) or "none",
            ", ".join(each.writable) or "nothing",
            each.seccomp,
            "own" if each.own_network else "shared",
            str(each.executables),
        ]
        for each in surface.containers
    ]
    heads = ("Container", "Kind", "User", "Capabilities", "Writes", "Seccomp", "Network", "Executables")
    yield _table("Containers", heads, rows)
    kernel = ", ".join(f"{name}: {value}" for name, value in surface.kernel_options.items())
    yield f'<p class="faint">Kernel {escape(kernel)}</p></section>'
