"""Build steps: ids and the step cache.

A step's id is a hash of its inputs, of the sources of the modules that do the work, and of the versions of the
codecs and tools it uses (the caller puts those among the inputs). Its result is a file or directory
``steps/KIND/ID``, made once however many builds ask for it at the same time.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Callable
from functools import cache as memoise
from pathlib import Path
from typing import Any

from hullkit.context import Context


@memoise
def _module_digest(name: str) -> str:
    # find_spec imports only parent packages, so this does not cost the import of the module itself.
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise ImportError(name)
    return hashlib.sha256(Path(spec.origin).read_bytes()).hexdigest()


def code_id(*modules: str) -> str:
    """A digest over the source of the named modules: a change of code is a change of id."""
    return hashlib.sha256("".join(_module_digest(name) for name in modules).encode()).hexdigest()


def step_id(kind: str, inputs: Any, code: tuple[str, ...]) -> str:
    """The id of a step; ``inputs`` is JSON-like data, ``code`` the modules whose change must invalidate the result."""
    text = json.dumps([kind, inputs, code_id(*code)], sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def cached_path(context: Context, kind: str, identity: str, make: Callable[[Path], None], *, suffix: str = "") -> Path:
    """``steps/KIND/IDENTITY[suffix]``; made by ``make(temporary path)`` when absent."""
    final = context.cache.path("steps", kind, identity + suffix)
    if final.exists():
        return final
    with context.cache.lock(f"step {kind} {identity}{suffix}"):
        if final.exists():
            return final
        with context.cache.temp_dir() as work:
            made = work / ("made" + suffix)
            make(made)
            context.cache.publish(made, final)
    return final
