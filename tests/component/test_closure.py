"""Which files of packages go into an image."""

from __future__ import annotations

import pytest

from hullkit.component.closure import Closure, Pool, existing, link_target, missing_interpreters
from hullkit.component.globs import glob_regex, matches_any, optional
from hullkit.component.packages import guess_package
from hullkit.errors import ConfigError
from hullkit.tree.entry import Bytes, Entry, EntryType, Owner
from tests.component.elffile import elf

LIB = "usr/lib/x86_64-linux-gnu"
LOADER = "/lib64/ld-linux-x86-64.so.2"


def file(path: str, data: bytes = b"", package: str = "p_1", mode: int = 0o755) -> Entry:
    return Entry(path, EntryType.FILE, mode, content=Bytes(data), mtime=7, owner=Owner(package=package))


def link(path: str, target: str, package: str = "p_1") -> Entry:
    return Entry(path, EntryType.SYMLINK, 0o777, target=target, owner=Owner(package=package))


def closure(*entries: Entry, base: tuple[Entry, ...] = (), **rest: object) -> Closure:
    pool = Pool()
    pool.add(entries)
    return Closure(pool, {entry.path: entry for entry in base}, "amd64", **rest)  # type: ignore[arg-type]


def kept(made: Closure, *patterns: str, drop: tuple[str, ...] = ()) -> list[str]:
    made.keep(patterns or None, drop)
    return sorted(made.selected)


LIBC = (file("usr/lib64/ld-linux-x86-64.so.2"), file(f"{LIB}/libc.so.6", elf()))


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("usr/bin/*", "usr/bin/x", True),
        ("usr/bin/*", "usr/bin/x/y", False),
        ("usr/**", "usr/bin/x/y", True),
        ("usr/lib/**.a", "usr/lib/x/y.a", True),
        ("a.b", "axb", False),
        ("x[0-9]", "x7", True),
        ("x[!0-9]", "x7", False),
        ("x[!0-9]", "x/", False),
        ("usr/bin/[", "usr/bin/[", True),
    ],
)
def test_patterns(pattern: str, path: str, matches: bool) -> None:
    assert bool(glob_regex(pattern).fullmatch(path)) is matches
    assert matches_any([pattern], path) is matches


def test_trailing_question_mark() -> None:
    assert optional("a?") == ("a", True)
    assert optional("a") == ("a", False)


def test_libraries_and_interpreter_come_along() -> None:
    made = closure(
        file("usr/bin/x", elf(("libx.so.1", "libc.so.6"), interpreter=LOADER)),
        link(f"{LIB}/libx.so.1", "libx.so.1.2"),
        file(f"{LIB}/libx.so.1.2", elf(("liby.so.0", "libc.so.6"))),
        file(f"{LIB}/liby.so.0", elf(("libc.so.6",))),
        file(f"{LIB}/libunused.so.0", elf()),
        *LIBC,
    )
    assert kept(made, "usr/bin/x") == sorted(
        ["usr/bin/x", f"{LIB}/libx.so.1", f"{LIB}/libx.so.1.2", f"{LIB}/liby.so.0"] + [entry.path for entry in LIBC]
    )


def test_what_a_base_has_is_not_repeated() -> None:
    program = file("usr/bin/x", elf(("libc.so.6",), interpreter=LOADER))
    assert kept(closure(program, *LIBC, base=LIBC), "usr/bin/x", f"{LIB}/*") == ["usr/bin/x"]


def test_a_missing_library_is_named_with_the_package_that_may_have_it() -> None:
    made = closure(
        file("usr/bin/x", elf(("libfoo.so.3",)), "tool_1.0"),
        guess=lambda library: guess_package(library, ("bar", "libfoo3t64")),
    )
    with pytest.raises(ConfigError) as caught:
        made.keep(["usr/bin/x"], [])
    assert "/usr/bin/x of tool_1.0 needs libfoo.so.3" in str(caught.value)
    assert "add libfoo3t64 to debian.only" in str(caught.value)


def test_private_directories_by_runpath() -> None:
    made = closure(
        file("usr/lib/app/bin/x", elf(("libp.so",), runpath="$ORIGIN/../private:/lib/elsewhere")),
        file("usr/lib/app/private/libp.so", elf(("libq.so",), runpath="/lib/elsewhere")),
        file("usr/lib/elsewhere/libq.so", elf()),
    )
    assert "usr/lib/elsewhere/libq.so" in kept(made, "usr/lib/app/bin/x")
    assert "usr/lib/app/private/libp.so" in made.selected


def test_programs_of_another_machine_are_refused() -> None:
    with pytest.raises(ConfigError, match="another machine"):
        closure(file("usr/bin/x", elf(machine=183))).keep(["usr/bin/x"], [])


def test_a_pattern_without_a_match_is_an_error_unless_it_may_miss() -> None:
    made = closure(file("usr/sbin/x"))
    with pytest.raises(ConfigError, match=r"usr/bin/x matches no file.*there is usr/sbin/x"):
        made.keep(["usr/bin/x"], [])
    made.keep(["usr/bin/x?"], [])
    assert not made.selected


def test_documentation_is_dropped_unless_named() -> None:
    entries = [file("usr/bin/x"), file("usr/share/doc/x/copyright"), file("usr/share/man/man1/x.1.gz"), file("etc/x")]
    assert kept(closure(*entries)) == ["etc/x", "usr/bin/x"]
    assert kept(closure(*entries), "usr/share/doc/x/copyright") == ["usr/share/doc/x/copyright"]
    assert kept(closure(*entries), "**", drop=("etc/*",)) == ["usr/bin/x"]


def test_without_keep_only_libraries_that_are_needed_come_from_packages_of_a_base() -> None:
    made = closure(
        file("usr/bin/x", elf(("libm.so.6",)), "x_1"),
        file(f"{LIB}/libm.so.6", elf(), "libc6_2"),
        file(f"{LIB}/libdl.so.2", elf(), "libc6_2"),
        base_packages=frozenset({"libc6"}),
    )
    assert kept(made) == ["usr/bin/x", f"{LIB}/libm.so.6"]


def test_set_id_bits_and_times_are_cleared() -> None:
    made = closure(file("usr/bin/su", mode=0o4755), file("usr/bin/wall", mode=0o2755), file("tmp", mode=0o1777))
    made.keep(None, [])
    assert [(e.mode, e.mtime) for e in made.selected.values()] == [(0o1777, 0), (0o755, 0), (0o755, 0)]


def test_a_path_of_two_packages_is_an_error_only_when_it_is_kept() -> None:
    pool = Pool()
    pool.add([file("usr/bin/x", package="a_1"), file("usr/bin/y", package="a_1")])
    pool.add([file("usr/bin/x", package="b_1")])
    Closure(pool, {}, "amd64").keep(["usr/bin/y"], [])
    with pytest.raises(ConfigError, match="a_1 and in b_1"):
        Closure(pool, {}, "amd64").keep(["usr/bin/x"], [])


def test_links_stay_inside() -> None:
    assert link_target("usr/bin/x", "../lib/y") == "usr/lib/y"
    assert link_target("usr/bin/x", "/lib/y") == "usr/lib/y"
    assert link_target("usr/bin/x", "../../../../etc/y") == "etc/y"


def test_scripts_need_their_interpreter() -> None:
    scripts = [file("usr/bin/a", b"#!/bin/sh\n"), file("usr/bin/b", b"#! /usr/bin/env python3\n")]
    assert missing_interpreters(scripts, existing([{}])) == [
        ("usr/bin/a", "/bin/sh"),
        ("usr/bin/b", "/usr/bin/python3"),
    ]
    tree = {"usr/bin/sh": link("usr/bin/sh", "busybox"), "usr/bin/busybox": file("usr/bin/busybox")}
    assert missing_interpreters(scripts, existing([tree])) == [("usr/bin/b", "/usr/bin/python3")]
    circle = {"usr/bin/sh": link("usr/bin/sh", "sh")}
    assert missing_interpreters(scripts[:1], existing([circle])) == [("usr/bin/a", "/bin/sh")]


@pytest.mark.parametrize(
    ("library", "package"),
    [
        ("libfoo.so.3", "libfoo3t64"),
        ("libpcre2-8.so.0", "libpcre2-8-0"),
        ("libz.so.1", ""),
        ("libbar_x.so.2", "libbar-x2"),
    ],
)
def test_guesses(library: str, package: str) -> None:
    assert guess_package(library, ("libbar-x2", "libfoo3t64", "libpcre2-8-0", "zlib1g")) == package
