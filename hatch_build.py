"""Build hook: a wheel carries init for the host's architecture (``HULLKIT_GUEST_ARCHES=all`` or a list: for those).

An editable install compiles nothing: hullkit compiles from the checkout when it first needs the binary.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class GuestBuildHook(BuildHookInterface[Any]):
    """Compiles ``guest/init`` into ``src/hullkit/_guest/ARCH/init``."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if self.target_name != "wheel" or version == "editable":
            return
        root = Path(self.root)
        sys.path.insert(0, str(root / "src"))
        try:
            from hullkit.cache import Cache
            from hullkit.component.gobuild import GUEST_ARCHES, compile_program, find_goroot
            from hullkit.context import MACHINE_TO_ARCH, Context
        finally:
            sys.path.pop(0)

        wanted = os.environ.get("HULLKIT_GUEST_ARCHES") or MACHINE_TO_ARCH.get(platform.machine(), "")
        arches = GUEST_ARCHES if wanted == "all" else tuple(wanted.replace(",", " ").split())
        if unknown := [arch for arch in arches if arch not in GUEST_ARCHES]:
            raise ValueError(f"HULLKIT_GUEST_ARCHES: unknown {', '.join(unknown)}; known: {', '.join(GUEST_ARCHES)}")
        # What an earlier build left is of older sources.
        shutil.rmtree(root / "src" / "hullkit" / "_guest", ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix="hullkit-go-") as cache:
            for arch in arches:
                out = root / "src" / "hullkit" / "_guest" / arch / "init"
                out.parent.mkdir(parents=True, exist_ok=True)
                compile_program(Context(Cache(Path(cache))), root / "guest" / "init", arch, out, goroot=find_goroot())
