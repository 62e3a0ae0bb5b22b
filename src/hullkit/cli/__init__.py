"""The command line: the only floor that prints or exits.

Each command is a module of this package with a click command named ``command``; it is imported only when it is
called, so that ``hullkit --help`` stays quick.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any, NoReturn

import click

from hullkit import __version__
from hullkit.errors import HostError, HullError, ToolError

#: command -> (module below hullkit.cli, one line of help)
COMMANDS = {
    "build": ("build", "Build a system from YAML into one or more formats."),
    "run": ("run", "Build a system and boot it in a virtual machine."),
    "footprint": ("footprint", "Tell what a system costs: disk, memory, boot time, attack surface."),
    "lint": ("lint", "Check configuration files and say what is wrong, and where."),
    "lock": ("lock", "Pin everything a system is made of."),
    "cache": ("cache", "Look into the cache; move images between it, registries and archives."),
    "component": ("component", "List, show, build and begin components."),
    "schema": ("schema", "Print the JSON Schema of the configuration."),
    "completion": ("completion", "Print the completion script for a shell."),
    "version": ("version", "Print the version."),
}

#: raised by a bug of ours; sysexits.h EX_SOFTWARE
EXIT_INTERNAL = 70
EXIT_INTERRUPTED = 130


class LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"hullkit.cli.{COMMANDS[cmd_name][0]}")
        command = module.command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from difflib import get_close_matches

            near = get_close_matches(args[0], COMMANDS, 1)
            hint = f"did you mean {near[0]!r}?" if near else "see hullkit --help"
            raise click.UsageError(f"no such command {args[0]!r} ({hint})")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        # click's own would import every command to ask for its help.
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="hullkit")
def cli() -> None:
    """Build small, hardened, immutable Linux systems out of containers, and boot them."""


def fail(error: HullError) -> NoReturn:
    """End with one line on stderr (the last one), and the exit code of the error's kind."""
    if isinstance(error, ToolError) and error.command:
        sys.stderr.write(f"hullkit: the command was: {error.command}\n")
    text = str(error)
    sys.stderr.write(f"hullkit: error: {text if len(text) <= 380 else text[:379] + '…'}\n")
    sys.exit(error.exit_code)


def _internal(error: BaseException) -> NoReturn:
    import tempfile
    import traceback

    with tempfile.NamedTemporaryFile("w", prefix="hullkit-crash-", suffix=".txt", delete=False) as report:
        traceback.print_exception(error, file=report)
    sys.stderr.write(f"hullkit: error: internal error, {type(error).__name__}: please report it with {report.name}\n")
    sys.exit(EXIT_INTERNAL)


def main(args: list[str] | None = None) -> Any:
    """Entry point: turns every exception into a message and an exit code."""
    import errno

    try:
        result = cli.main(args=args, prog_name="hullkit", standalone_mode=False)
        sys.stdout.flush()
        sys.exit(result if isinstance(result, int) else 0)
    except HullError as error:
        fail(error)
    except click.ClickException as error:
        if isinstance(error, click.UsageError) and error.ctx is not None:
            sys.stderr.write(f"usage: see {error.ctx.command_path} --help\n")
        sys.stderr.write(f"hullkit: error: {' '.join(error.format_message().split())}\n")
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        sys.stderr.write("hullkit: interrupted\n")
        sys.exit(EXIT_INTERRUPTED)
    except OSError as error:
        if error.errno == errno.EPIPE:
            sys.stderr.close()
            sys.exit(141)
        name = error.filename if error.filename is not None else ""
        fail(HostError(f"{error.strerror or error}{f': {name}' if name else ''}"))
    except Exception as error:
        _internal(error)
