"""hullkit cache: what is in the cache, and images between it, registries and archives."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from hullkit.cache import atomic_files
from hullkit.cli.common import context_options
from hullkit.cli.progress import megabytes
from hullkit.cli.table import table
from hullkit.context import Context
from hullkit.errors import ConfigError, NotFound

if TYPE_CHECKING:
    from hullkit.oci.image import Image
    from hullkit.oci.reference import Reference
    from hullkit.oci.registry import Client
    from hullkit.oci.store import Named, Store


@click.group()
def command() -> None:
    """Look into the cache; move images between it, registries and archives."""


@command.command("ls")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@context_options
def list_images(context: Context, host_tools: bool, as_json: bool) -> None:
    """List the images of the cache by name."""
    rows = []
    for each in _store(context).names():
        size = _size(_store(context).image(each.digest))
        rows.append({"name": each.name, "arch": each.arch, "root": each.root, "digest": each.digest, "bytes": size})
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    heads = ["NAME", "ARCH", "BYTES", "ROOT DIGEST"]
    table(heads, [[row["name"], row["arch"], row["bytes"], row["root"]] for row in rows])


@command.command("pull")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option(
    "--platform", "platforms", multiple=True, metavar="OS/ARCH", help="Which images.  [default: linux/--arch]"
)
@click.option("--all-platforms", is_flag=True, help="Every image that NAME has.")
@context_options
def pull_images(
    context: Context, host_tools: bool, names: tuple[str, ...], platforms: tuple[str, ...], all_platforms: bool
) -> None:
    """Pull images from their registries into the cache."""
    from hullkit.oci.index import Platform
    from hullkit.oci.pull import pull, pull_platforms
    from hullkit.oci.registry import Client

    if platforms and all_platforms:
        raise ConfigError("--platform and --all-platforms exclude each other")
    wanted = [Platform.parse(each) for each in platforms]
    with Client(context) as client:
        for reference in _references(names):
            if wanted or all_platforms:
                digest = pull_platforms(client, reference, wanted or None).digest
            else:
                digest = pull(client, reference, context.arch).digest
            context.bus.info(f"{reference}: {digest}")


@command.command("push")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--remote-name", metavar="NAME", help="The name in the registry.  [default: NAME]")
@click.option("--with-arch-tags", is_flag=True, help="Push each architecture under TAG-ARCH too.")
@click.option("--override", is_flag=True, help="Push even if the registry has another image of that name.")
@context_options
def push_images(
    context: Context,
    host_tools: bool,
    names: tuple[str, ...],
    remote_name: str | None,
    with_arch_tags: bool,
    override: bool,
) -> None:
    """Push images of the cache to a registry: all architectures of a name that the cache has, as one."""
    from hullkit.oci.push import push
    from hullkit.oci.registry import Client

    if remote_name and len(names) != 1:
        raise ConfigError("--remote-name is for one NAME")
    with Client(context) as client:
        for reference in _references(names):
            (remote,) = _references((remote_name,)) if remote_name else (reference,)
            digest = push(client, reference, remote, arch_tags=with_arch_tags, override=override)
            if digest is None:
                context.bus.info(f"{remote} is in the registry already, as another image: not pushed (see --override)")
            else:
                context.bus.info(f"{remote}: {digest}")


@command.command("rm")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--published-only", is_flag=True, help="Only images that their registry has just so.")
@context_options
def remove(context: Context, host_tools: bool, names: tuple[str, ...], published_only: bool) -> None:
    """Remove images from the cache."""
    gone: list[Named] = []
    for reference in _references(names):
        found = [each for each in _store(context).names() if each.name == str(reference)]
        if not found:
            raise NotFound(f"the cache has no image {reference}", hint="hullkit cache ls lists them")
        gone += found
    _remove(context, gone, published_only)


@command.command("clean")
@click.option("--published-only", is_flag=True, help="Keep images that their registry does not have just so.")
@context_options
def clean_up(context: Context, host_tools: bool, published_only: bool) -> None:
    """Empty the cache: images, packages, tools, and everything that was made of them."""
    from hullkit.oci.prune import PARTS, clean

    if published_only:
        _remove(context, _store(context).names(), True)
    for part, freed in clean(context.cache, [part for part in PARTS if not published_only or part != "oci"]).items():
        context.bus.info(f"removed {PARTS[part]}: {megabytes(freed)}")


@command.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path), metavar="FILE|-")
@click.option("--name", metavar="NAME", help="The image's name.  [default: as the archive says]")
@context_options
def import_images(context: Context, host_tools: bool, file: Path, name: str | None) -> None:
    """Import images from the tar of an OCI image layout, or from one of docker save."""
    from hullkit.oci.archive import import_archive

    for each in import_archive(context, sys.stdin.buffer if str(file) == "-" else file, name):
        context.bus.info(f"{each.name} ({each.arch}): {each.digest}")


@command.command("export")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option(
    "--platform", "platforms", multiple=True, metavar="OS/ARCH", help="Which images.  [default: linux/--arch]"
)
@click.option("--outfile", metavar="FILE|-", help="Where to write; - is standard output.", required=True)
@click.option("--format", "kind", type=click.Choice(["oci", "docker", "filesystem"]), default="oci", show_default=True)
@click.option("--name", metavar="NAME", help="The name in the archive.  [default: NAME]")
@context_options
def export_images(
    context: Context,
    host_tools: bool,
    names: tuple[str, ...],
    platforms: tuple[str, ...],
    outfile: str,
    kind: str,
    name: str | None,
) -> None:
    """Export images of the cache as an archive: an OCI image layout, one for docker load, or the file system alone."""
    if name and len(names) != 1:
        raise ConfigError("--name is for one NAME")
    images = _chosen(context, names, name, platforms)
    write = _writer(context, images, kind)
    if outfile == "-":
        write(sys.stdout.buffer)
        sys.stdout.buffer.flush()
        return
    path = Path(outfile)
    with atomic_files(path.parent, [path.name]) as (stream,):
        write(stream)
    context.bus.info(f"{path} ({megabytes(path.stat().st_size)})")


def _writer(context: Context, images: list[tuple[str, Image]], kind: str) -> Callable[[BinaryIO], None]:
    from hullkit.oci.export import export_docker, export_filesystem, export_layout

    if kind == "oci":
        return lambda stream: export_layout(images, stream)
    if kind == "docker":
        if len({name for name, _ in images}) != len(images):
            raise ConfigError("an archive for docker holds one platform of an image", hint="--format oci holds several")
        return lambda stream: export_docker(context, images, stream)
    if len(images) != 1:
        raise ConfigError("--format filesystem takes one image for one platform")
    return lambda stream: export_filesystem(context, images[0][1], images[0][0], stream)


def _chosen(
    context: Context, names: tuple[str, ...], name: str | None, platforms: tuple[str, ...]
) -> list[tuple[str, Image]]:
    """(name in the archive, image) for every name and platform."""
    from hullkit.oci.index import Platform
    from hullkit.oci.local import find_local

    arches = [Platform.parse(each).arch for each in platforms] or [context.arch]
    found = []
    for reference in _references(names):
        for arch in arches:
            image = find_local(_store(context), reference, arch)
            if image is None:
                hint = f"hullkit cache pull --platform linux/{arch} {reference}"
                raise NotFound(f"the cache has no image {reference} for {arch}", hint=hint)
            found.append((str(_references((name,))[0] if name else reference), image))
    return found


def _remove(context: Context, names: list[Named], published_only: bool) -> None:
    from hullkit.oci.prune import remove_images
    from hullkit.oci.registry import Client

    gone = names
    if published_only:
        with Client(context) as client:
            gone = [each for each in names if _published(client, each)]
        for each in names:
            if each not in gone:
                context.bus.info(f"{each.name} ({each.arch}) stays: its registry does not have it")
    freed = remove_images(_store(context), gone)
    for each in gone:
        context.bus.info(f"removed {each.name} ({each.arch})")
    if gone:
        context.bus.info(f"freed {megabytes(freed)}")


def _published(client: Client, named: Named) -> bool:
    """The registry gives for the name what the cache has. One that cannot be asked does not count."""
    from hullkit.errors import HullError
    from hullkit.oci.pull import registry_digest

    try:
        (reference,) = _references((named.name,))
        return registry_digest(client, reference) in (named.root, named.digest)
    except HullError as error:
        client.context.bus.warning(str(error))
        return False


def _store(context: Context) -> Store:
    from hullkit.oci.store import Store

    return Store(context.cache)


def _references(names: tuple[str, ...]) -> list[Reference]:
    from hullkit.oci.reference import Reference

    return [Reference.parse(name) for name in names]


def _size(image: Image) -> int:
    """Bytes of all blobs of an image, as its manifest tells."""
    from hullkit.oci.document import descriptor_of, list_of

    parts = [image.manifest.get("config"), *list_of(image.manifest, "layers", image.digest, 1024)]
    return image.descriptor.size + sum(descriptor_of(part, image.digest).size for part in parts)
