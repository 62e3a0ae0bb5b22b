"""A strict lock (``--locked``) refuses by name whatever it does not hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from hullkit.build.locking import codecs
from hullkit.errors import DriftError
from hullkit.lock.lock import Lock, Pins


def strict(pins: Pins) -> Lock:
    return Lock(pins, Path("web.lock"), strict=True)


def test_a_recipe_that_is_not_locked_is_refused() -> None:
    pins = Pins(recipes={"dhcp": "a" * 64})
    with pytest.raises(DriftError, match="the component rng is not locked"):
        strict(pins).require({"dhcp": "a" * 64, "rng": "b" * 64}, {})


def test_a_recipe_that_changed_is_refused() -> None:
    with pytest.raises(DriftError, match="the recipe of the component rng has changed"):
        strict(Pins(recipes={"rng": "a" * 64})).require({"rng": "b" * 64}, {})


def test_a_codec_that_is_not_locked_is_refused() -> None:
    with pytest.raises(DriftError, match="zlib is 1 here and not in the lock"):
        strict(Pins()).require({}, {"zlib": "1"})


def test_a_lock_that_is_not_strict_takes_them() -> None:
    Lock(Pins(), Path("web.lock"), strict=False).require({"rng": "b" * 64}, {"zlib": "1"})


def test_every_codec_is_pinned() -> None:
    assert {"zstandard", "zlib"} <= codecs().keys()
