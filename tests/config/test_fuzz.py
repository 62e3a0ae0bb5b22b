"""Whatever is in the text: a valid configuration, or a HullError with a place; never another exception."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st

from hullkit.config.dump import dump_yaml
from hullkit.config.load import parse_image_config, read, unfit_for_hullkit, unsupported
from hullkit.errors import ConfigError, HullError
from tests.config.corpus import own_texts

TEXTS = own_texts()
_PIECES = st.sampled_from(
    [
        *("&a ", "*a", "<<: ", "!!int ", "!x ", "|\n", ">-\n", "[", "]", "{", "}", ": ", "- ", "? ", "#", '"', "'"),
        *("\t", "\n", "\n  ", "~", "0x", "1e9", "-1", ".nan", "true", "\x00", "\ud7ff", "\u2028", "%", "@", "`"),
        *("---\n", "...\n", "9" * 30, "all", "services:", "name:", "é"),
    ]
)


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """A valid text with a few cuts, insertions, repetitions and swapped lines."""
    text = draw(st.sampled_from(TEXTS))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(text)))
        kind = draw(st.integers(0, 4))
        if kind == 0:
            text = text[:at] + draw(_PIECES) + text[at:]
        elif kind == 1:
            text = text[:at] + text[at + draw(st.integers(1, 40)) :]
        elif kind == 2:
            text = text[:at] + draw(st.text(max_size=5)) + text[at + draw(st.integers(0, 5)) :]
        else:
            lines = text.split("\n")
            first, second = (draw(st.integers(0, len(lines) - 1)) for _ in range(2))
            lines[first] = lines[second] if kind == 3 else lines[first].replace(lines[second].strip() or "x", "y")
            text = "\n".join(lines)
    return text


def check(data: bytes) -> None:
    config, found = read(["-"], stdin=data)
    for error in found:
        assert isinstance(error, ConfigError)
        assert error.where is not None
        assert error.where.file == "<stdin>"
        assert error.where.line >= 1 and error.where.column >= 1
        assert str(error).isprintable()
    if not found:
        unsupported(config)
        unfit_for_hullkit(config)
        dump_yaml(config)


@settings(max_examples=400, deadline=None)
@given(mutated())
@example("services: [{name: a, image: b, devices: [{path: all}]}]")
@example("a: !!binary /w==")
@example("? ? x")
def test_mutated_texts(text: str) -> None:
    check(text.encode("utf-8", "surrogatepass"))


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=60))
def test_bytes(data: bytes) -> None:
    check(data)


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=40) | mutated())
def test_labels(text: str) -> None:
    try:
        parse_image_config(text.encode("utf-8", "surrogatepass"), "the label")
    except HullError as error:
        assert error.where is not None
