"""LinuxKit's own configurations load; its golden invalid ones are refused with a place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hullkit.config.dump import to_data
from hullkit.config.load import load
from hullkit.errors import HullError
from tests.assemble import golden
from tests.config.corpus import LINUXKIT, REFUSED, linuxkit_files

needs_corpus = pytest.mark.skipif(not LINUXKIT.is_dir(), reason="LinuxKit's configurations are not beside the checkout")
needs_golden = pytest.mark.skipif(not golden.CASES.is_dir(), reason="the golden cases are not beside the checkout")


@needs_corpus
def test_there_are_many() -> None:
    assert len(linuxkit_files()) > 150
    assert set(REFUSED) <= set(linuxkit_files())


@needs_corpus
@pytest.mark.parametrize("name", [name for name in linuxkit_files() if name not in REFUSED])
def test_loads(name: str) -> None:
    config = load([LINUXKIT / name], resolve_pkg=lambda path, base: f"lab/{Path(path).name}:hash")
    data = to_data(config)
    assert data["services"] or data["onboot"] or data["init"] or data["files"] or data["kernel"]["image"]


@needs_corpus
@pytest.mark.parametrize("name", sorted(REFUSED))
def test_refused(name: str) -> None:
    with pytest.raises(HullError) as caught:
        load([LINUXKIT / name])
    assert f"{name}{REFUSED[name]}" in str(caught.value)


#: nothing is wrong with these YAML files: options, images or servers are at fault
NOT_THE_TEXT = {
    "e23", "e52", "e54", "e56", "e57", "e62", "e71", "e78", "e85", "e88", "e95",
}  # fmt: skip
#: LinuxKit takes these by not looking, or refuses them by mistake (e80 forgets the volumes of earlier files)
ACCEPTED = {"e80", "e82", "e94"}
WORDS = {
    "e01": "bogus", "e02": "bogus", "e03": "bogus", "e07": "init", "e09": "mode", "e10": "readonly", "e16": "A B",
    "e17": "format", "e18": "volume", "e21": "nov", "e22": "nov", "e25": "CAP_BOGUS", "e27": "all", "e30": "rlimit",
    "e33": "bind", "e34": "tmpfs", "e36": "destination", "e37": "mode", "e41": "nobody", "e43": "path",
    "e44": "contents", "e45": "metadata", "e46": "metadata", "e51": "symlink", "e63": "YAML", "e64": "empty",
    "e66": "tab", "e68": "lab/UPPER", "e74": "nofile.yml", "e75": "@pkg", "e77": "volume", "e89": "init",
    "e91": "symlink", "e92": "path", "e98": "env",
}  # fmt: skip


def _invalid() -> list[dict[str, Any]]:
    path = golden.CASES / "invalid" / "invalid.json"
    return json.loads(path.read_text()) if path.exists() else []


@needs_golden
@pytest.mark.parametrize("case", _invalid(), ids=lambda case: case["case"])
def test_golden_invalid(case: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = [each for each in case["args"] if each.endswith(".yml")]
    for name, text in zip(names, case["yml"], strict=False):
        Path(name).write_text(text)
    key = case["case"][:3]
    if key in NOT_THE_TEXT | ACCEPTED:
        load(names)
        return
    with pytest.raises(HullError) as caught:
        load(names)
    message = str(caught.value)
    assert WORDS[key] in message
    assert len(message) <= 400 and "\n" not in message
    assert caught.value.where is not None or key == "e74"


@needs_golden
@pytest.mark.parametrize("name", golden.case_names())
def test_golden_valid(name: str) -> None:
    load(golden.case_files(name), resolve_pkg=lambda path, base: f"lab/{Path(path).name}:hash")
