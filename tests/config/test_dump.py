"""The configuration as text again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from hullkit.config.dump import dump_yaml, metadata_yaml
from hullkit.config.load import load
from hullkit.config.model import Origin, SystemConfig
from tests.assemble import golden
from tests.config.corpus import LINUXKIT, REFUSED, linuxkit_files, own_texts

needs_golden = pytest.mark.skipif(not golden.CASES.is_dir(), reason="the golden cases are not beside the checkout")


def said(config: SystemConfig) -> SystemConfig:
    """Less what a dump does not say: places, LinuxKit's trust, and that directory and optional are false."""
    files = tuple(
        msgspec.structs.replace(file, directory=bool(file.directory), optional=bool(file.optional))
        for file in config.files
    )
    kernel = msgspec.structs.replace(config.kernel, image=config.kernel.image or "")
    return msgspec.structs.replace(config, origin=Origin(), trust=None, files=files, kernel=kernel)


@pytest.mark.parametrize("text", own_texts())
def test_reads_back_the_same(text: str) -> None:
    config = load(["-"], stdin=text.encode())
    again = load(["-"], stdin=dump_yaml(config).encode())
    assert said(again) == said(config)
    assert dump_yaml(again) == dump_yaml(config)


@pytest.mark.skipif(not LINUXKIT.is_dir(), reason="LinuxKit's configurations are not beside the checkout")
def test_linuxkits_configurations_read_back_the_same() -> None:
    for name in linuxkit_files():
        if name not in REFUSED:
            config = load([LINUXKIT / name], resolve_pkg=lambda path, base: "lab/x")
            assert said(load(["-"], stdin=dump_yaml(config).encode())) == said(config), name


@settings(max_examples=150, deadline=None)
@given(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
    | st.from_regex(r"[-+.0-9exob_:~]{1,8}", fullmatch=True)
)
def test_any_text_reads_back_the_same(text: str) -> None:
    document = yaml.dump({"files": [{"path": "a", "contents": text}]}, default_style='"')
    config = load(["-"], stdin=document.encode())
    assert load(["-"], stdin=dump_yaml(config).encode()).files[0].contents == text


def _meaning(value: Any) -> Any:
    """As the golden cases are compared: key case, null and empty values do not matter."""
    if isinstance(value, dict):
        pairs = {key.lower(): _meaning(each) for key, each in value.items()}
        return {key: each for key, each in pairs.items() if each not in (None, {}, [], "", False)}
    return [_meaning(each) for each in value] if isinstance(value, list) else value


def _golden_metadata() -> list[Path]:
    return [path for path in sorted(golden.CASES.glob("*/generated__*")) if "sbom" not in path.name]


@needs_golden
@pytest.mark.parametrize("path", _golden_metadata(), ids=lambda path: path.parent.name)
def test_metadata_is_linuxkits(path: Path) -> None:
    def resolve(package: str, base: str) -> str:
        tags = {"one": "433f4d6d71d621fab72d264c840aa6e8f441333d", "two": "aed7b80c5873730301a9f25594984ebebb45d02d"}
        name = Path(package).name
        return f"docker.io/tplorg/lab{name}:{tags[name]}"

    config = load(golden.case_files(path.parent.name), resolve_pkg=resolve)
    assert _meaning(yaml.safe_load(metadata_yaml(config))) == _meaning(yaml.safe_load(path.read_text()))


@needs_golden
def test_dry_run_is_linuxkits() -> None:
    case = golden.CASES / "162-dry-run"
    wanted = json.loads((case / "result.json").read_text())["stdout"]
    text = dump_yaml(load(golden.case_files("162-dry-run")))
    assert _meaning(yaml.safe_load(text)) == _meaning(yaml.safe_load(wanted))
