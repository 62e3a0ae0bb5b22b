"""Image references as Docker's users write them (grammar: github.com/distribution/reference, reference.go)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from hullkit.errors import ConfigError

_DEFAULT_REGISTRY = "docker.io"
_ALIASES = {"index.docker.io": _DEFAULT_REGISTRY}
_OFFICIAL = "library/"
_DEFAULT_TAG = "latest"
_MAX_NAME = 255

_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_REGISTRY = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?", re.ASCII)
_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*", re.ASCII)
_TAG = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
_DIGEST = re.compile(r"sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128}", re.ASCII)
_IDENTIFIER = re.compile(r"[a-f0-9]{64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Reference:
    """A full image name. ``tag`` is None only when a digest was given without one."""

    registry: str
    repository: str
    tag: str | None
    digest: str | None = None

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Read ``[REGISTRY/]REPOSITORY[:TAG][@DIGEST]``; ConfigError when it is none.

        Without a registry it is docker.io, whose one-part repositories lie below ``library/``; without tag and digest
        the tag is ``latest``. The first part is a registry if it has a dot, a colon or a capital, or is ``localhost``.
        """
        name, at, digest = text.partition("@")
        if at and not _DIGEST.fullmatch(digest):
            raise _error(text, f"{digest[:80]!r} is not a sha256 or sha512 digest")
        tag: str | None = None
        slash, colon = name.rfind("/"), name.rfind(":")
        if colon > slash:
            name, tag = name[:colon], name[colon + 1 :]
            if not _TAG.fullmatch(tag):
                raise _error(text, f"{tag[:140]!r} is not a tag (at most 128 letters, digits, '_', '.', '-')")
        if _IDENTIFIER.fullmatch(name):
            raise _error(text, "64 hexadecimal digits are not a name", "write a digest as NAME@sha256:DIGITS")
        registry, repository = _split_registry(name)
        _check_name(text, registry, repository)
        return cls(registry, repository, tag or (None if digest else _DEFAULT_TAG), digest or None)

    @property
    def name(self) -> str:
        """Registry and repository."""
        return f"{self.registry}/{self.repository}"

    def __str__(self) -> str:
        """The canonical form, as LinuxKit and containerd write it: docker.io/library/nginx:latest."""
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.name}{tag}{digest}"


def _error(text: str, why: str, hint: str | None = None) -> ConfigError:
    return ConfigError(f"{text[:300]!r} is not an image reference: {why}", hint=hint)


def _split_registry(name: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    if slash and (first == "localhost" or first != first.lower() or "." in first or ":" in first):
        registry, repository = _ALIASES.get(first, first), rest
    else:
        registry, repository = _DEFAULT_REGISTRY, name
    if registry == _DEFAULT_REGISTRY and repository and "/" not in repository:
        repository = _OFFICIAL + repository
    return registry, repository


def _check_name(text: str, registry: str, repository: str) -> None:
    if not _REGISTRY.fullmatch(registry):
        raise _error(text, f"{registry[:80]!r} is not the name of a registry")
    if not _REPOSITORY.fullmatch(repository):
        hint = "names are written in lower case" if repository != repository.lower() else None
        raise _error(text, f"{repository[:80]!r} is not a repository name", hint)
    if len(registry) + 1 + len(repository) > _MAX_NAME:
        raise _error(text, f"its name is longer than {_MAX_NAME} characters")
