"""The golden cases of LinuxKit beside the checkout, when they are there: inputs, images' configurations, results."""

from __future__ import annotations

import importlib.util
import json
import os
import tempfile
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

ROOT = Path(__file__).parents[3] / "shared" / "linuxkit-golden"
CASES = ROOT / "golden"


def case_names() -> list[str]:
    return sorted(path.parent.name for path in CASES.glob("*/result.json"))


def case_files(name: str) -> list[str]:
    """The YAML files of a case, in the order of its command line."""
    arguments = json.loads((CASES / name / "result.json").read_text())["args"]
    return [str(CASES / name / each) for each in arguments if each.endswith(".yml")] or [
        str(CASES / name / f"{name}.yml")
    ]


@cache
def image_configs() -> dict[str, dict[str, Any]]:
    """``config`` objects by image name: what the golden images' maker is asked to make, without making it."""
    made: dict[str, dict[str, Any]] = {}

    def img(name: str, layers: object, config: dict[str, Any] | None = None, **_: object) -> str:
        made[name] = config or {}
        return ""

    def idx(name: str, variants: list[dict[str, Any]], **_: object) -> None:
        for variant in variants:
            made.setdefault(f"{name} {variant.get('arch', 'amd64')}", variant.get("config") or {})

    with tempfile.TemporaryDirectory() as work, mock.patch.dict(os.environ, GOLDEN_ROOT=work):
        spec = importlib.util.spec_from_file_location("golden_mkimages", ROOT / "mkimages.py")
        assert spec is not None and spec.loader is not None
        module: Any = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        module.img, module.idx, module.push_all = img, idx, lambda: 0
        module.sparse_tar = lambda: b""
        module.main()
    return made


def config_of(image: str, arch: str = "amd64") -> dict[str, Any]:
    """The configuration of an image as an entry names it."""
    name, _, digest = image.removeprefix("docker.io/").removeprefix("127.0.0.1:5000/").partition("@")
    if name.startswith("tplorg/"):
        return {"Cmd": ["/tpl"]}
    if digest:
        name = next(each for each, known in _digests().items() if known == digest)
    name = name if ":" in name else f"{name}:latest"
    return image_configs()[name] if name in image_configs() else image_configs()[f"{name} {arch}"]


@cache
def _digests() -> dict[str, str]:
    digests: dict[str, str] = json.loads((CASES / "images.json").read_text())
    return digests
