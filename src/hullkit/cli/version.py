"""hullkit version"""

from __future__ import annotations

import click

from hullkit import __version__


@click.command()
def command() -> None:
    """Print the version."""
    click.echo(f"hullkit {__version__}")
