"""The order of Debian versions."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hullkit.debian.version import compare, holds

ORDERED = [
    "0~~",
    "0~~a",
    "0~",
    "0",
    "0a",
    "0.0",
    "0.9~rc1-1",
    "0.9-1~deb12u1",
    "0.9-1",
    "0.9-1+b1",
    "0.9-1+deb13u1",
    "0.9-1.1",
    "0.9-2",
    "0.9a-1",
    "0.9+dfsg-1",
    "0.10-1",
    "1:0.1",
    "2:0~beta",
]

versions = st.from_regex(r"([0-9]{1,3}:)?[0-9][A-Za-z0-9.+~]{0,8}(-[A-Za-z0-9.+~]{1,6})?", fullmatch=True)


def test_known_order() -> None:
    for i, left in enumerate(ORDERED):
        for j, right in enumerate(ORDERED):
            assert compare(left, right) == (i > j) - (i < j), (left, right)


@pytest.mark.parametrize(
    ("left", "right"),
    [("1.0", "1.00"), ("1.0", "0:1.0"), ("1.0-0", "1.0"), ("1.", "1.0"), ("01.2", "1.02"), ("0:1-2", "1-2")],
)
def test_equal_spellings(left: str, right: str) -> None:
    assert compare(left, right) == 0


def test_huge_numbers() -> None:
    assert compare("9" * 10_000, "1" + "0" * 10_000) == -1


@given(versions, versions, versions)
def test_is_an_order(a: str, b: str, c: str) -> None:
    assert compare(a, a) == 0
    assert compare(a, b) == -compare(b, a)
    if compare(a, b) <= 0 and compare(b, c) <= 0:
        assert compare(a, c) <= 0


@given(versions)
def test_tilde_sorts_before_the_end_and_anything_else_after(version: str) -> None:
    assert compare(version + "~", version) == -1
    assert compare(version + "+1", version) == 1


@given(versions, versions)
def test_operators_agree_with_the_order(a: str, b: str) -> None:
    order = compare(a, b)
    assert holds(a, "<<", b) == (order < 0)
    assert holds(a, "<=", b) == (order <= 0)
    assert holds(a, "=", b) == (order == 0)
    assert holds(a, ">=", b) == (order >= 0)
    assert holds(a, ">>", b) == (order > 0)


@pytest.mark.skipif(shutil.which("dpkg") is None, reason="compares with dpkg")
@settings(max_examples=60, deadline=None)
@given(versions, versions)
def test_agrees_with_dpkg(a: str, b: str) -> None:
    operator = {-1: "lt", 0: "eq", 1: "gt"}[compare(a, b)]
    assert subprocess.run(["dpkg", "--compare-versions", a, operator, b], check=False).returncode == 0
