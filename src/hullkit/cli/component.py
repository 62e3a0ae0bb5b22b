"""hullkit component: list, show, build and begin components."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from hullkit.cli.common import context_options
from hullkit.cli.table import table
from hullkit.context import Context


@click.group()
def command() -> None:
    """List, show, build and begin components.

    A component is a recipe that becomes an OCI image. NAME is one of the catalogue, or a folder such as ./mine.
    """


@command.command("ls")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def list_components(as_json: bool) -> None:
    """List the components of the catalogue."""
    from hullkit.component.catalogue import catalogue_names, load_recipe

    specs = [load_recipe(name, Path()).spec for name in catalogue_names()]
    if as_json:
        keys = ("name", "role", "licence", "upstream", "summary")
        click.echo(json.dumps([{key: getattr(spec, key) for key in keys} for spec in specs], indent=2))
        return
    table(["NAME", "ROLE", "SUMMARY"], [[spec.name, spec.role, spec.summary] for spec in specs])


@command.command("show")
@click.argument("name")
@click.option("--profile", help="Hardware profile of a kernel.  [default: the recipe's]")
@click.option("--files", "with_files", is_flag=True, help="List every file with its package.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@context_options
def show(context: Context, host_tools: bool, name: str, profile: str | None, with_files: bool, as_json: bool) -> None:
    """Show what a component is made of: recipe, packages, layers and sizes. Builds it when it was not built yet."""
    told = _describe(context, name, profile, with_files)
    if as_json:
        click.echo(json.dumps(told, indent=2))
        return
    for key in ("name", "version", "summary", "role", "licence", "upstream", "recipe", "arch", "digest"):
        if told[key]:
            click.echo(f"{key + ':':10} {told[key]}")
    if told["run"]:
        click.echo("run:       " + json.dumps(told["run"], indent=2).replace("\n", "\n           "))
    click.echo()
    table(
        ["LAYER", "FROM", "FILES", "BYTES"], [[e["diffID"], e["from"], e["files"], e["bytes"]] for e in told["layers"]]
    )
    click.echo()
    table(["PACKAGE", "VERSION", "BYTES USED"], [[e["name"], e["version"], e["bytes"]] for e in told["packages"]])
    if with_files:
        click.echo()
        table(["MODE", "BYTES", "PATH", "PACKAGE"], [list(e.values()) for e in told["files"]])


@command.command("build")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--profile", help="Hardware profile of a kernel.  [default: the recipe's]")
@click.option("--json", "as_json", is_flag=True, help="Print digests and sizes as JSON.")
@context_options
def build(context: Context, host_tools: bool, names: tuple[str, ...], profile: str | None, as_json: bool) -> None:
    """Build components into the cache."""
    from hullkit.component.component import component_image
    from hullkit.component.hardware import Hardware

    built = []
    for name in names:
        image = component_image(context, name, base_dir=Path(), hardware=Hardware(profile))
        size = sum(layer.descriptor.size for layer in image.layers)
        title = image.labels["org.opencontainers.image.title"]
        version = image.labels["org.opencontainers.image.version"]
        built.append({"name": title, "version": version, "digest": image.digest, "bytes": size})
    if as_json:
        click.echo(json.dumps(built, indent=2))
        return
    table(["NAME", "VERSION", "BYTES", "DIGEST"], [[e["name"], e["version"], e["bytes"], e["digest"]] for e in built])


@command.command("new")
@click.argument("name")
@click.option("--package", help="The Debian package it is made from.  [default: NAME]")
@click.option("--dir", "directory", type=click.Path(path_type=Path), default=Path(), help="Where.  [default: .]")
def new(name: str, package: str | None, directory: Path) -> None:
    """Begin a component: write the folder NAME with a commented recipe that builds, and a test for it."""
    from hullkit.component.skeleton import write_skeleton

    folder = write_skeleton(directory, name, package or name)
    click.echo(
        f"{folder / 'component.yml'}\ntry it: hullkit component show {'./' if '/' not in str(folder) else ''}{folder}"
    )


def _describe(context: Context, name: str, profile: str | None, with_files: bool) -> dict[str, Any]:
    from hullkit.component.build import CONFIG_LABEL, PACKAGES_LABEL
    from hullkit.component.catalogue import load_recipe
    from hullkit.component.component import component_image
    from hullkit.component.hardware import Hardware
    from hullkit.component.report import describe_layers

    spec = load_recipe(name, Path()).spec
    image = component_image(context, name, base_dir=Path(), hardware=Hardware(profile))
    layers, files = describe_layers(context, image)
    used: dict[str, int] = {}
    for file in files:
        used[file.package] = used.get(file.package, 0) + file.size
    versions = [each.partition("=") for each in image.labels[PACKAGES_LABEL].split()]
    told: dict[str, Any] = {
        "name": spec.name,
        "version": image.labels["org.opencontainers.image.version"],
        "summary": spec.summary,
        "role": spec.role,
        "licence": spec.licence,
        "upstream": spec.upstream,
        "recipe": str(load_recipe(name, Path()).folder.recipe),
        "arch": context.arch,
        "digest": image.digest,
        "run": json.loads(image.labels[CONFIG_LABEL]) if CONFIG_LABEL in image.labels else None,
        "layers": layers,
        "packages": [
            {"name": package, "version": version, "bytes": used.get(f"{package}_{version}", 0)}
            for package, _, version in versions
        ],
    }
    if with_files:
        told["files"] = [
            {"mode": f"{file.mode:04o}", "bytes": file.size, "path": file.path, "package": file.package}
            for file in files
        ]
    return told
