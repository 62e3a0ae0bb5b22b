"""Squarified treemaps (Bruls, Huizing, van Wijk: Squarified Treemaps, 2000)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle; ``x`` and ``y`` are its upper left corner."""

    x: float
    y: float
    width: float
    height: float

    def inset(self, margin: float, top: float) -> Box:
        """The inside, with room for a heading."""
        width, height = max(0.0, self.width - 2 * margin), max(0.0, self.height - margin - top)
        return Box(self.x + margin, self.y + top, width, height)


def squarify(sizes: Sequence[float], box: Box) -> list[Box]:
    """A box for each size (largest first, none negative), areas in proportion, near to squares; they fill ``box``."""
    whole = sum(sizes)
    if whole <= 0 or box.width <= 0 or box.height <= 0:
        return [Box(box.x, box.y, 0.0, 0.0) for _ in sizes]
    areas = [size * box.width * box.height / whole for size in sizes]
    made: list[Box] = []
    start = 0
    while start < len(areas):
        side = min(box.width, box.height)
        end = start + 1
        while end < len(areas) and _worst(areas[start : end + 1], side) <= _worst(areas[start:end], side):
            end += 1
        row, box = _row(areas[start:end], box)
        made += row
        start = end
    return made


def _worst(areas: Sequence[float], side: float) -> float:
    """The largest ratio of sides in a row of these areas along ``side``."""
    total = sum(areas)
    smallest = min(areas)
    if total <= 0 or smallest <= 0 or side <= 0:
        return float("inf")
    return max(side * side * max(areas) / total**2, total**2 / (side * side * smallest))


def _row(areas: Sequence[float], box: Box) -> tuple[list[Box], Box]:
    """The row along the shorter side, and what is left of the box."""
    total = sum(areas)
    row: list[Box] = []
    if box.width >= box.height:
        width = total / box.height if box.height else 0.0
        y = box.y
        for area in areas:
            height = area / width if width else 0.0
            row.append(Box(box.x, y, width, height))
            y += height
        return row, Box(box.x + width, box.y, max(0.0, box.width - width), box.height)
    height = total / box.width
    x = box.x
    for area in areas:
        width = area / height if height else 0.0
        row.append(Box(x, box.y, width, height))
        x += width
    return row, Box(box.x, box.y + height, box.width, max(0.0, box.height - height))
