"""Tables on standard output."""

from __future__ import annotations

from collections.abc import Sequence

import click


def table(head: list[str], rows: Sequence[Sequence[object]]) -> None:
    """Columns as wide as their widest cell; numbers to the right."""
    cells = [head, *([f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    numbers = [bool(rows) and isinstance(rows[0][column], int) for column in range(len(head))]
    for row in cells:
        parts = (
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(row, widths, numbers, strict=True)
        )
        click.echo("  ".join(parts).rstrip())
