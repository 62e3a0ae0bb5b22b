"""Logins from Docker's configuration and from credential helpers."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from hullkit.context import Context
from hullkit.errors import ConfigError
from hullkit.events import Event
from hullkit.oci.credentials import Login, find_login

AUTH = base64.b64encode(b"alice:a:b").decode()


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))

    def write(value: Any) -> None:
        (tmp_path / "config.json").write_text(value if isinstance(value, str) else json.dumps(value))

    return write


def helper(directory: Path, monkeypatch: pytest.MonkeyPatch, name: str, body: str) -> None:
    """A credential helper that answers with ``body``, a shell script."""
    program = directory / f"docker-credential-{name}"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{directory}:/usr/bin:/bin")


def test_no_configuration(context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "none"))
    assert find_login(context, "r.example") is None
    monkeypatch.delenv("DOCKER_CONFIG")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find_login(context, "r.example") is None
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".docker/config.json").write_text(json.dumps({"auths": {"r.example": {"auth": AUTH}}}))
    assert find_login(context, "r.example") == Login("alice", "a:b")


@pytest.mark.parametrize(
    "key", ["r.example:5000", "https://r.example:5000", "http://r.example:5000/v2/", "r.example:5000/x"]
)
def test_keys_are_hosts_or_urls(context: Context, config: Any, key: str) -> None:
    config({"auths": {"other": {"auth": "x"}, key: {"auth": AUTH}}})
    assert find_login(context, "r.example:5000") == Login("alice", "a:b")
    assert find_login(context, "r.example") is None


def test_docker_hub_has_a_key_of_its_own(context: Context, config: Any) -> None:
    config({"auths": {"https://index.docker.io/v1/": {"username": "bob", "password": "p"}}})
    assert find_login(context, "registry-1.docker.io") == Login("bob", "p")
    assert find_login(context, "quay.io") is None


def test_identity_token(context: Context, config: Any) -> None:
    config({"auths": {"r": {"auth": AUTH, "identitytoken": "tok"}}})
    assert find_login(context, "r") == Login("alice", "tok", identity=True)


def test_empty_entries_are_no_login(context: Context, config: Any) -> None:
    config({"auths": {"r": {}}})
    assert find_login(context, "r") is None


@pytest.mark.parametrize("text", ["{", "[]", '{"auths": 1}', '{"auths": {"r": {"auth": "!"}}}', '{"credHelpers": []}'])
def test_a_damaged_configuration_is_an_error(context: Context, config: Any, text: str) -> None:
    config("[" * 100_000 if text == "{" else text)
    if text == '{"credHelpers": []}':
        config('{"credHelpers": [1]}')
    with pytest.raises(ConfigError, match=r"config\.json"):
        find_login(context, "r")


def test_helpers(context: Context, config: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEEN", "yes")
    script = 'read -r server; [ "$1" = get ] && echo "{\\"Username\\": \\"$server-$SEEN\\", \\"Secret\\": \\"s\\"}"'
    helper(tmp_path, monkeypatch, "test", script)
    config({"credHelpers": {"r.example": "test"}, "credsStore": "none-such", "auths": {"r.example": {"auth": AUTH}}})
    assert find_login(context, "r.example") == Login("r.example-yes", "s")
    config({"credsStore": "test"})
    assert find_login(context, "registry-1.docker.io") == Login("https://index.docker.io/v1/-yes", "s")


def test_a_helper_may_give_an_identity_token(
    context: Context, config: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    helper(tmp_path, monkeypatch, "test", 'echo \'{"Username": "<token>", "Secret": "s"}\'')
    config({"credsStore": "test"})
    login = find_login(context, "r")
    assert login == Login("<token>", "s", identity=True)


@pytest.mark.parametrize("script", ["echo no; exit 1", "echo not json", "echo '[]'", 'echo \'{"Username": "u"}\''])
def test_a_helper_that_knows_nothing_is_passed_over(
    context: Context, config: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    helper(tmp_path, monkeypatch, "test", script)
    config({"credsStore": "test", "auths": {"r": {"auth": AUTH}}})
    assert find_login(context, "r") == Login("alice", "a:b")


@pytest.mark.parametrize("name", ["missing", "../../bin/sh", "-x"])
def test_a_helper_that_is_not_there_is_warned_about(
    context: Context, config: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    events: list[Event] = []
    context.bus.subscribe(events.append)
    config({"credsStore": name})
    assert find_login(context, "r") is None
    assert [event.kind for event in events] == ["warning"] and name in events[0].text


def test_secrets_are_not_shown() -> None:
    assert "geheim" not in repr(Login("u", "geheim"))
