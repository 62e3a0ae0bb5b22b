"""YAML text → nodes: yaml.v3's scalar rules, merge keys, positions, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from hullkit.config.yamlnodes import (
    DEFAULT_PARSER,
    MappingNode,
    Node,
    PureParser,
    ScalarNode,
    SequenceNode,
    compose,
    decode_text,
    resolve,
)
from hullkit.errors import ConfigError


def plain(node: Node) -> Any:
    if isinstance(node, ScalarNode):
        return node.value
    if isinstance(node, SequenceNode):
        return [plain(item) for item in node.items]
    assert isinstance(node, MappingNode)
    return {key.text: plain(value) for key, value in node.pairs}


def read(text: str, parser: Any = DEFAULT_PARSER) -> Any:
    problems: list[str] = []
    node, _ = compose(
        text, "f.yml", lambda message, line, column: problems.append(f"{line}:{column}: {message}"), parser
    )
    assert not problems, problems
    return plain(node)


def refused(text: str) -> str:
    """The message of the error, or of the first problem."""
    problems: list[str] = []
    try:
        compose(text, "f.yml", lambda message, line, column: problems.append(f"f.yml:{line}:{column}: {message}"))
    except ConfigError as error:
        return str(error)
    assert problems, "accepted"
    return problems[0]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("22:22", "22:22"),
        ("yes", "yes"),
        ("on", "on"),
        ("no", "no"),
        ("y", "y"),
        ("true", True),
        ("FALSE", False),
        ("tRue", "tRue"),
        ("~", None),
        ("", None),
        ("Null", None),
        ("010", 8),
        ("0o10", 8),
        ("0x10", 16),
        ("-0x1f", -31),
        ("0b101", 5),
        ("08", 8.0),
        ("0o8", "0o8"),
        ("1.0", 1.0),
        ("1.", 1.0),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("1_000", 1000),
        ("_1", "_1"),
        ("+5", 5),
        ("-", "-"),
        (".", "."),
        ("1e999", "1e999"),
        ("18446744073709551615", (1 << 64) - 1),
        ("18446744073709551616", float(1 << 64)),
        ("-9223372036854775808", -(1 << 63)),
        ("9" * 200, "9" * 200),
        ("2001-01-01", "2001-01-01"),
        ("2001-01-01T10:00:00Z", "2001-01-01T10:00:00Z"),
        (".inf", float("inf")),
        ("-.INF", float("-inf")),
    ],
)
def test_plain_scalars_resolve_as_in_yaml_v3(text: str, value: object) -> None:
    found = resolve(text)
    assert found == value
    assert type(found) is type(value)


def test_quoted_and_block_scalars_are_text() -> None:
    assert read("a: '1'\nb: \"true\"\nc: |\n  2\nd: >-\n  3\n") == {"a": "1", "b": "true", "c": "2\n", "d": "3"}


def test_tags() -> None:
    assert read("a: !!str 12\nb: !!int '12'\nc: !!float 1\nd: !!binary aGk=\ne: !mine x\nf: ! 12\n") == {
        "a": "12",
        "b": 12,
        "c": 1.0,
        "d": "hi",
        "e": "x",
        "f": 12,
    }
    assert 'f.yml:1:4: "x" is not a value of the tag !!int' in refused("a: !!int x")
    assert "base64" in refused("a: !!binary '*'")


def test_merge_keys() -> None:
    text = "a: &a {p: 1, q: 2}\nb: {<<: *a, q: 3}\nc:\n  <<: [{z: 1, q: 9}, *a]\nd: {'<<': 5}\n"
    assert read(text) == {
        "a": {"p": 1, "q": 2},
        "b": {"q": 3, "p": 1},
        "c": {"z": 1, "q": 9, "p": 1},
        "d": {"<<": 5},
    }
    assert "f.yml:1:5: a merge key" in refused("<<: 1\n")


def test_positions_count_from_one_and_in_characters() -> None:
    node, _ = compose("é: [x,\n  {k: v}]\n", "f.yml", lambda *_: None)
    assert isinstance(node, MappingNode)
    key, value = node.pairs[0]
    assert (key.line, key.column, value.line, value.column) == (1, 1, 1, 4)
    assert isinstance(value, SequenceNode)
    inner = value.items[1]
    assert isinstance(inner, MappingNode)
    assert (inner.line, inner.column) == (2, 3)
    assert (inner.pairs[0][1].line, inner.pairs[0][1].column) == (2, 7)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\na: 2\n", 'f.yml:2:1: the key "a" is here twice, first on line 1'),
        ("? [x]\n: 1\n", "f.yml:1:3: a list or map cannot be a key"),
        ("", "f.yml:1:1: the document is empty"),
        ("# only a comment\n", "f.yml:1:1: the document is empty"),
        ("init:\n\t- x\n", "f.yml:2:1: not valid YAML: a tab"),
        ("a: b: c\n", "f.yml:1:5: not valid YAML: a second ': '"),
        ("a: @x\n", "f.yml:1:4: not valid YAML: a value cannot begin with @ (quote it)"),
        ("a: [x\n", "f.yml:1:4: not valid YAML: a list [...] or map {...} that is not closed"),
        ("a: 'x\n", "f.yml:1:4: not valid YAML: a quoted text that is not closed"),
        ("a: 1\nb: \x07\n", "f.yml:2:4: not valid YAML: a control character"),
        ("a: *b\n", "f.yml:1:4: the anchor &b is not defined"),
        ("a: &b [*b]\n", "f.yml:1:8: the value of the anchor &b contains itself"),
        ("[" * 5000, "f.yml:1:102: nested more than 100 deep"),
    ],
)
def test_refused_with_place(text: str, message: str) -> None:
    assert message in refused(text)


def test_alias_bomb_is_refused_at_once() -> None:
    lines = ["a: &a [" + ",".join("x" * 10) + "]"]
    lines += [f"{chr(98 + n)}: &{chr(98 + n)} [{','.join(['*' + chr(97 + n)] * 10)}]" for n in range(20)]
    assert "aliases counted as often as they are used" in refused("\n".join(lines))


def test_only_the_first_document_is_read() -> None:
    node, second = compose("a: 1\n---\nb: 2\n", "f.yml", lambda *_: None)
    assert plain(node) == {"a": 1}
    assert str(second) == "f.yml:2:1"


def test_encodings() -> None:
    assert decode_text("é".encode(), "f") == "é"
    assert decode_text(b"\xef\xbb\xbfx", "f") == "x"
    assert decode_text("é".encode("utf-16"), "f") == "é"
    with pytest.raises(ConfigError, match="f:2:1: not valid UTF-8"):
        decode_text(b"a: b\nc: \xff\n", "f")


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 64) - 1) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None)
@given(_JSON)
def test_what_yaml_writes_is_read_back_by_both_parsers(value: Any) -> None:
    text = yaml.dump(value, default_style='"', allow_unicode=False)
    # quoted with tags: !!int "1", !!null "null", ...
    assert read(text) == value
    assert read(text, PureParser) == value


@pytest.mark.hostile
def test_nested_aliases_are_as_deep_as_what_they_stand_for() -> None:
    chain = "".join(f"k{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 600))
    assert "nested more than 100 deep" in refused("k0: &a0 x\n" + chain)
    merged = "".join(f"k{n}: &a{n} {{<<: {{x{n}: *a{n - 1}}}}}\n" for n in range(1, 600))
    assert "nested more than 100 deep" in refused("k0: &a0 x\n" + merged)


@pytest.mark.hostile
def test_an_alias_deep_inside_counts_from_where_it_stands() -> None:
    inner, outer = "[" * 60 + "]" * 60, "[" * 60 + "*a" + "]" * 60
    assert "nested more than 100 deep" in refused(f"a: &a {inner}\nb: {outer}\n")
    read(f"a: &a {inner}\nb: [*a]\n")
