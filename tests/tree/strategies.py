"""Hypothesis strategies for entries."""

from __future__ import annotations

from hypothesis import strategies as st

from hullkit.tree.entry import Bytes, Entry, EntryType

# all code points that a path may have, and single bytes that are not UTF-8
_text = st.text(
    st.one_of(
        st.characters(exclude_characters="/\0", exclude_categories=["Cs"]),
        st.integers(0x80, 0xFF).map(lambda byte: chr(0xDC00 + byte)),
    ),
    min_size=1,
    max_size=40,
)


def _normal(name: str) -> str:
    """What the bytes of a name decode to: escaped bytes that happen to be UTF-8 become characters."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")


names = _text.map(_normal).filter(lambda name: name not in (".", ".."))
long_names = st.integers(60, 250).map(lambda size: "n" * size)
paths = st.lists(st.one_of(names, long_names), min_size=1, max_size=5).map("/".join)
ids = st.one_of(st.integers(0, 2000), st.integers(0, 0xFFFFFFFE))
times = st.one_of(st.integers(0, 1 << 31), st.integers(-(1 << 40), 1 << 40))
modes = st.integers(0, 0o7777)
xattrs = st.dictionaries(
    st.sampled_from(["user.a", "user.é", "security.capability", "user.x=y"]).filter(lambda name: "=" not in name),
    st.binary(max_size=60),
    max_size=3,
).map(lambda found: tuple(sorted(found.items())))
devices = st.tuples(st.integers(0, 0xFFF), st.integers(0, 0xFFFFF))


@st.composite
def entries(draw: st.DrawFn) -> Entry:
    plain = [kind for kind in EntryType if kind not in (EntryType.HARDLINK, EntryType.GLOBAL)]
    kind = draw(st.sampled_from(plain))
    content = Bytes(draw(st.binary(max_size=3000))) if kind is EntryType.FILE else None
    target = draw(st.one_of(names, paths, paths.map("/{}".format))) if kind is EntryType.SYMLINK else ""
    rdev = draw(devices) if kind in (EntryType.CHAR, EntryType.BLOCK) else (0, 0)
    return Entry(
        draw(paths),
        kind,
        draw(modes),
        draw(ids),
        draw(ids),
        draw(times),
        content,
        target,
        rdev,
        draw(xattrs),
    )


@st.composite
def archives(draw: st.DrawFn) -> list[Entry]:
    """Entries with distinct paths, some of them hard links to earlier files."""
    found = draw(st.lists(entries(), max_size=12, unique_by=lambda entry: entry.path))
    files = [entry for entry in found if entry.type is EntryType.FILE]
    taken = {entry.path for entry in found}
    if files:
        for path in draw(st.lists(paths, max_size=3, unique=True)):
            if path not in taken:
                file = draw(st.sampled_from(files))
                found.append(
                    Entry(path, EntryType.HARDLINK, file.mode, file.uid, file.gid, file.mtime, target=file.path)
                )
    return found
