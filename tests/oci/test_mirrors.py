"""Which server an image is asked of."""

from __future__ import annotations

import pytest

from hullkit.context import Registries
from hullkit.errors import ConfigError
from hullkit.oci.mirrors import Endpoint, endpoint, parse_mirrors
from hullkit.oci.reference import Reference


def place(reference: str, *mirrors: str) -> Endpoint:
    return endpoint(Registries(parse_mirrors(mirrors)), Reference.parse(reference))


def test_registries_are_asked_themselves() -> None:
    assert place("nginx") == Endpoint("https", "registry-1.docker.io", "library/nginx")
    assert place("registry-1.docker.io/a/b") == Endpoint("https", "registry-1.docker.io", "a/b")
    assert place("quay.io/a/b:1") == Endpoint("https", "quay.io", "a/b")
    assert place("host:5000/a") == Endpoint("https", "host:5000", "a")


@pytest.mark.parametrize("host", ["localhost", "localhost:5000", "127.0.0.1:5000", "127.9.9.9", "[::1]:5000"])
def test_servers_of_this_machine_may_speak_plainly(host: str) -> None:
    assert place(f"{host}/a") == Endpoint("", host, "a")


@pytest.mark.parametrize("name", ["docker.io", "index.docker.io", "registry-1.docker.io"])
def test_a_mirror_of_docker_io_stands_in_for_all_its_names(name: str) -> None:
    assert place(f"{name}/a/b", "docker.io=http://m:1") == Endpoint("http", "m:1", "a/b")
    assert place("quay.io/a/b", "docker.io=http://m:1").host == "quay.io"


def test_a_mirror_without_a_name_is_for_all_others() -> None:
    mirrors = ("https://all.example", "quay.io=http://q:2")
    assert place("nginx", *mirrors) == Endpoint("https", "all.example", "library/nginx")
    assert place("127.0.0.1:5/a", *mirrors) == Endpoint("https", "all.example", "a")
    assert place("quay.io/a", *mirrors) == Endpoint("http", "q:2", "a")


def test_the_path_of_a_mirror_goes_before_the_repository() -> None:
    assert place("nginx", "https://m/hub/") == Endpoint("https", "m", "hub/library/nginx")


def test_the_last_mirror_wins() -> None:
    assert place("nginx", "docker.io=http://a", "docker.io=http://b").host == "b"


NO_MIRRORS = """ docker.io docker.io= docker.io=m:5000 =http://m ftp://m http:// http://m:x http://m:99999 http://m/?a=b
docker.io=http://u:p@m http://m#f"""


@pytest.mark.parametrize("text", ["", *NO_MIRRORS.split()])
def test_what_is_no_mirror(text: str) -> None:
    with pytest.raises(ConfigError, match="--mirror"):
        parse_mirrors([text])


def test_a_password_is_not_repeated() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_mirrors(["docker.io=http://u:geheim@m"])
    assert "geheim" not in str(caught.value)
