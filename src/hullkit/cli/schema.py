"""hullkit schema"""

from __future__ import annotations

import json
import sys
from typing import Any

import click


@click.command(name="schema")
@click.option("--label", "what", flag_value="label", help="The schema of the image label org.mobyproject.config.")
@click.option("--report", "what", flag_value="report", help="The schema of the report of hullkit run --check.")
@click.option("--footprint", "what", flag_value="footprint", help="The schema of what hullkit footprint --json writes.")
@click.option("--markdown", "what", flag_value="markdown", help="The reference of the configuration, for people.")
def command(what: str | None) -> None:
    """Print the JSON Schema of the configuration, for editors and validators."""
    if what == "markdown":
        from hullkit.config.reference import markdown

        sys.stdout.write(markdown())
        return
    sys.stdout.write(json.dumps(_schema(what), indent=2, ensure_ascii=False) + "\n")


def _schema(what: str | None) -> dict[str, Any]:
    if what == "report":
        from hullkit.machine.report import report_schema

        return report_schema()
    if what == "footprint":
        from hullkit.footprint.model import schema

        return schema()
    from hullkit.config.schema import json_schema, label_schema

    return label_schema() if what == "label" else json_schema()
