"""Every config.json and runtime.json of the golden cases, computed from the YAML and the images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hullkit.assemble.spec import effective_config, runtime_json, runtime_spec, with_volumes
from hullkit.config.load import load, parse_image_config
from hullkit.config.model import container_ids
from tests.assemble import golden

pytestmark = pytest.mark.skipif(not golden.CASES.is_dir(), reason="the golden cases are not beside the checkout")


def _packages(path: str, base: str) -> str:
    return f"docker.io/tplorg/lab{Path(path).name}:hash"


def _computed(name: str) -> dict[str, Any]:
    """bundle path and file -> content, of all containers of a case."""
    config = load(golden.case_files(name), resolve_pkg=_packages)
    ids = container_ids(config)
    found = {}
    for section, index, entry in config.containers():
        image = golden.config_of(entry.image, "arm64" if "arm64" in name else "amd64")
        label = image.get("Labels", {}).get("org.mobyproject.config")
        parsed = parse_image_config(label, f"the label of {entry.image}") if label else None
        effective = effective_config(with_volumes(entry, config, mounts=False), parsed, image)
        bundle = f"containers/{section}/{entry.name if section == 'services' else f'{index:03d}-{entry.name}'}"
        found[f"{bundle}/config.json"] = runtime_spec(effective, rootfs_path="rootfs", ids=ids, hardened=False)
        found[f"{bundle}/runtime.json"] = runtime_json(effective)
    return found


def _without_root_mounts(runtime: dict[str, Any]) -> dict[str, Any]:
    """Less the mounts of the container's own root, which the layout adds."""
    mounts = [mount for mount in runtime["mounts"] if not mount["destination"].startswith("/containers/")]
    return {**runtime, "mounts": mounts}


@pytest.mark.parametrize("name", golden.case_names() if golden.CASES.is_dir() else [])
def test_case(name: str) -> None:
    wanted = {
        path.name.replace("__", "/"): json.loads(path.read_text())
        for path in sorted((golden.CASES / name).glob("configs/*.json"))
    }
    computed = _computed(name)
    if not wanted:
        return  # no container, or a dry run
    if name != "056-service-name-chars":  # names with "/" are left out of its golden files
        assert sorted(wanted) == sorted(computed)
    for path, value in wanted.items():
        expected = _without_root_mounts(value) if path.endswith("runtime.json") else value
        assert computed[path] == expected, path
