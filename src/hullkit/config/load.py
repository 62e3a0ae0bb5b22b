"""Text → configuration: reading files, templates, decoding, merging, checking. The floor's front door."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from hullkit.config.decode import Problems, decode
from hullkit.config.merge import Places, merge
from hullkit.config.model import ImageConfig, SystemConfig, SystemFile, position_of
from hullkit.config.validate import unfit_for_hullkit, unsupported, validate_image, validate_system
from hullkit.config.yamlnodes import MAX_BYTES, MappingNode, Node, ScalarNode, SequenceNode, compose, decode_text
from hullkit.errors import ConfigError, HullError, NotFound, Position

STDIN = "<stdin>"
#: (path after "@pkg:", base directory) -> image name
ResolvePackage = Callable[[str, str], str]
#: URL -> content
Fetch = Callable[[str], bytes]


class _Reading(msgspec.Struct):
    """What has been read so far of one load."""

    stdin: bytes | None
    resolve_pkg: ResolvePackage
    fetch: Fetch | None
    parts: list[tuple[SystemFile, Places]] = msgspec.field(default_factory=list)
    directories: dict[str, str] = msgspec.field(default_factory=dict)
    warnings: list[str] = msgspec.field(default_factory=list)
    found: list[ConfigError] = msgspec.field(default_factory=list)


def load(
    paths: Sequence[str | Path],
    *,
    stdin: bytes | None = None,
    resolve_pkg: ResolvePackage | None = None,
    fetch: Fetch | None = None,
) -> SystemConfig:
    """The merged and checked configuration of YAML files.

    ``-`` is the standard input (``stdin`` if given), ``http://`` and ``https://`` addresses go through ``fetch``.
    Raises the first problem as ConfigError with its position; NotFound when a file does not exist.
    """
    config, found = read(paths, stdin=stdin, resolve_pkg=resolve_pkg, fetch=fetch)
    if found:
        first = found[0]
        if len(found) > 1:
            more = f"and {len(found) - 1} more: hullkit lint shows all"
            first.hint = f"{first.hint}; {more}" if first.hint else more
        raise first
    return config


def read(
    paths: Sequence[str | Path],
    *,
    stdin: bytes | None = None,
    resolve_pkg: ResolvePackage | None = None,
    fetch: Fetch | None = None,
) -> tuple[SystemConfig, list[ConfigError]]:
    """As ``load``, with all problems beside what could be made of the rest."""
    if not paths:
        raise ConfigError("no configuration file is given")
    reading = _Reading(stdin, resolve_pkg or _package_tag, fetch)
    for path in paths:
        _read_file(str(path), reading)
    config = merge(reading.parts, reading.directories, reading.warnings)
    if not reading.found:
        problems = Problems(str(paths[0]))
        problems.positions = dict(config.origin.positions)
        validate_system(config, problems)
        reading.found = problems.found
    return config, reading.found


def _package_tag(path: str, base: str) -> str:
    from hullkit.config.packages import package_tag

    return package_tag(path, base)


def _read_file(path: str, reading: _Reading) -> None:
    name, data, directory = _content(path, reading)
    reading.directories[name] = directory
    problems = Problems(name)
    try:
        root, second = compose(decode_text(data, name), name, problems.at)
    except ConfigError as error:
        reading.found += [*problems.found, error]
        return
    if second is not None:
        reading.warnings.append(f"{second}: only the first document of a file is read")
    if b"@pkg:" in data:
        _resolve_packages(root, "", directory, reading.resolve_pkg, problems)
    part = decode(root, SystemFile, problems)
    reading.found += problems.found
    if part is not None:
        if part.trust is not None:
            place = Position(*problems.positions[("trust",)])
            reading.warnings.append(f"{place}: trust: has no effect, here and in LinuxKit")
        reading.parts.append((part, problems.positions))


def _content(path: str, reading: _Reading) -> tuple[str, bytes, str]:
    """Name for messages, content, and base directory of relative paths."""
    if path == "-":
        data = sys.stdin.buffer.read(MAX_BYTES + 1) if reading.stdin is None else reading.stdin
        return STDIN, data, os.getcwd()
    if path.startswith(("http://", "https://")):
        if reading.fetch is None:
            raise ConfigError(f"{path}: addresses cannot be read here", hint="download the file first")
        return path, reading.fetch(path), os.getcwd()
    try:
        with open(path, "rb") as stream:
            return path, stream.read(MAX_BYTES + 1), os.path.dirname(os.path.abspath(path))
    except FileNotFoundError:
        raise NotFound(f"the configuration file {path} does not exist") from None
    except OSError as error:
        raise ConfigError(f"the configuration file {path} cannot be read: {error.strerror}") from None


def _resolve_packages(node: Node, key: str, directory: str, resolve: ResolvePackage, problems: Problems) -> None:
    """Replace each ``@pkg:PATH`` by the package's image name, in any value, as LinuxKit does.

    What is no package is a problem where an image is meant (``key``); elsewhere it stays as it is, as in LinuxKit.
    """
    if isinstance(node, SequenceNode):
        for item in node.items:
            _resolve_packages(item, key, directory, resolve, problems)
    elif isinstance(node, MappingNode):
        for name, value in node.pairs:
            _resolve_packages(value, name.text, directory, resolve, problems)
    elif isinstance(node, ScalarNode) and isinstance(node.value, str) and node.value.startswith("@pkg:"):
        try:
            node.value = resolve(node.value.removeprefix("@pkg:"), directory)
        except HullError as error:
            if key in ("image", "init"):
                problems.at(error.message, node.line, node.column, error.hint)


def parse_image_config(text: str | bytes, origin: str) -> ImageConfig:
    """The label ``org.mobyproject.config`` (JSON, or any YAML); ``origin`` names it in messages.

    Raises ConfigError for what an entry of the YAML would be refused for, and for ``name`` and ``image``.
    """
    data = text.encode() if isinstance(text, str) else text
    problems = Problems(origin)
    root, _ = compose(decode_text(data, origin), origin, problems.at)
    config = decode(root, ImageConfig, problems)
    if config is not None and not problems.found:
        validate_image(config, problems)
        if config.seccomp is not None and config.seccomp.file is not None:
            problems.report(("seccomp",), "a label cannot name a file", "write the profile itself")
    if problems.found or config is None:
        raise problems.found[0]
    return config


__all__ = ["load", "parse_image_config", "position_of", "read", "unfit_for_hullkit", "unsupported"]
