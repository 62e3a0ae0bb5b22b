"""How a registry learns who asks: Basic (RFC 7617) and tokens (RFC 6750 and the distribution project's token scheme).

The first request carries nothing. A challenge tells what is wanted: a login as it is, or a token from the server that
the challenge names, which is asked for with the login if there is one and anonymously otherwise.
"""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

from hullkit.errors import NetworkError
from hullkit.net import Http, Reply
from hullkit.oci.credentials import Login
from hullkit.oci.mirrors import DOCKER_HUB_NAMES

_MAX_TOKEN = 1 << 20
_CLIENT = "hullkit"
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105
_PARAMETER = re.compile(rf'\s*({_TOKEN})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|({_TOKEN}))\s*(?:,|$)')
_SCHEME = re.compile(rf"[\s,]*({_TOKEN})(?:\s+|,|$)")


@dataclass(frozen=True, slots=True)
class Challenge:
    """``scheme`` and the names of ``parameters`` are in lower case."""

    scheme: str
    parameters: dict[str, str]


def parse_challenges(header: str) -> list[Challenge]:
    """The challenges of a WWW-Authenticate header (RFC 9110, 11.6.1), as far as they can be understood."""
    found: list[Challenge] = []
    position = 0
    while match := _SCHEME.match(header, position):
        position = match.end()
        parameters: dict[str, str] = {}
        while parameter := _PARAMETER.match(header, position):
            name, quoted, plain = parameter.groups()
            parameters[name.lower()] = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else plain
            position = parameter.end()
        found.append(Challenge(match[1].lower(), parameters))
    return found


class Authorization:
    """Credentials for one repository of one server (a ``net.Authorizer``); safe between threads.

    ``scopes`` are what this client wants to do, such as ``repository:library/nginx:pull``; ``login`` is asked when the
    server wants to know.
    """

    def __init__(self, http: Http, url: str, scopes: Iterable[str], login: Callable[[], Login | None]) -> None:
        self._http = http
        self._url = url
        self._scopes = set(scopes)
        self._login = login
        self._header = ""
        self._mutex = threading.Lock()

    def headers(self) -> dict[str, str]:
        return {"Authorization": self._header} if self._header else {}

    def challenged(self, sent: dict[str, str], challenge: str) -> None:
        """See ``net.Authorizer``."""
        with self._mutex:
            if self._header != sent.get("Authorization", ""):
                return  # another thread has brought new credentials meanwhile
            challenges = {each.scheme: each for each in parse_challenges(challenge)}
            if bearer := challenges.get("bearer"):
                self._header = f"Bearer {self._token(bearer)}"
            elif "basic" in challenges:
                self._header = self._basic()
            else:
                raise NetworkError(f"{self._url} wants a login of a kind that is not known here: {challenge[:80]!r}")

    def _basic(self) -> str:
        login = self._login()
        if login is None or login.identity:
            raise self._denied("wants a login")
        header = _basic(login)
        if header == self._header:
            raise self._denied(f"refuses the login of {login.user}")
        return header

    def _token(self, challenge: Challenge) -> str:
        realm = challenge.parameters.get("realm", "")
        login = self._login()
        if not realm.startswith(("http://", "https://")):
            raise NetworkError(f"{self._url} names no usable token server")
        if login and urlsplit(self._url).scheme == "https" and not realm.startswith("https:"):
            raise NetworkError(f"{self._url} wants the login sent unencrypted to {realm[:100]}, which is not done")
        self._scopes |= set(challenge.parameters.get("scope", "").split())
        query = [("scope", scope) for scope in sorted(self._scopes)]
        if service := challenge.parameters.get("service"):
            query.insert(0, ("service", service))
        reply = self._ask(realm, query, login)
        if reply.status in (400, 401, 403):
            raise self._denied(f"refuses the login of {login.user}" if login else "wants a login")
        return _token_of(reply, realm)

    def _ask(self, realm: str, query: list[tuple[str, str]], login: Login | None) -> Reply:
        if login is not None and login.identity:
            scopes = " ".join(value for name, value in query if name == "scope")
            form = [(name, value) for name, value in query if name != "scope"]
            form += [("scope", scopes), ("grant_type", "refresh_token"), ("refresh_token", login.secret)]
            body = urlencode([*form, ("client_id", _CLIENT)]).encode()
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            return self._http.exchange("POST", realm, headers=headers, body=body, max_size=_MAX_TOKEN)
        headers = {}
        if login is not None:
            query = [*query, ("account", login.user)]
            headers["Authorization"] = _basic(login)
        url = f"{realm}{'&' if '?' in realm else '?'}{urlencode(query)}"
        return self._http.exchange("GET", url, headers=headers, max_size=_MAX_TOKEN)

    def _denied(self, why: str) -> NetworkError:
        host = urlsplit(self._url).netloc
        command = "docker login" if host in DOCKER_HUB_NAMES else f"docker login {host}"
        return NetworkError(
            f"{self._url}: the registry {why}",
            hint=f"log in ({command}, or ~/.docker/config.json); many registries say this too of what they do not have",
        )


def _basic(login: Login) -> str:
    return "Basic " + base64.b64encode(f"{login.user}:{login.secret}".encode()).decode()


def _token_of(reply: Reply, realm: str) -> str:
    """Token servers call it ``token``, OAuth2 ones ``access_token``."""
    try:
        answer = json.loads(reply.body) if reply.status == 200 else {}
        token = answer.get("token") or answer.get("access_token")
    except (ValueError, AttributeError, RecursionError):
        token = None
    if not isinstance(token, str) or not token.isascii() or not token.isprintable():
        raise NetworkError(f"the token server {realm[:100]} answered {reply.status} without a token")
    return token
