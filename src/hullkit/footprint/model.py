"""A footprint as data: what ``hullkit footprint --json`` writes, ``diff`` compares and a budget limits.

Sizes and memory are in bytes, times in seconds. ``schema()`` is the JSON Schema of the document.
"""

from __future__ import annotations

from typing import Any

import msgspec

VERSION = 1


class FileCost(msgspec.Struct, frozen=True):
    """A file: ``size`` as it is read, ``bytes`` what it takes in the image."""

    path: str
    size: int
    bytes: int


class Part(msgspec.Struct, frozen=True):
    """What of the image comes from one package of one component in one layer.

    ``layer`` is a diffID ("" for what is not of a layer). ``users`` are the containers that see it, and ``system`` for
    the root; with more than one of them the bytes are shared, and here once. ``size`` and ``bytes`` are the sums over
    ``files``.
    """

    component: str
    package: str
    layer: str
    users: tuple[str, ...]
    size: int
    bytes: int
    files: tuple[FileCost, ...]


class Disk(msgspec.Struct, frozen=True):
    """``bytes`` = ``kernel`` + ``initrd`` + ``root`` = the sum over ``parts``.

    ``root`` is that of a system whose root is not in its initramfs.
    """

    format: str
    bytes: int
    kernel: int
    initrd: int
    parts: tuple[Part, ...]
    root: int = 0


class Share(msgspec.Struct, frozen=True):
    """A part of the memory. ``kind`` is kernel, container, system, tmpfs, cache, free or rest.

    Of a container: ``anonymous`` is what its processes allocated, ``file`` cached files, ``tmpfs`` files that it keeps
    in memory, ``kernel`` what the kernel keeps for it.
    """

    name: str
    kind: str
    bytes: int
    anonymous: int | None = None
    file: int | None = None
    tmpfs: int | None = None
    kernel: int | None = None


class Memory(msgspec.Struct, frozen=True):
    """``shares`` sum up to ``total``, which is the machine's memory; ``used`` is ``total`` less what is free or cached.

    ``minimum`` (MiB) is the smallest machine with all checks green; None when it was not looked for.
    """

    total: int
    used: int
    shares: tuple[Share, ...]
    minimum: int | None = None


class Spread(msgspec.Struct, frozen=True):
    """Several measurements of the same thing."""

    median: float
    low: float
    high: float


class Stage(msgspec.Struct, frozen=True):
    """A stage of the boot, or a service becoming ready: begin and duration, from power-on."""

    name: str
    kind: str
    begin: Spread
    seconds: Spread


class Boot(msgspec.Struct, frozen=True):
    """``up``: power-on to all ready; ``cpu``: the machine's CPU time until then (None: not known)."""

    runs: int
    accel: str
    cpus: int
    mem: int
    up: Spread
    cpu: Spread | None
    timeline: tuple[Stage, ...]


class Program(msgspec.Struct, frozen=True):
    """An executable that raises rights; ``mode`` is octal, ``capabilities``: it has file capabilities."""

    component: str
    path: str
    mode: str
    capabilities: bool
    users: tuple[str, ...]


class Port(msgspec.Struct, frozen=True):
    """A listening socket; ``private``: out of reach of the system's network."""

    container: str
    protocol: str
    address: str
    port: int
    private: bool


class ContainerSurface(msgspec.Struct, frozen=True):
    """What a container may do. ``writable`` are paths in it; ``seccomp``: default, custom or unconfined."""

    name: str
    kind: str
    component: str
    user: str
    capabilities: tuple[str, ...]
    writable: tuple[str, ...]
    seccomp: str
    no_new_privileges: bool
    own_network: bool
    executables: int


class Executables(msgspec.Struct, frozen=True):
    """Files with an execute permission that a component brings, each once."""

    component: str
    files: int


class Surface(msgspec.Struct, frozen=True):
    """``ports`` is None when the system was not booted. ``modules`` are kernel modules in the image."""

    executables: tuple[Executables, ...]
    privileged: tuple[Program, ...]
    containers: tuple[ContainerSurface, ...]
    writable: tuple[str, ...]
    modules: int
    kernel_options: dict[str, str]
    ports: tuple[Port, ...] | None = None


class Footprint(msgspec.Struct, frozen=True):
    """The whole. ``memory`` and ``boot`` are None when the system was not booted (or did not come up)."""

    version: int
    name: str
    arch: str
    layout: str
    disk: Disk
    surface: Surface
    memory: Memory | None = None
    boot: Boot | None = None


def to_json(document: msgspec.Struct) -> bytes:
    """A footprint, or a difference, as indented JSON with one newline at its end."""
    return msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n"


def from_json(data: bytes, name: str) -> Footprint:
    """ConfigError when it is not such a document."""
    from hullkit.errors import ConfigError

    try:
        footprint = msgspec.json.decode(data, type=Footprint)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ConfigError(f"{name}: not a footprint: {error}", hint="hullkit footprint --json writes one") from error
    if footprint.version != VERSION:
        raise ConfigError(f"{name}: a footprint of version {footprint.version}, and this is for version {VERSION}")
    return footprint


def schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of the document that ``hullkit footprint --json`` writes."""
    (root,), definitions = msgspec.json.schema_components((Footprint,), ref_template="#/$defs/{name}")
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "hullkit footprint"}
    return {**head, **root, "$defs": definitions}
