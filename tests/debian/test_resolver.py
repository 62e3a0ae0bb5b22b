"""The resolver by apt's rules, on small made-up archives."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hullkit.debian.index import Candidate
from hullkit.debian.relations import Relation, parse_relations
from hullkit.debian.resolver import Universe, resolve
from hullkit.errors import ConfigError, NotFound


def universe(*paragraphs: str) -> Universe:
    """Packages as "name version; Field: value; …"."""
    known: dict[str, Candidate] = {}
    for text in paragraphs:
        head, *rest = (part.strip() for part in text.split(";"))
        name, _, version = head.partition(" ")
        fields = {"package": name, "version": version or "1"}
        fields |= {key.lower(): value.strip() for key, _, value in (part.partition(":") for part in rest)}
        known[name] = Candidate(fields, "test")

    def providers(virtual: str) -> list[Candidate]:
        found = [c for c in known.values() if any(p.name == virtual for p in c.provides)]
        return sorted(found, key=lambda c: c.rank)

    return Universe(known.get, providers, lambda name: [n for n in known if n[0] == name[0]], "amd64")


def names(where: Universe, *roots: str, recommends: bool = False, prune: tuple[str, ...] = ()) -> list[str]:
    return [c.name for c in resolve(where, roots, recommends=recommends, prune=prune)]


def test_relations() -> None:
    assert parse_relations("a (>= 1) | b:any, c(=2), , d") == (
        (Relation("a", "", ">=", "1"), Relation("b", "any")),
        (Relation("c", "", "=", "2"),),
        (Relation("d"),),
    )
    assert parse_relations("") == ()
    assert [str(r) for r in parse_relations("a (>= 1) | b:any")[0]] == ["a (>= 1)", "b:any"]


def test_closure_is_sorted_and_follows_both_kinds_of_dependency() -> None:
    u = universe("a; Depends: c, b", "b; Pre-Depends: d", "c", "d", "unrelated")
    assert names(u, "a") == ["a", "b", "c", "d"]


def test_a_cycle_ends() -> None:
    assert names(universe("a; Depends: b", "b; Depends: a"), "a") == ["a", "b"]


def test_first_alternative_that_can_be_had() -> None:
    assert names(universe("a; Depends: b | c", "b", "c"), "a") == ["a", "b"]
    assert names(universe("a; Depends: b (>= 2) | c", "b", "c"), "a") == ["a", "c"]
    assert names(universe("a; Depends: gone | c", "c"), "a") == ["a", "c"]


def test_an_alternative_that_is_there_already_is_taken() -> None:
    assert names(universe("a; Depends: b | c", "b", "c"), "a", "c") == ["a", "c"]
    assert names(universe("a; Depends: v", "b; Provides: v", "c; Provides: v"), "a", "c") == ["a", "c"]


def test_real_before_provided() -> None:
    u = universe("a; Depends: mail", "mail", "big; Provides: mail")
    assert names(u, "a") == ["a", "mail"]


def test_providers_by_priority_then_name() -> None:
    u = universe("a; Depends: v", "x; Provides: v; Priority: optional", "z; Provides: v; Priority: important")
    assert names(u, "a") == ["a", "z"]
    u = universe("a; Depends: v", "y; Provides: v; Priority: optional", "x; Provides: v; Priority: optional")
    assert names(u, "a") == ["a", "x"]


def test_a_bound_needs_a_versioned_provides() -> None:
    u = universe("a; Depends: v (>= 2)", "x; Provides: v", "y; Provides: v (= 1)", "z; Provides: v (= 3)")
    assert names(u, "a") == ["a", "z"]


def test_a_clash_makes_the_other_alternative_be_taken() -> None:
    u = universe("a; Depends: b | c", "b; Conflicts: d", "c", "d")
    assert names(u, "a", "d") == ["a", "c", "d"]
    # The clash shows only later, and deeper: the choice is undone.
    u = universe("a; Depends: b | c, d", "b", "c", "d; Depends: e", "e; Breaks: b (<< 5)")
    assert names(u, "a") == ["a", "c", "d", "e"]


def test_an_alternative_that_leads_nowhere_is_undone() -> None:
    u = universe("a; Depends: b | c", "b; Depends: d", "d; Depends: gone", "c")
    assert names(u, "a") == ["a", "c"]


def test_a_package_does_not_exclude_itself() -> None:
    u = universe("a; Depends: mta", "exim; Provides: mta; Conflicts: mta", "postfix; Provides: mta; Conflicts: mta")
    assert names(u, "a") == ["a", "exim"]
    with pytest.raises(ConfigError, match="exim"):
        names(u, "exim", "postfix")


def test_versioned_conflict_looks_at_the_version() -> None:
    u = universe("a; Breaks: b (<< 2)", "b 3")
    assert names(u, "a", "b") == ["a", "b"]
    with pytest.raises(ConfigError, match="exclude"):
        names(universe("a; Breaks: b (<< 2)", "b 1"), "a", "b")


def test_recommends_only_when_asked_and_never_required() -> None:
    u = universe("a; Recommends: b, gone, clashing", "b", "clashing; Conflicts: a")
    assert names(u, "a") == ["a"]
    assert names(u, "a", recommends=True) == ["a", "b"]


def test_a_recommended_package_that_cannot_be_had_is_left_out() -> None:
    u = universe("a; Recommends: b", "b; Depends: gone")
    assert names(u, "a", recommends=True) == ["a"]


def test_pruned_counts_as_installed() -> None:
    u = universe("a; Depends: b, v, c | d", "b; Depends: deep; Provides: v", "deep", "c", "d", "x; Provides: v")
    assert names(u, "a", prune=("b", "d")) == ["a"]
    # A name that is no package can be pruned as well.
    assert names(universe("a; Depends: gone"), "a", prune=("gone",)) == ["a"]
    # What is pruned excludes nothing.
    assert names(universe("a; Conflicts: b; Depends: b | c", "b", "c"), "a", prune=("b",)) == ["a"]


def test_qualifiers() -> None:
    u = universe("a; Depends: b:any, c:native, d:amd64", "b", "c", "d")
    assert names(u, "a") == ["a", "b", "c", "d"]
    with pytest.raises(ConfigError, match="b:i386"):
        names(universe("a; Depends: b:i386", "b"), "a")


def test_unknown_and_virtual_roots() -> None:
    u = universe("nginx", "x; Provides: httpd")
    with pytest.raises(NotFound, match="'nginxx'") as caught:
        names(u, "nginxx")
    assert "nginx" in (caught.value.hint or "")
    with pytest.raises(NotFound, match="virtual") as caught:
        names(u, "httpd")
    assert "x" in (caught.value.hint or "")


def test_messages_tell_the_way() -> None:
    u = universe("a; Depends: b", "b; Depends: c (>= 9)", "c 1")
    with pytest.raises(ConfigError, match=r"a → b needs c \(>= 9\), which no package satisfies"):
        names(u, "a")
    u = universe("a; Depends: b", "b; Depends: c", "c; Conflicts: r", "r")
    with pytest.raises(ConfigError, match="a → b needs c; c excludes r"):
        names(u, "a", "r")


def test_many_packages() -> None:
    """A chain deeper than Python's stack, and a wide fan."""
    chain = [f"p{i}; Depends: p{i + 1}" for i in range(1500)] + ["p1500"]
    assert len(names(universe(*chain), "p0")) == 1501


NAMES = [f"p{i}" for i in range(7)]
VIRTUALS = ["v0", "v1"]
relation_texts = st.builds(
    lambda name, bound: f"{name} ({bound})" if bound else name,
    st.sampled_from(NAMES + VIRTUALS),
    st.sampled_from(["", "", "", ">= 2", "<< 2", "= 1"]),
)
groups = st.lists(relation_texts, min_size=1, max_size=3).map(" | ".join)


@st.composite
def archives(draw: st.DrawFn) -> list[str]:
    """Paragraphs of random packages with alternatives, virtual names, bounds and conflicts."""
    paragraphs = []
    for name in NAMES:
        parts = [f"{name} {draw(st.sampled_from(['1', '2', '3']))}"]
        parts.append("Depends: " + ", ".join(draw(st.lists(groups, max_size=3))))
        parts.append("Recommends: " + ", ".join(draw(st.lists(groups, max_size=1))))
        parts.append("Conflicts: " + ", ".join(draw(st.lists(relation_texts, max_size=1))))
        parts.append("Provides: " + ", ".join(draw(st.lists(st.sampled_from(["v0", "v1", "v1 (= 2)"]), max_size=1))))
        paragraphs.append("; ".join(parts))
    return paragraphs


@settings(max_examples=400, deadline=None)
@given(archives(), st.lists(st.sampled_from(NAMES), min_size=1, max_size=2), st.booleans())
def test_every_answer_is_closed_and_without_conflicts(
    paragraphs: list[str], roots: list[str], recommends: bool
) -> None:
    where = universe(*paragraphs)
    try:
        found = resolve(where, roots, recommends=recommends)
    except ConfigError as error:
        assert "\n" not in str(error)
        return
    assert set(roots) <= {c.name for c in found}
    for candidate in found:
        for group in candidate.required:
            assert any(other.satisfies(relation) for relation in group for other in found), (candidate.name, group)
        for relation in candidate.conflicts:
            assert not any(other.satisfies(relation) for other in found if other is not candidate)
