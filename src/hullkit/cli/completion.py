"""hullkit completion: the script that teaches a shell hullkit's commands and options."""

from __future__ import annotations

import click


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the completion script for SHELL; for bash: source <(hullkit completion bash)"""
    from click.shell_completion import get_completion_class

    from hullkit.cli import cli

    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(cli, {}, "hullkit", "_HULLKIT_COMPLETE").source())
