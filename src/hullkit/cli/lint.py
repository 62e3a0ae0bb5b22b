"""hullkit lint"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from hullkit.errors import ConfigError, HullError


@click.command(name="lint")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=str))
@click.option("--json", "as_json", is_flag=True, help="Print the problems as JSON.")
@click.option("--merge", is_flag=True, help="Check the files together, as a build of all of them would.")
def command(files: tuple[str, ...], as_json: bool, merge: bool) -> int:
    """Check configuration files: syntax, keys, types, names. Prints every problem with its place; exit status 2 if any.

    FILE may be - for the standard input. Nothing is fetched or built.
    """
    groups: Iterable[tuple[str, ...]] = [files] if merge else [(file,) for file in files]
    problems: list[dict[str, Any]] = []
    warnings: list[str] = []
    for group in groups:
        found, told = _check(group)
        problems += [_described(error, group[0]) for error in found]
        warnings += told
    if as_json:
        import json

        sys.stdout.write(json.dumps({"problems": problems, "warnings": warnings}, indent=2, ensure_ascii=False) + "\n")
    else:
        for problem in problems:
            sys.stdout.write(problem["text"] + "\n")
        for warning in warnings:
            sys.stderr.write(f"hullkit: warning: {warning}\n")
    return ConfigError.exit_code if problems else 0


def _check(files: tuple[str, ...]) -> tuple[list[HullError], list[str]]:
    """All problems of files that are merged, and the warnings."""
    from hullkit.config.load import read
    from hullkit.config.packages import package_tag
    from hullkit.config.validate import unfit_for_hullkit

    absent: list[str] = []

    def tag(path: str, base: str) -> str:
        if (Path(base) / path).is_dir():
            return package_tag(path, base)
        # a configuration may be looked at without the tree of packages that it is built in
        absent.append(f"@pkg:{path}: the package is not here; a build will need it")
        return f"linuxkit/{Path(path).name}:unknown"

    try:
        config, found = read([Path(file) if file != "-" else file for file in files], resolve_pkg=tag)
    except HullError as error:
        return [error], []
    problems: list[HullError] = list(found)
    if not problems and config.layout == "packed":
        problems += unfit_for_hullkit(config)
    return problems, [*config.origin.warnings, *absent]


def _described(error: HullError, file: str) -> dict[str, Any]:
    where = error.where
    return {
        "file": where.file if where else file,
        "line": where.line if where else None,
        "column": where.column if where else None,
        "message": error.message,
        "hint": error.hint,
        "text": str(error),
    }
