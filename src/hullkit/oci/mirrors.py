"""Which server is asked for an image: the registry of its name, or the mirror that was given for it."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from hullkit.context import Registries
from hullkit.errors import ConfigError
from hullkit.oci.reference import Reference

DOCKER_HUB = "docker.io"
#: names under which Docker Hub is known; a mirror of docker.io stands in for each
DOCKER_HUB_NAMES = (DOCKER_HUB, "index.docker.io", "registry-1.docker.io")
_DOCKER_HUB_SERVER = "registry-1.docker.io"
EVERY = "*"


def parse_mirrors(given: Iterable[str]) -> dict[str, str]:
    """``[REGISTRY=]URL`` each, as LinuxKit's --mirror; without REGISTRY it is for all others. A later one wins.

    Raises ConfigError.
    """
    mirrors: dict[str, str] = {}
    for text in given:
        name, url = (EVERY, text) if text.startswith(("http://", "https://")) else text.partition("=")[::2]
        _check(text, name, url)
        for each in DOCKER_HUB_NAMES if name == DOCKER_HUB else (name,):
            mirrors[each] = url.rstrip("/")
    return mirrors


def _check(text: str, name: str, url: str) -> None:
    hint = "write [REGISTRY=]URL, such as docker.io=http://127.0.0.1:5000"
    if not name or not url.startswith(("http://", "https://")):
        raise ConfigError(f"--mirror {text!r}: {url or text!r} is not an http:// or https:// URL", hint=hint)
    try:
        parts = urlsplit(url)
        ok = bool(parts.hostname) and (parts.port is None or parts.port > 0) and not parts.query and not parts.fragment
    except ValueError:
        ok = False
    if not ok:
        raise ConfigError(f"--mirror {text!r}: {url!r} is not a usable URL", hint=hint)
    if "@" in parts.netloc:
        raise ConfigError(f"--mirror {name}: a URL with a password", hint="log in with docker login instead")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a repository is served. ``scheme`` is empty where it must be found out (a server of this machine)."""

    scheme: str
    host: str
    repository: str


def endpoint(registries: Registries, reference: Reference) -> Endpoint:
    """A mirror's path goes before the repository, as LinuxKit does it."""
    mirrors = registries.mirrors
    if url := mirrors.get(reference.registry) or mirrors.get(EVERY):
        parts = urlsplit(url)
        return Endpoint(parts.scheme, parts.netloc, f"{parts.path}/{reference.repository}".lstrip("/"))
    if reference.registry in DOCKER_HUB_NAMES:
        return Endpoint("https", _DOCKER_HUB_SERVER, reference.repository)
    scheme = "" if _is_loopback(reference.registry) else "https"
    return Endpoint(scheme, reference.registry, reference.repository)


def _is_loopback(host: str) -> bool:
    name = urlsplit(f"//{host}").hostname or ""
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
