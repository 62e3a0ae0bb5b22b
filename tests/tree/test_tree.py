"""The virtual tree: layers as the OCI image specification applies them, hard links as files with several names."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hullkit.errors import ConfigError, TrustError
from hullkit.tree.entry import Bytes, Entry, EntryType
from hullkit.tree.tree import Tree

T = EntryType


def f(path: str, data: str = "", mode: int = 0o644) -> Entry:
    return Entry(path, T.FILE, mode, content=Bytes(data.encode()))


def d(path: str, mode: int = 0o755) -> Entry:
    return Entry(path, T.DIR, mode)


def s(path: str, target: str) -> Entry:
    return Entry(path, T.SYMLINK, 0o777, target=target)


def h(path: str, target: str) -> Entry:
    return Entry(path, T.HARDLINK, target=target)


def wh(path: str) -> Entry:
    directory, slash, name = path.rpartition("/")
    return f(f"{directory}{slash}.wh.{name}")


def opq(path: str) -> Entry:
    return f(f"{path}/.wh..wh..opq")


def shown(tree: Tree) -> dict[str, str]:
    """path → content, "dir", "-> target" or "= target"."""
    found = {}
    for entry in tree.entries():
        if entry.type is T.FILE:
            assert entry.content is not None
            found[entry.path] = b"".join(entry.content.chunks()).decode()
        elif entry.type is T.DIR:
            found[entry.path] = "dir"
        else:
            found[entry.path] = f"{'->' if entry.type is T.SYMLINK else '='} {entry.target}"
    return found


def layered(*layers: list[Entry]) -> Tree:
    tree = Tree()
    for layer in layers:
        tree.apply_layer(layer)
    return tree


CASES: dict[str, tuple[list[list[Entry]], dict[str, str]]] = {
    "whiteout of a file": ([[d("a"), f("a/x", "1"), f("a/y", "2")], [wh("a/x")]], {"a": "dir", "a/y": "2"}),
    "whiteout of a directory": ([[d("a"), f("a/b/c", "1")], [wh("a/b")]], {"a": "dir"}),
    "whiteout of nothing there": ([[f("a", "1")], [wh("b")]], {"a": "1"}),
    "whiteout beside its own name, before": (
        [[f("o/x", "low")], [wh("o/x"), f("o/x", "up")]],
        {"o": "dir", "o/x": "up"},
    ),
    "whiteout beside its own name, after": (
        [[f("o/x", "low")], [f("o/x", "up"), wh("o/x")]],
        {"o": "dir", "o/x": "up"},
    ),
    "whiteout and new directory": (
        [[d("o"), f("o/x", "low")], [wh("o"), d("o"), f("o/new", "n")]],
        {"o": "dir", "o/new": "n"},
    ),
    "new directory, then whiteout": (
        [[d("o"), f("o/x", "low")], [d("o"), f("o/new", "n"), wh("o")]],
        {"o": "dir", "o/new": "n"},
    ),
    "opaque first": (
        [[d("o"), f("o/x", "1"), f("o/d/y", "2")], [d("o"), opq("o"), f("o/z", "3")], [f("o/w", "4")]],
        {"o": "dir", "o/z": "3", "o/w": "4"},
    ),
    "opaque last": (
        [[d("o"), f("o/x", "1"), f("o/same", "low")], [d("o"), f("o/z", "3"), f("o/same", "up"), opq("o")]],
        {"o": "dir", "o/z": "3", "o/same": "up"},
    ),
    "opaque root": ([[f("x", "1"), f("y/z", "2")], [f(".wh..wh..opq"), f("n", "3")]], {"n": "3"}),
    "other AUFS files": ([[f("x", "1")], [f(".wh..wh.plnk/1"), f(".wh..wh.aufs")]], {"x": "1"}),
    "file becomes directory": ([[f("a", "1")], [d("a"), f("a/x", "2")]], {"a": "dir", "a/x": "2"}),
    "file becomes implicit directory": ([[f("a", "1")], [f("a/x", "2")]], {"a": "dir", "a/x": "2"}),
    "directory becomes file": ([[d("a"), f("a/x", "1")], [f("a", "2")]], {"a": "2"}),
    "directory becomes symlink": ([[d("a"), f("a/x", "1")], [s("a", "b")]], {"a": "-> b"}),
    "symlink becomes directory": (
        [[s("lib", "usr/lib"), d("usr"), d("usr/lib")], [d("lib"), f("lib/file", "x")]],
        {"lib": "dir", "lib/file": "x", "usr": "dir", "usr/lib": "dir"},
    ),
    "member below a lower symlink": (
        [[s("lib", "usr/lib"), f("usr/lib/a", "1")], [f("lib/b", "2")]],
        {"lib": "dir", "lib/b": "2", "usr": "dir", "usr/lib": "dir", "usr/lib/a": "1"},
    ),
    "member below a symlink of the same layer": (
        [[s("lib", "usr/lib"), f("usr/lib/a", "1"), f("lib/b", "2"), f("lib/c/d", "3")]],
        {
            "lib": "-> usr/lib",
            "usr": "dir",
            "usr/lib": "dir",
            "usr/lib/a": "1",
            "usr/lib/b": "2",
            "usr/lib/c": "dir",
            "usr/lib/c/d": "3",
        },
    ),
    "member below an absolute symlink stays inside": (
        [[s("out", "/etc"), f("out/passwd", "x")]],
        {"etc": "dir", "etc/passwd": "x", "out": "-> /etc"},
    ),
    "member below a climbing symlink stays inside": (
        [[d("a"), s("a/out", "../../../../../etc"), f("a/out/passwd", "x")]],
        {"a": "dir", "a/out": "-> ../../../../../etc", "etc": "dir", "etc/passwd": "x"},
    ),
    "chain of symlinks": (
        [[s("a", "b"), s("b", "./c/"), f("a/x", "1")]],
        {"a": "-> b", "b": "-> ./c/", "c": "dir", "c/x": "1"},
    ),
    "hard link into a lower layer": ([[f("x/t", "1")], [h("x/l", "x/t")]], {"x": "dir", "x/l": "1", "x/t": "= x/l"}),
    "hard link through a symlink": (
        [[s("lib", "usr/lib"), f("usr/lib/a", "1"), h("b", "lib/a")]],
        {"b": "1", "lib": "-> usr/lib", "usr": "dir", "usr/lib": "dir", "usr/lib/a": "= b"},
    ),
    "hard link whose target is whited out": ([[f("t", "1"), h("u", "t")], [wh("t")]], {"u": "1"}),
    "hard link whose target is replaced": ([[f("t", "1"), h("u", "t")], [f("t", "2")]], {"t": "2", "u": "1"}),
    "three names, one removed": (
        [[f("a", "1"), h("b", "a"), h("c", "b")], [wh("a")]],
        {"b": "1", "c": "= b"},
    ),
    "hard link to itself": ([[f("a", "1"), h("a", "a")]], {"a": "1"}),
    "hard link over a directory that holds its target": ([[f("a/b", "1"), h("a", "a/b")]], {"a": "1"}),
    "hard link to a symlink": ([[s("a", "x"), h("b", "a")]], {"a": "-> x", "b": "-> x"}),
    "the same file twice": ([[f("q/f", "first"), f("q/f", "second")]], {"q": "dir", "q/f": "second"}),
    "name with .wh. inside": ([[f("a.wh.b", "1")], [wh("b")]], {"a.wh.b": "1"}),
}


@pytest.mark.parametrize("case", CASES)
def test_layers(case: str) -> None:
    layers, expected = CASES[case]
    assert shown(layered(*layers)) == expected


@pytest.mark.parametrize(
    ("layer", "why"),
    [
        ([f(".wh.")], "whiteout of nothing"),
        ([f("a/.wh..")], "whiteout of nothing"),
        ([f("a/.wh...")], "whiteout of nothing"),
        ([h("l", "nowhere")], "does not exist"),
        ([d("x"), h("l", "x")], "is a directory"),
        ([f("a", "1"), f("a/b", "2")], "which is a file of the same layer"),
        ([s("a", "b"), s("b", "a"), f("a/x")], "symbolic links"),
        ([s("a", "b/" * 2000), s("b", "."), f("a/x")], "symbolic links"),
        ([f("t", "1"), s("a", "t"), f("a/x", "2")], "which is a file of the same layer"),
    ],
)
def test_impossible_layers(layer: list[Entry], why: str) -> None:
    with pytest.raises(TrustError, match=why):
        layered([f("low", "1")], layer)


def test_attributes_of_directories() -> None:
    tree = layered([d("a", 0o700), f("a/x", "1")], [d("a", 0o711)], [f("a/y", "2"), f("b/c", "3")])
    modes = {entry.path: entry.mode for entry in tree.entries() if entry.type is T.DIR}
    assert modes == {"a": 0o711, "b": 0o755}


def test_root_entry() -> None:
    tree = layered([d("", 0o700), f("x", "1")])
    assert [(entry.path, entry.mode) for entry in tree.entries()] == [("", 0o700), ("x", 0o644)]
    with pytest.raises(ConfigError, match="root"):
        tree.add(f("", "x"))


def test_add_refuses_what_hides_a_mistake() -> None:
    tree = Tree()
    tree.add(s("lib", "usr/lib"))
    with pytest.raises(ConfigError, match="'lib', which is a symlink"):
        tree.add(f("lib/x"))
    with pytest.raises(ConfigError, match="does not exist"):
        tree.add(h("a", "b"))


def test_get_gives_the_file_of_a_hard_link() -> None:
    tree = layered([f("a", "1", 0o600), h("b", "a")])
    found = tree.get("b")
    assert found is not None and found.type is T.FILE and found.mode == 0o600 and found.size == 1
    assert tree.get("c") is None and "a" in tree and len(tree) == 2


def test_order_is_that_of_path_bytes() -> None:
    names = ["a", "a-b", "a/c", "é", "z\udcff", "z\uffff", "Z", "z"]
    for _ in range(10):
        random.shuffle(names)
        tree = Tree()
        for name in names:
            if name != "a/c":
                tree.add(d(name))
        tree.add(d("a/c"))
        paths = [entry.path for entry in tree.entries()]
        assert paths == sorted(names, key=lambda name: name.encode("utf-8", "surrogateescape"))


def test_deep_trees_need_no_recursion() -> None:
    tree = Tree()
    tree.add(f("/".join("d" * 2000), "x"))
    tree.remove("d")
    assert len(tree) == 0


operations = st.lists(
    st.tuples(
        st.sampled_from(["file", "dir", "symlink", "link", "remove", "clear"]),
        st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map("/".join),
        st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map("/".join),
    ),
    max_size=30,
)


@given(operations)
def test_a_tree_always_holds_together(steps: list[tuple[str, str, str]]) -> None:
    """Whatever is done: parents are directories before their children, links follow their files, no content is lost."""
    tree = Tree()
    contents: dict[str, str] = {}  # a model without hard links: path -> content
    for number, (what, path, other) in enumerate(steps):
        try:
            if what == "file":
                tree.add(f(path, str(number)))
            elif what == "dir":
                tree.add(d(path))
            elif what == "symlink":
                tree.add(s(path, other))
            elif what == "link":
                tree.add(h(path, other))
            elif what == "remove":
                tree.remove(path)
            else:
                tree.clear(path)
        except ConfigError:
            continue
        if what == "link" and path == other:
            continue
        linked = contents.get(other) if what == "link" else None
        kept = what in ("dir", "clear")
        for each in list(contents):
            if (each == path and what != "clear") or (each.startswith(path + "/") and (what == "clear" or not kept)):
                del contents[each]
        if what == "file":
            contents[path] = str(number)
        elif linked is not None:
            contents[path] = linked
    seen: dict[str, Entry] = {}
    found: dict[str, str] = {}
    for entry in tree.entries():
        parent = entry.path.rpartition("/")[0]
        assert not parent or seen[parent].type is T.DIR
        seen[entry.path] = entry
        if entry.type is T.HARDLINK:
            assert seen[entry.target].type is T.FILE
            found[entry.path] = found[entry.target]
        elif entry.content is not None:
            found[entry.path] = b"".join(entry.content.chunks()).decode()
    assert found == contents
