"""Image references: what Docker, containerd and LinuxKit make of the same text."""

from __future__ import annotations

import pytest

from hullkit.errors import ConfigError
from hullkit.oci.reference import Reference

HEX = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("nginx", "docker.io/library/nginx:latest"),
        ("nginx:1.27-alpine", "docker.io/library/nginx:1.27-alpine"),
        ("linuxkit/init:v1.3", "docker.io/linuxkit/init:v1.3"),
        ("docker.io/nginx", "docker.io/library/nginx:latest"),
        ("docker.io/library/nginx", "docker.io/library/nginx:latest"),
        ("index.docker.io/nginx", "docker.io/library/nginx:latest"),
        ("index.docker.io/a/b", "docker.io/a/b:latest"),
        ("ghcr.io/owner/image", "ghcr.io/owner/image:latest"),
        ("localhost/image", "localhost/image:latest"),
        ("localhost:5000/image", "localhost:5000/image:latest"),
        ("localhost:5000", "docker.io/library/localhost:5000"),
        ("host:5000/a/b/c:t", "host:5000/a/b/c:t"),
        ("127.0.0.1:5000/x", "127.0.0.1:5000/x:latest"),
        ("[::1]:5000/x", "[::1]:5000/x:latest"),
        ("UPPER/x", "UPPER/x:latest"),
        ("a/b__c/d--e.f_g", "docker.io/a/b__c/d--e.f_g:latest"),
        (f"nginx@sha256:{HEX}", f"docker.io/library/nginx@sha256:{HEX}"),
        (f"nginx:1@sha256:{HEX}", f"docker.io/library/nginx:1@sha256:{HEX}"),
        (f"a.b/c@sha512:{HEX}{HEX}", f"a.b/c@sha512:{HEX}{HEX}"),
        ("_x:_y".replace("_x", "x"), "docker.io/library/x:_y"),
        ("x:" + "t" * 128, "docker.io/library/x:" + "t" * 128),
    ],
)
def test_normalised(text: str, full: str) -> None:
    reference = Reference.parse(text)
    assert str(reference) == full
    assert Reference.parse(full) == reference


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not a repository name"),
        (":tag", "not a repository name"),
        ("Nginx", "lower case"),
        ("docker.io/Nginx", "lower case"),
        ("a/", "not a repository name"),
        ("/a", "not a repository name"),
        ("a//b", "not a repository name"),
        ("a/../b", "not a repository name"),
        ("a_/b", "not a repository name"),
        ("a b", "not a repository name"),
        ("a\n", "not a repository name"),
        ("nginx:", "not a tag"),
        ("nginx:-x", "not a tag"),
        ("nginx:" + "t" * 129, "not a tag"),
        ("nginx:é", "not a tag"),
        ("nginx@", "not a sha256"),
        ("nginx@sha256:abc", "not a sha256"),
        (f"nginx@sha256:{HEX.upper()}", "not a sha256"),
        (f"nginx@md5:{HEX[:32]}", "not a sha256"),
        (HEX, "64 hexadecimal digits"),
        ("http://docker.io/nginx", "not a"),
        ("-a.b/x", "name of a registry"),
        ("a.b:port/x", "name of a registry"),
        ("a/" * 150 + "b", "longer than"),
    ],
)
def test_refused(text: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        Reference.parse(text)
