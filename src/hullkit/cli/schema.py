"""hullkit schema"""

from __future__ import annotations

import json
import sys

import click


@click.command(name="schema")
@click.option("--label", is_flag=True, help="The schema of the image label org.mobyproject.config.")
@click.option("--report", is_flag=True, help="The schema of the report of hullkit run --check.")
def command(label: bool, report: bool) -> None:
    """Print the JSON Schema of the configuration, for editors and validators."""
    if report:
        from hullkit.machine.report import report_schema

        schema = report_schema()
    else:
        from hullkit.config.schema import json_schema, label_schema

        schema = label_schema() if label else json_schema()
    sys.stdout.write(json.dumps(schema, indent=2, ensure_ascii=False) + "\n")
