"""The token scheme of registries, from the server's side: challenges, grants, tokens that expire."""

from __future__ import annotations

import base64
import json
import secrets
import threading
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit


@dataclass
class Tokens:
    """``uses``: after how many requests a token is no longer valid (-1: never). ``logins``: user → password; with
    ``anonymous`` tokens for pulling are given to all. ``asked`` has (user, scopes) of each grant."""

    anonymous: bool = True
    uses: int = -1
    logins: dict[str, str] = field(default_factory=dict)
    refresh: dict[str, str] = field(default_factory=dict)
    realm: str = ""
    asked: list[tuple[str, list[str]]] = field(default_factory=list)
    rejected: int = 0
    _valid: dict[str, list[object]] = field(default_factory=dict)
    _mutex: threading.Lock = field(default_factory=threading.Lock)

    def allows(self, authorization: str, repository: str, action: str) -> bool:
        """Count a use of the token that a request carries."""
        with self._mutex:
            scopes, left = self._valid.get(authorization.removeprefix("Bearer "), ([], 0))
            assert isinstance(scopes, list) and isinstance(left, int)
            granted = any(
                kind == "repository" and name == repository and action in actions.split(",")
                for kind, name, actions in (scope.split(":") for scope in scopes)
            )
            if not granted or left == 0:
                self.rejected += 1
                return False
            self._valid[authorization.removeprefix("Bearer ")] = [scopes, left - 1]
            return True

    def challenge(self, repository: str, action: str) -> str:
        scope = f"repository:{repository}:{'pull,push' if action == 'push' else 'pull'}"
        return f'Bearer realm="{self.realm}",service="test",scope="{scope}",error="invalid_token"'

    def answer(self, method: str, path: str, authorization: str, body: bytes) -> tuple[int, bytes]:
        """(status, body) of the token server."""
        query = parse_qs(body.decode() if method == "POST" else urlsplit(path).query)
        user = self._user(method, query, authorization)
        if user is None:
            return 401, b'{"errors": [{"code": "UNAUTHORIZED", "message": "who are you"}]}'
        scopes = [word for each in query.get("scope", []) for word in each.split()]
        if not user:
            scopes = [scope for scope in scopes if "push" not in scope]
        token = secrets.token_hex(8)
        with self._mutex:
            self.asked.append((user, scopes))
            self._valid[token] = [scopes, self.uses]
        return 200, json.dumps({"access_token" if method == "POST" else "token": token}).encode()

    def _user(self, method: str, query: dict[str, list[str]], authorization: str) -> str | None:
        """Who asks; empty for nobody in particular, None for somebody who is refused."""
        if method == "POST":
            return self.refresh.get(query.get("refresh_token", [""])[0])
        if authorization:
            name, _, password = base64.b64decode(authorization.removeprefix("Basic ")).decode().partition(":")
            return name if self.logins.get(name) == password else None
        return "" if self.anonymous else None
