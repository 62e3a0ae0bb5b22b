"""What packages declare in sysusers.d and tmpfiles.d, beside what systemd's own programs make of it."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hullkit.component.closure import Pool
from hullkit.component.compose import Layer, add_declared
from hullkit.component.recipe import DebianSource, Directory, Group, RecipeSpec, User, Version
from hullkit.errors import ConfigError
from hullkit.tree.entry import Bytes, Entry, EntryType, Owner

SYSUSERS, TMPFILES = "usr/lib/sysusers.d", "usr/lib/tmpfiles.d"
PASSWD = b"root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33::/var/www:/usr/sbin/nologin\n"
GROUP = b"root:x:0:\nwww-data:x:33:\nadm:x:4:\n"
BASE = {"etc/passwd": PASSWD, "etc/group": GROUP}


def entry(path: str, content: bytes | str | None = b"", **attributes: Any) -> Entry:
    """A file of a package; without content a directory."""
    attributes = {"mode": 0o755 if content is None else 0o644, "owner": Owner(package="p_1")} | attributes
    if content is None:
        return Entry(path, EntryType.DIR, **attributes)
    data = content.encode() if isinstance(content, str) else content
    return Entry(path, EntryType.FILE, content=Bytes(data), **attributes)


def made(
    *pool: Entry, told: list[str] | None = None, kept: tuple[Entry, ...] = (), base: tuple[Entry, ...] = (), **keys: Any
) -> dict[str, Entry]:
    """The layer of a recipe that reads what packages (``pool``) declare, and keeps some of their files."""
    files = Pool()
    files.add(pool)
    below = [*(entry(path, data) for path, data in BASE.items()), *base]
    layer = Layer("x", {each.path: each for each in below}, files)
    layer.take(kept)
    kinds = sorted({each.path.split("/")[2] for each in pool} & {"sysusers.d", "tmpfiles.d"})
    told = told if told is not None else []
    spec: Any = {"name": "x", "summary": "s", "licence": "MIT", "role": "service", "version": Version(text="1")}
    source = DebianSource(packages=("p",), declared=keys.pop("declared", tuple(kinds)))
    add_declared(layer, RecipeSpec(**spec, debian=source, **keys), Path("/none"), told.append)
    return {each.path: each for each in layer.finished()}


def text(found: Entry) -> str:
    assert found.content is not None
    return b"".join(found.content.chunks()).decode()


def accounts(*lines: str, **keys: Any) -> tuple[str, str]:
    """passwd and group of the image."""
    found = made(entry(f"{SYSUSERS}/x.conf", "\n".join(lines) + "\n"), **keys)
    passwd, group = (text(found[path]) if path in found else BASE[path].decode() for path in BASE)
    return passwd, group


SAMPLE = r"""# a comment, and an empty line

u     httpd    404            "HTTP User"
u!    _shut    405:adm        'it''s \quoted' /var/lib/shut /bin/sh
u     _authd   /usr/bin/authd "Authorization %% User"
u     postgres -              "Postgresql Database" /var/lib/pgsql /libexec/postgresdb
g     input    -              -
  g   kvm      78
m     _authd   input
m     postgres adm
u     www-data -              "is there"
u     both     -
g     both     300
u     minus    -:kvm
u     httpd    9              "the first one counts"
"""


def test_accounts_of_every_kind() -> None:
    passwd, group = accounts(*SAMPLE.splitlines())
    assert passwd == PASSWD.decode() + (
        "httpd:x:404:404:HTTP User:/:/usr/sbin/nologin\n"
        "_shut:x:405:4:its quoted:/var/lib/shut:/bin/sh\n"
        "_authd:x:998:998:Authorization % User:/:/usr/sbin/nologin\n"
        "postgres:x:997:997:Postgresql Database:/var/lib/pgsql:/libexec/postgresdb\n"
        "both:x:300:300::/:/usr/sbin/nologin\n"
        "minus:x:996:78::/:/usr/sbin/nologin\n"
    )
    assert group == (
        "root:x:0:\nwww-data:x:33:\nadm:x:4:postgres\n"
        "input:x:999:_authd\nkvm:x:78:\nboth:x:300:\nhttpd:x:404:\n_authd:x:998:\npostgres:x:997:\n"
    )


def test_the_recipes_own_accounts_come_first() -> None:
    users, groups = (User(name="a", uid=40),), (Group(name="b", gid=999),)
    passwd, group = accounts("u a -", "u b 41:a", "u c -", "m c b", users=users, groups=groups)
    assert passwd == PASSWD.decode() + (
        "a:x:40:40::/:/usr/sbin/nologin\nb:x:41:40::/:/usr/sbin/nologin\nc:x:998:998::/:/usr/sbin/nologin\n"
    )
    assert group == GROUP.decode() + "a:x:40:\nb:x:999:c\nc:x:998:\n"


def test_ids_of_files() -> None:
    owned = entry("usr/sbin/tool", "x", uid=70, gid=71)
    found = made(entry(f"{SYSUSERS}/x.conf", "u a /sbin/tool\ng b /usr/sbin/tool\nu c /usr/sbin/missing\n"), owned)
    assert text(found["etc/group"]) == GROUP.decode() + "b:x:71:\na:x:70:\nc:x:999:\n"


def test_files_in_the_order_of_their_names() -> None:
    confs = (entry(f"{SYSUSERS}/{name}.conf", content) for name, content in (("b", "u x 50\nu y -"), ("a", "u x 51")))
    found = made(*confs, entry(f"{SYSUSERS}/README", "not read"), entry(f"{SYSUSERS}/sub/c.conf", "not read"))
    assert text(found["etc/group"]) == GROUP.decode() + "x:x:51:\ny:x:999:\n"


def test_what_a_base_has_is_not_written_again() -> None:
    assert "etc/passwd" not in made(entry(f"{SYSUSERS}/x.conf", "u www-data 33\ng adm -\nu root 0\n"))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("x a -", "'x' is not a type"),
        ("u 0day -", "'0day' is not a name"),
        ("u", "'' is not a name"),
        ("u a%H -", "%H is not known"),
        ("u a 65535", "'65535' is not an id"),
        ("u a 4294967296", "is not an id"),
        ("u a -5", "is not an id"),
        ("u a 33", "the user id 33 of a is that of www-data|group id 33 of a is that of www-data"),
        ("g a 4", "the group id 4 of a is that of adm"),
        ("u a -:nobody", "there is no group nobody"),
        ("u a -:77", "there is no group 77"),
        ('u a - "x:y"', "cannot be a field"),
        ('u a - "x', "a quote or an escape without an end"),
        ("r - 5-4", "is not a range"),
        ("m a", "'' is not a name"),
        ("r - 5\nu a -\nu b -", "no id is left"),
    ],
)
def test_lines_that_are_none(line: str, message: str) -> None:
    with pytest.raises(ConfigError, match=rf"^debian\.declared: usr/lib/sysusers\.d/x\.conf:[123]: .*({message})"):
        accounts(line)


def test_packages_that_declare_nothing() -> None:
    with pytest.raises(ConfigError, match=r"no file in usr/lib/tmpfiles\.d"):
        made(entry(f"{SYSUSERS}/x.conf"), declared=("tmpfiles.d",))
    with pytest.raises(ConfigError, match="at most"):
        made(entry(f"{SYSUSERS}/x.conf", bytes(2 << 20)))


def by_systemd(root: Path, lines: list[str]) -> tuple[str, str] | None:
    """What systemd-sysusers adds; None when it complains."""
    for path, data in BASE.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    (root / SYSUSERS).mkdir(parents=True, exist_ok=True)
    (root / SYSUSERS / "x.conf").write_text("\n".join(lines) + "\n")
    done = subprocess.run(["systemd-sysusers", f"--root={root}"], capture_output=True, text=True)
    complaints = [line for line in done.stderr.splitlines() if not line.startswith("Creating ")]
    if done.returncode or complaints:
        return None
    passwd, group = ((root / path).read_text() for path in BASE)
    return passwd, group


NAMES = st.sampled_from(["a", "b", "_c", "www-data", "adm"])
IDS = st.sampled_from(["-", "4", "33", "999", "998", "120"])
LINES = st.one_of(
    st.builds("u {} {}".format, NAMES, IDS),
    # not of a group that is there or of the same name: systemd 252 has a primary one of its own for them
    st.builds("u {} 50:{}".format, st.sampled_from("ab"), st.sampled_from(["_c", "adm", "33", "77"])),
    st.builds("g {} {}".format, NAMES, IDS),
    st.builds("m {} {}".format, NAMES, NAMES),
    st.sampled_from(["r - 990-992", "r - 400", "u d - \"x  y\" 'a b' /bin/sh", "u e /usr/bin/nothing"]),
)


@pytest.mark.skipif(shutil.which("systemd-sysusers") is None, reason="systemd-sysusers is not installed")
@settings(max_examples=60, deadline=None)
@given(st.lists(LINES, max_size=6))
def test_systemd_agrees_about_accounts(tmp_path_factory: pytest.TempPathFactory, lines: list[str]) -> None:
    expected = by_systemd(tmp_path_factory.mktemp("root"), lines)
    try:
        found = accounts(*lines)
    except ConfigError:
        return
    assert expected is None or found == expected


def tmpfiles(*lines: str, **keys: Any) -> dict[str, Entry]:
    found = made(entry(f"{TMPFILES}/x.conf", "\n".join(lines) + "\n"), *keys.pop("pool", ()), **keys)
    return {path: each for path, each in found.items() if path not in BASE}


def listed(found: dict[str, Entry]) -> list[str]:
    """Path, mode, owner, and the target of a link or the content of a file, of all but parents."""
    lines = []
    for path, each in found.items():
        if each.type is EntryType.SYMLINK:
            lines.append(f"{path} -> {each.target}")
        elif any(other.startswith(path + "/") for other in found):
            continue
        else:
            content = f" {text(each)!r}" if each.type is EntryType.FILE else "/"
            lines.append(f"{path}{content} {each.mode:o} {each.uid}:{each.gid}")
    return lines


FACTORY = (
    entry("usr/share/factory/etc/issue", "welcome"),
    entry("usr/share/x", None, mode=0o750),
    entry("usr/share/x/one", "1", mode=0o600),
    entry("usr/share/x/sub", None),
    entry("usr/share/x/sub/two", "2", uid=7),
)

ENTRIES = r"""d /srv/a
D /srv/b 0700 www-data adm 10d
d /srv/b/c 1770 33 4
q "/srv/with space" :0711 :root -
f /etc/empty
f /etc/filled 0640 root adm - two\tfields and \x41
f+ /etc/kept - - - - new
f /etc/old - - - - not written
L /etc/link - - - - ../usr/share/x
L /etc/issue.link
L+ /etc/dated - - - - x
C /etc/issue
C /opt/x 0711 www-data - - /usr/share/x
C /opt/none - - - - /usr/share/none
d %S/%%
v /lib/y
"""


def test_entries_of_every_kind() -> None:
    kept = (entry("etc/kept", "old"), entry("etc/old", "old"), entry("etc/dated", "old"))
    told: list[str] = []
    assert listed(tmpfiles(*ENTRIES.splitlines(), pool=FACTORY, kept=kept, told=told)) == [
        "etc/dated -> x",
        "etc/empty '' 644 0:0",
        "etc/filled 'two\\tfields and A' 640 0:4",
        "etc/issue 'welcome' 644 0:0",
        "etc/issue.link -> /usr/share/factory/etc/issue.link",
        "etc/kept 'new' 644 0:0",
        "etc/link -> ../usr/share/x",
        "etc/old 'old' 644 0:0",
        "opt/x/one '1' 600 0:0",
        "opt/x/sub/two '2' 644 7:0",
        "srv/a/ 755 0:0",
        "srv/b/c/ 1770 33:4",
        "srv/with space/ 711 0:0",
        "usr/lib/y/ 755 0:0",
        "var/lib/%/ 755 0:0",
    ]
    assert told == []


def test_directories_take_attributes_and_owners_are_kept() -> None:
    base = (entry("srv/b", None, mode=0o700, uid=5), entry("srv/l", None, mode=0o700, uid=5))
    found = tmpfiles("d /srv/b 0711 - www-data", "d /srv/l :0711 :root", "C /opt/x 4711", base=base, pool=FACTORY)
    assert listed(found) == ["srv/b/ 711 5:33", "srv/l/ 700 5:0"]
    assert found["srv/b"].owner == Owner(image="x", package="p_1")
    found = tmpfiles("C /opt/x 4711 33 - - /usr/share/x", pool=FACTORY)
    assert (found["opt/x"].mode, found["opt/x"].uid, found["opt"].mode) == (0o711, 33, 0o755)


def test_users_of_the_same_packages() -> None:
    pool = (entry(f"{SYSUSERS}/x.conf", "u db 300\n"),)
    found = tmpfiles("d /var/lib/db 0750 db db", pool=pool)
    assert listed(found)[-1] == "var/lib/db/ 750 300:300"


def test_the_recipe_has_the_last_word() -> None:
    assert listed(tmpfiles("d /srv/a 0700", dirs=(Directory(path="srv/a", mode="0711"),))) == ["srv/a/ 711 0:0"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("d /run/x", "/run/x is empty at run time"),
        ("d /var/run/x/y", "/run/x/y is empty"),
        ("d /var/lock", "/run/lock is empty"),
        ("L /tmp/x - - - - /y", "/tmp/x is empty"),
        ("w /etc/x - - - - y", "type w are not for images"),
        ("z /etc/x 0600", "type z are not"),
        ("c /dev/null 0666 - - - 1:3", "type c are not"),
        ("f^ /etc/x - - - - name", r"type f\^ are not"),
        ("d /etc/%m", "%m is not known"),
        ("f /etc/x - - - - %H", "%H is not known"),
    ],
)
def test_what_has_no_place_in_an_image_is_told(line: str, message: str) -> None:
    told: list[str] = []
    assert tmpfiles(line, told=told) == {}
    assert len(told) == 1 and told[0].startswith("x: usr/lib/tmpfiles.d/x.conf:1: left out, ")
    assert re.search(message, told[0])


def test_cleaning_is_no_news() -> None:
    told: list[str] = []
    assert tmpfiles("x /var/tmp/x", "R! /var/tmp/y*", "e /var/z - - - 1d", told=told) == {} and told == []


def test_the_first_line_for_a_path_counts() -> None:
    assert listed(tmpfiles("d /a 0700", "d /a/ 0711", "L /a - - - - b")) == ["a/ 700 0:0"]
    assert listed(tmpfiles("f /a", "d /b", "L+ /b - - - - c", kept=(entry("a", None),))) == ["a/ 755 0:0", "b/ 755 0:0"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("d relative", "'relative' is not an absolute path"),
        ("d /a/../../b", "not an absolute path"),
        ("d", "'' is not an absolute path"),
        ("d /a 0799", "'0799' is not a mode"),
        ("d /a - nobody", "there is no user nobody"),
        ("d /a - - 0x1", "there is no group 0x1"),
        ("d '/a", "a quote or an escape without an end"),
        ("d /bin", "usr/bin"),
    ],
)
def test_lines_of_tmpfiles_that_are_none(line: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        tmpfiles(line)


@pytest.mark.skipif(
    shutil.which("systemd-tmpfiles") is None or os.geteuid() != 0, reason="it takes systemd-tmpfiles, and root"
)
def test_systemd_agrees_about_entries(tmp_path: Path) -> None:
    for path, data in {**BASE, f"{TMPFILES}/x.conf": ENTRIES.encode()}.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(data)
    for name in ("kept", "old", "dated"):
        (tmp_path / "etc" / name).write_text("old")
    (tmp_path / "lib").symlink_to("usr/lib")
    before = {path for path in tmp_path.rglob("*") if not path.is_dir()} - set((tmp_path / "etc").iterdir())
    factory = [line for line in ENTRIES.splitlines() if line[0] != "C" and "%S" not in line]  # those are of the host
    (tmp_path / TMPFILES / "x.conf").write_text("\n".join(factory) + "\n")
    subprocess.run(["systemd-tmpfiles", f"--root={tmp_path}", "--create"], check=True)
    found: dict[str, Entry] = {}
    for path in sorted(tmp_path.rglob("*")):
        name, status = str(path.relative_to(tmp_path)), path.lstat()
        if name in BASE or path in before:
            continue
        attributes = {"mode": stat.S_IMODE(status.st_mode), "uid": status.st_uid, "gid": status.st_gid}
        if path.is_symlink():
            found[name] = Entry(name, EntryType.SYMLINK, target=os.readlink(path))
        else:
            found[name] = entry(name, None if path.is_dir() else path.read_bytes(), **attributes)
    kept = (entry("etc/kept", "old"), entry("etc/old", "old"), entry("etc/dated", "old"))
    ours = tmpfiles(*factory, kept=kept)
    assert [line for line in listed(found) if TMPFILES not in line and line != "lib -> usr/lib"] == listed(ours)
