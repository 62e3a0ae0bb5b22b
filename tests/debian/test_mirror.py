"""Which mirror is used: the one given, else one of the host's apt sources that verifies, else Debian's public one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import hullkit.debian.mirror
from hullkit.context import Context
from hullkit.debian.archive import Archive
from hullkit.debian.mirror import PUBLIC_MIRROR, apt_sources, find_mirror
from hullkit.net import Http
from tests.debian.conftest import World

ONE_LINE = """\
# deb http://commented.example/debian trixie main
deb [arch=amd64 signed-by=/usr/share/keyrings/x.gpg] http://one.example/debian/ trixie main contrib
deb-src http://source.example/debian trixie main
deb cdrom:[Debian]/ trixie main
deb http://user:secret@private.example/debian trixie main
deb http://flat.example/repo ./
   deb\thttp://two.example/debian   trixie-security   main # comment
nonsense
deb http://short.example
"""
DEB822 = """\
# comment
Types: deb deb-src
URIs: http://three.example/debian http://four.example/debian
Suites: trixie trixie-updates
Components: main

Types: deb
Enabled: no
URIs: http://off.example/debian
Suites: trixie

Types: deb-src
URIs: http://src.example/debian
Suites: trixie

Types: deb
URIs: http://five.example/debian-security
Suites:
 trixie-security
"""


@pytest.fixture
def apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "apt"
    (directory / "sources.list.d").mkdir(parents=True)
    monkeypatch.setattr(hullkit.debian.mirror, "APT_DIRECTORY", directory)
    return directory


def unset(world: World) -> Context:
    return replace(world.context, debian_mirror=None)


def test_apt_sources(apt: Path) -> None:
    (apt / "sources.list").write_text(ONE_LINE)
    (apt / "sources.list.d" / "b.sources").write_text(DEB822)
    (apt / "sources.list.d" / "a.list").write_bytes(b"deb http://\xff.example/debian trixie main\n")
    (apt / "sources.list.d" / "ignored.save").write_text("deb http://no.example/debian trixie main\n")
    (apt / "sources.list.d" / "dir.list").mkdir()
    found = list(apt_sources())
    assert found[0] == ("http://one.example/debian", "trixie")
    assert found[1] == ("http://two.example/debian", "trixie-security")
    assert [uri for uri, _ in found[3:]] == [
        "http://three.example/debian",
        "http://three.example/debian",
        "http://four.example/debian",
        "http://four.example/debian",
        "http://five.example/debian-security",
    ]
    assert len(found) == 8


def test_the_given_one_wins_and_is_not_asked(world: World, apt: Path) -> None:
    (apt / "sources.list").write_text("deb http://one.example/debian trixie main\n")
    context = replace(world.context, debian_mirror="http://given.example/debian/")
    mirror = find_mirror(context, Http(context))
    assert mirror.main == "http://given.example/debian"
    assert mirror.security == ("http://given.example/debian-security",)
    assert not world.mirror.requests


def test_the_first_apt_source_that_verifies(world: World, apt: Path) -> None:
    """Another distribution's archive, one that does not answer, one signed by somebody else, then ours."""
    world.repo.add("hello")
    world.repo.publish_all()
    url = world.mirror.url
    (world.repo.root / "alien/dists/trixie").mkdir(parents=True)
    (world.repo.root / "alien/dists/trixie/InRelease").write_text("-----BEGIN PGP SIGNED MESSAGE-----\nhm\n")
    lines = [f"deb {base} trixie main" for base in (f"{url}/ubuntu", "http://127.0.0.1:1/debian", f"{url}/alien")]
    (apt / "sources.list").write_text("\n".join([*lines, f"deb {url}/debian trixie main\n"]))
    archive = Archive.open(unset(world), "amd64")
    assert archive.mirrors["trixie"] == f"{url}/debian"
    assert archive.mirrors["trixie-security"] == f"{url}/debian-security"


def test_the_choice_is_remembered(world: World, apt: Path) -> None:
    world.repo.publish_all()
    (apt / "sources.list").write_text(f"deb {world.mirror.url}/debian trixie main\n")
    context = unset(world)
    assert find_mirror(context, Http(context)).main == f"{world.mirror.url}/debian"
    asked = len(world.mirror.requests)
    assert find_mirror(context, Http(context)).main == f"{world.mirror.url}/debian"
    assert len(world.mirror.requests) == asked
    # Other sources: it is asked again.
    (apt / "sources.list").write_text(
        f"deb {world.mirror.url}/debian/ trixie main\ndeb http://127.0.0.1:1/x trixie main\n"
    )
    find_mirror(context, Http(context))
    assert len(world.mirror.requests) > asked


def test_security_archive_of_the_apt_sources(world: World, apt: Path) -> None:
    """A mirror without the security suite beside it: the one that apt uses."""
    world.repo.add("hello")
    world.repo.publish_all()
    (world.repo.root / "debian-security").rename(world.repo.root / "sec")
    (apt / "sources.list").write_text(f"deb {world.mirror.url}/sec trixie-security main\n")
    assert Archive.open(world.context, "amd64").mirrors["trixie-security"] == f"{world.mirror.url}/sec"


def test_the_public_mirror_at_last(world: World, apt: Path) -> None:
    (apt / "sources.list").write_text("deb http://127.0.0.1:1/debian trixie main\n")
    context = unset(world)
    assert find_mirror(context, Http(context)).main == PUBLIC_MIRROR
    (apt / "sources.list").unlink()
    assert find_mirror(context, Http(context)).main == PUBLIC_MIRROR
    offline = replace(context, offline=True)
    assert find_mirror(offline, Http(offline)).security == (f"{PUBLIC_MIRROR}-security",)
