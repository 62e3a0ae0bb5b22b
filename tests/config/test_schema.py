"""One definition drives the JSON Schema and the decoder: they take and refuse the same documents."""

from __future__ import annotations

import json
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from hullkit.config.decode import Problems, decode
from hullkit.config.model import ImageConfig, SystemFile
from hullkit.config.reference import markdown
from hullkit.config.schema import json_schema, label_schema
from hullkit.config.shapes import record
from hullkit.config.yamlnodes import compose
from tests.config.corpus import CHECKOUT, EVERYTHING
from tests.config.jsonschema import valid

SCHEMA = json_schema()


def decodes(document: Any) -> bool:
    problems = Problems("x")
    root, _ = compose(json.dumps(document), "x", problems.at)
    decode(root, SystemFile, problems)
    return not problems.found


def example() -> Any:
    # no plain scalar of it is read differently by YAML 1.1
    return yaml.safe_load(EVERYTHING)


def test_every_object_is_closed_and_every_reference_resolves() -> None:
    def look(schema: Any) -> None:
        if isinstance(schema, dict):
            if schema.get("type") == "object":
                assert "additionalProperties" in schema
            if "$ref" in schema:
                assert schema["$ref"].removeprefix("#/$defs/") in SCHEMA["$defs"]
            for each in schema.values():
                look(each)

    look(SCHEMA)
    assert all(definition["additionalProperties"] is False for definition in SCHEMA["$defs"].values())
    assert set(SCHEMA["properties"]) == set(record(SystemFile).fields)


def test_every_key_is_explained() -> None:
    for name, definition in {"top": SCHEMA, **SCHEMA["$defs"]}.items():
        assert definition["description"], name
        for key, each in definition["properties"].items():
            assert each.get("description"), f"{name}.{key}"


def test_linuxkits_keys_are_all_there() -> None:
    entry = SCHEMA["$defs"]["ServiceEntry"]["properties"]
    linuxkit = """name image capabilities capabilities.add ambient mounts binds binds.add devices tmpfs command env cwd
    net pid ipc uts userns readonly maskedPaths readonlyPaths uid gid additionalGids noNewPrivileges hostname
    oomScoreAdj rootfsPropagation cgroupsPath resources sysctl rlimits uidMappings gidMappings annotations runtime"""
    assert set(linuxkit.split()) <= set(entry)
    assert set(entry) - set(linuxkit.split()) == {
        "seccomp", "logs", "restart", "ready", "stop", "timeout", "after", "requires", "schedule",
    }  # fmt: skip
    assert set(label_schema()["properties"]) == set(record(ImageConfig).fields)


def test_the_example_is_valid_for_both() -> None:
    assert valid(example(), SCHEMA, SCHEMA)
    assert decodes(example())


_VALUES = st.sampled_from(
    [None, True, 0, 1, -1, 1.5, 1e3, "", "x", "always", "1M", "10s", "/a", [], ["x"], [1], {}, {"a": "b"}, {"tcp": 80}]
)


def _places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [at] if at else []
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in pairs:
        found += _places(each, (*at, key))
    return found


PLACES = _places(example())


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(PLACES), _VALUES, st.sampled_from(["replace", "remove", "add"]))
def test_decoder_and_schema_agree(place: tuple[Any, ...], value: Any, change: str) -> None:
    document = example()
    inner = document
    for key in place[:-1]:
        inner = inner[key]
    if change == "replace":
        inner[place[-1]] = value
    elif change == "remove":
        del inner[place[-1]]
    elif isinstance(inner, dict):
        inner[f"{place[-1]}x"] = value
    fits = valid(document, SCHEMA, SCHEMA)
    if fits != decodes(document):
        # texts in their short forms have a syntax that the schema only describes
        assert fits and isinstance(value, str), (place, value, change)


def test_the_reference_is_up_to_date() -> None:
    path = CHECKOUT / "docs" / "yaml.md"
    assert path.read_text() == markdown(), "run: hullkit schema --markdown > docs/yaml.md"
    text = path.read_text()
    for name in ("restart", "capabilities.add", "kernelTCP", "schedule", "checks"):
        assert f"`{name}`" in text
