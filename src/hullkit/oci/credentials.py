"""Logins for registries from Docker's configuration file and its credential helpers.

Format: Docker's ``config.json`` (``auths``, ``credHelpers``, ``credsStore``), in ``$DOCKER_CONFIG`` or ``~/.docker``.
Helpers speak the protocol of docker-credential-helpers: ``docker-credential-NAME get``, the server's name on standard
input, a JSON object on standard output.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hullkit.cache import host_errors
from hullkit.context import Context
from hullkit.errors import ConfigError, ToolError
from hullkit.oci.mirrors import DOCKER_HUB_NAMES

#: the key that Docker gives Docker Hub
_DOCKER_HUB_KEY = "https://index.docker.io/v1/"
#: the user name by which a helper says that the secret is an identity token
_TOKEN_USER = "<token>"  # noqa: S105
_HELPER_TIMEOUT = 30.0
_MAX_CONFIG = 4 << 20
_HELPER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class Login:
    """``identity``: ``secret`` is a token to get other tokens with, not a password."""

    user: str
    secret: str = field(repr=False)
    identity: bool = False


def find_login(context: Context, host: str) -> Login | None:
    """The login for a registry's host, None when there is none.

    A helper that is not installed or fails is warned about and passed over: what is public needs no login.
    Raises ConfigError when the configuration file is damaged.
    """
    path = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker") / "config.json"
    config = _read(path)
    keys = [_DOCKER_HUB_KEY, *DOCKER_HUB_NAMES] if host in DOCKER_HUB_NAMES else [host]
    helpers = _mapping(config, "credHelpers", path)
    helper = next((helpers[key] for key in keys if key in helpers), config.get("credsStore"))
    if helper:
        return _ask(context, str(helper), keys[0]) or _stored(config, keys, path)
    return _stored(config, keys, path)


def _read(path: Path) -> dict[str, Any]:
    try:
        with host_errors(f"read {path}"), open(path, "rb") as stream:
            config = json.loads(stream.read(_MAX_CONFIG))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(config, dict):
        raise ConfigError(f"{path} is not a JSON object")
    return config


def _mapping(config: Mapping[str, Any], key: str, path: Path) -> dict[str, Any]:
    value = config.get(key) or {}
    if not isinstance(value, dict):
        raise ConfigError(f"{path}: {key} is not an object")
    return value


def _stored(config: Mapping[str, Any], keys: list[str], path: Path) -> Login | None:
    """From ``auths``, whose keys are hosts, or URLs as older clients wrote them."""
    auths = _mapping(config, "auths", path)
    by_host = {_host(key): value for key, value in auths.items()}
    for key in keys:
        entry = auths.get(key, by_host.get(_host(key)))
        if isinstance(entry, dict) and (login := _from_entry(entry, f"{path}: auths: {key}")):
            return login
    return None


def _host(key: str) -> str:
    return key.partition("://")[2].partition("/")[0] if "://" in key else key.partition("/")[0]


def _from_entry(entry: Mapping[str, Any], what: str) -> Login | None:
    user, password = str(entry.get("username") or ""), str(entry.get("password") or "")
    if auth := entry.get("auth"):
        try:
            user, _, password = base64.b64decode(str(auth), validate=True).decode().partition(":")
        except (binascii.Error, ValueError) as error:
            raise ConfigError(f"{what}: auth is not base64 of USER:PASSWORD") from error
    if token := entry.get("identitytoken"):
        return Login(user, str(token), identity=True)
    return Login(user, password.rstrip("\0")) if user else None


def _ask(context: Context, name: str, server: str) -> Login | None:
    from hullkit.hosttools.run import run
    from hullkit.hosttools.tool import HostTool

    program = f"docker-credential-{name}"
    found = shutil.which(program) if _HELPER_NAME.fullmatch(name) else None
    if found is None:
        context.bus.warning(f"Docker's configuration names the credential helper {program}, which is not installed")
        return None
    try:
        # A helper talks to the user's keyring or cloud: it needs the environment as it is.
        ended = run(
            context,
            HostTool((found,), program),
            ["get"],
            input=server.encode(),
            env=dict(os.environ),
            check=False,
            timeout=_HELPER_TIMEOUT,
        )
        answer = json.loads(ended.stdout) if ended.returncode == 0 else None
    except (ToolError, ValueError) as error:
        context.bus.warning(f"the credential helper {program} failed for {server}: {type(error).__name__}")
        return None
    if not isinstance(answer, dict) or not answer.get("Secret"):
        return None
    user = str(answer.get("Username") or "")
    return Login(user, str(answer["Secret"]), identity=user == _TOKEN_USER)
