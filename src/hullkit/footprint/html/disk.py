"""The disk as a treemap, and the same as a tree to walk through."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from hullkit.footprint.html.style import COLOURS
from hullkit.footprint.html.treemap import Box, squarify
from hullkit.footprint.model import Disk, Part

_WIDTH, _HEIGHT = 1000.0, 520.0
_MARGIN, _HEAD = 2.0, 20.0
#: about what a letter takes at 13 px
_LETTER = 7.2
#: a package that is so small a part of the image gets no box of its own text
_LINE = 17.0


def size(count: float) -> str:
    if abs(count) >= 1e6:
        return f"{count / 1e6:.2f} MB"
    return f"{count / 1e3:.1f} kB" if abs(count) >= 1e3 else f"{count:.0f} B"


def components(disk: Disk) -> list[tuple[str, int, list[Part]]]:
    """Components with their bytes and parts, the largest first."""
    found: dict[str, list[Part]] = {}
    for part in disk.parts:
        found.setdefault(part.component, []).append(part)
    sums = [(name, sum(part.bytes for part in parts), parts) for name, parts in found.items()]
    return sorted(sums, key=lambda row: (-row[1], row[0]))


def package_name(part: Part) -> str:
    return part.package.partition("_")[0] or "own files"


def users_text(part: Part) -> str:
    return f"shared by {', '.join(part.users)}" if len(part.users) > 1 else f"in {', '.join(part.users)}"


def _fitting(text: str, width: float) -> str:
    room = int((width - 8) / _LETTER)
    if len(text) <= room:
        return text
    return text[: room - 1] + "…" if room >= 4 else ""


def treemap(disk: Disk) -> str:
    rows = components(disk)
    boxes = squarify([count for _, count, _ in rows], Box(0, 0, _WIDTH, _HEIGHT))
    label = f"Treemap of {size(disk.bytes)}: " + ", ".join(f"{name} {size(count)}" for name, count, _ in rows[:8])
    pieces = [f'<svg viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" role="group" aria-label="{escape(label)}">']
    for index, ((name, count, parts), box) in enumerate(zip(rows, boxes, strict=True)):
        pieces += _component(index, name, count, parts, box, disk.bytes)
    return "\n".join([*pieces, "</svg>"])


def _rect(box: Box, colour: str, extra: str = "") -> str:
    place = f'x="{box.x:.1f}" y="{box.y:.1f}" width="{box.width:.1f}" height="{box.height:.1f}"'
    return f'<rect {place} fill="{colour}"{extra}/>'


def _component(index: int, name: str, count: int, parts: list[Part], box: Box, whole: int) -> Iterator[str]:
    colour = COLOURS[index % len(COLOURS)]
    said = escape(f"{name}: {size(count)}, {count / whole:.1%} of the image")
    yield f'<a href="#component-{index}" aria-label="{said}"><title>{said}</title>'
    yield _rect(box, colour)
    head = _HEAD if box.height > 2 * _HEAD and _fitting(name, box.width) else 0.0
    if head:
        text = _fitting(f"{name} {size(count)}", box.width) if box.width > 130 else _fitting(name, box.width)
        yield f'<text class="head" x="{box.x + 6:.1f}" y="{box.y + 15:.1f}">{escape(text)}</text>'
        inner = squarify([part.bytes for part in parts], box.inset(_MARGIN, head))
        for part, place in zip(parts, inner, strict=True):
            yield from _package(part, place)
    elif box.height > _LINE and (text := _fitting(name, box.width)):
        yield f'<text class="head" x="{box.x + 4:.1f}" y="{box.y + 14:.1f}">{escape(text)}</text>'
    # inside of the box, and last, so that no neighbour covers it
    yield _rect(box.inset(3, 3), "none", ' class="ring"')
    yield "</a>"


def _package(part: Part, box: Box) -> Iterator[str]:
    if box.width < 2 or box.height < 2:
        return
    said = escape(f"{part.component} / {package_name(part)}: {size(part.bytes)}, {users_text(part)}")
    veil = _rect(box, "#ffffff", ' fill-opacity=".35"')
    yield f"<g><title>{said}</title>{veil}"
    text = _fitting(package_name(part), box.width)
    if text and box.height > _LINE:
        yield f'<text x="{box.x + 5:.1f}" y="{box.y + 14:.1f}">{escape(text)}</text>'
        if box.height > 2.2 * _LINE:
            figure = escape(_fitting(size(part.bytes), box.width))
            yield f'<text x="{box.x + 5:.1f}" y="{box.y + 30:.1f}">{figure}</text>'
    yield "</g>"


def tree(disk: Disk) -> str:
    """Component → package → file, to open and close."""
    pieces = []
    for index, (name, count, parts) in enumerate(components(disk)):
        share = f"{size(count)} · {count / disk.bytes:.1%}"
        tag = ' <span class="tag">shared</span>' if any(len(part.users) > 1 for part in parts) else ""
        pieces.append(
            f'<details><summary>{escape(name)}{tag}<span class="n">{share}</span></summary>'
            f'<div id="component-{index}">'  # a link to what lies inside opens it
        )
        for part in parts:
            about = escape(f"{part.package or 'own files'}")
            layer = f" · layer {part.layer.removeprefix('sha256:')[:12]}" if part.layer else ""
            note = f' <span class="faint">{escape(users_text(part))}{layer}</span>'
            pieces.append(f'<details><summary>{about}{note}<span class="n">{size(part.bytes)}</span></summary><ul>')
            for file in part.files:
                figures = f"{size(file.bytes)} of {size(file.size)}" if file.bytes != file.size else size(file.bytes)
                pieces.append(f'<li><span class="n">{figures}</span>{escape(file.path)}</li>')
            pieces.append("</ul></details>")
        pieces.append("</div></details>")
    return "\n".join(pieces)
