"""Users and groups of an image: /etc/passwd and /etc/group, and what packages declare in sysusers.d.

Format: sysusers.d(5) of systemd.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from hullkit.component.conflines import Line, conf_lines, expanded
from hullkit.debian.deb import merged_path
from hullkit.errors import ConfigError
from hullkit.tree.entry import Entry

NOLOGIN = "/usr/sbin/nologin"
#: where ids come from that nobody has chosen, from the end: Debian's range for system accounts (policy, 9.2.2)
_DYNAMIC = range(100, 1000)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,30}")
_SPECIFIERS = {"%": "%"}
_NO_IDS = (0xFFFF, 0xFFFFFFFF)
#: type, name, id, gecos, home, shell
_FIELDS = 6


class Accounts:
    """The lines of passwd(5) and group(5) as lists of fields."""

    def __init__(self, passwd: str, group: str) -> None:
        self.users = [line.split(":") for line in passwd.splitlines()]
        self.groups = [line.split(":") for line in group.splitlines()]

    def add_user(self, name: str, uid: int, gid: int, gecos: str = "", home: str = "/", shell: str = NOLOGIN) -> None:
        self.users.append([name, "x", str(uid), str(gid), gecos, home, shell])

    def add_group(self, name: str, gid: int, members: Iterable[str] = ()) -> None:
        self.groups.append([name, "x", str(gid), ",".join(members)])

    def join(self, user: str, group: str) -> None:
        """Make a user a further member of a group that is there."""
        line = next(line for line in self.groups if line[0] == group)
        members = [name for name in line[3].split(",") if name]
        if user not in members:
            line[3] = ",".join([*members, user])

    def uid(self, name: str) -> int | None:
        return next((int(line[2]) for line in self.users if line[0] == name), None)

    def gid(self, name: str) -> int | None:
        return next((int(line[2]) for line in self.groups if line[0] == name), None)

    def user_of(self, uid: int) -> str | None:
        return next((line[0] for line in self.users if line[2] == str(uid)), None)

    def group_of(self, gid: int) -> str | None:
        return next((line[0] for line in self.groups if line[2] == str(gid)), None)

    def texts(self) -> tuple[str, str]:
        """Of /etc/passwd and /etc/group. Raises ConfigError for a name that is there twice."""
        for path, lines in (("/etc/passwd", self.users), ("/etc/group", self.groups)):
            names = [line[0] for line in lines]
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise ConfigError(f"{path}: {', '.join(twice)} is there twice", hint="a base declares it already")
        passwd, group = ("".join(":".join(line) + "\n" for line in lines) for lines in (self.users, self.groups))
        return passwd, group


@dataclass(frozen=True, slots=True)
class _Account:
    """A user or a group that is to be made. ``id``: None is any; ``group``: a user's primary one, else its own."""

    line: Line
    id: int | None
    group: str = ""


@dataclass
class _Declared:
    users: dict[str, _Account] = field(default_factory=dict)
    groups: dict[str, _Account] = field(default_factory=dict)
    #: group → users, with the line that says so
    members: dict[str, list[tuple[str, Line]]] = field(default_factory=dict)
    ranges: list[range] = field(default_factory=list)


def add_declared_accounts(accounts: Accounts, packages: Mapping[str, Entry]) -> None:
    """Add what sysusers.d among the packages' files declares. Accounts that are there already stay as they are.

    Ids that the packages leave open are given from 999 down in the order of the lines, groups first. Raises
    ConfigError for lines that are none, and for an id that another account has.
    """
    declared = _Declared()
    for line in conf_lines(packages, "sysusers.d", _FIELDS, escapes=False):
        _read(declared, line, packages)
    for name, members in declared.members.items():
        for member, line in members:
            declared.users.setdefault(member, _Account(line, None))
        if name not in declared.users:
            declared.groups.setdefault(name, _Account(members[0][1], None))
    new = {name: user for name, user in declared.users.items() if accounts.uid(name) is None}
    groups = dict(declared.groups)
    for name, user in new.items():
        if not user.group:
            groups.setdefault(name, _Account(user.line, user.id))
    groups = {name: group for name, group in groups.items() if accounts.gid(name) is None}
    chosen = {account.id for account in (*groups.values(), *new.values()) if account.id is not None}
    free = _Free(accounts, declared.ranges or [_DYNAMIC], chosen)
    for name, group in groups.items():
        _add_group(accounts, name, group, free)
    for name, user in new.items():
        _add_user(accounts, name, user, free)
    for name, members in declared.members.items():
        for member, line in sorted(members, key=lambda each: each[0]):
            if accounts.gid(name) is None:
                raise line.error(f"there is no group {name}")
            accounts.join(member, name)


@dataclass
class _Free:
    """Gives ids that neither a user nor a group has or will have."""

    accounts: Accounts
    ranges: list[range]
    chosen: set[int]

    def next(self, line: Line) -> int:
        for number in sorted({number for each in self.ranges for number in each}, reverse=True):
            has = self.accounts.user_of(number) or self.accounts.group_of(number)
            if not has and number not in self.chosen:
                return number
        raise line.error("no id is left")


def _add_group(accounts: Accounts, name: str, group: _Account, free: _Free) -> None:
    gid = free.next(group.line) if group.id is None else group.id
    if other := accounts.group_of(gid):
        raise _taken(group.line, f"the group id {gid} of {name}", other, "groups")
    accounts.add_group(name, gid)


def _add_user(accounts: Accounts, name: str, user: _Account, free: _Free) -> None:
    primary = user.group or name
    gid = int(primary) if primary.isdigit() else accounts.gid(primary)
    if gid is None or accounts.group_of(gid) is None:
        error = user.line.error(f"there is no group {primary}")
        error.hint = "declare it under groups"
        raise error
    uid = user.id
    if uid is None:
        same = accounts.gid(name)  # a user and a group of one name have one id where they can
        uid = same if same is not None and accounts.user_of(same) is None else free.next(user.line)
    if other := accounts.user_of(uid):
        raise _taken(user.line, f"the user id {uid} of {name}", other, "users")
    gecos, home, shell = (_text(user.line, number) for number in (3, 4, 5))
    if user.line.fields[0] == "m":
        gecos = home = shell = ""
    accounts.add_user(name, uid, gid, gecos, home or "/", shell or ("/bin/sh" if uid == 0 else NOLOGIN))


def _taken(line: Line, what: str, other: str, key: str) -> ConfigError:
    error = line.error(f"{what} is that of {other}")
    error.hint = f"declare it under {key} with another id"
    return error


def _text(line: Line, number: int) -> str:
    try:
        text = expanded(line.field(number), _SPECIFIERS)
    except KeyError as error:
        raise line.error(f"the specifier %{error.args[0]} is not known when an image is built") from error
    if ":" in text or "\n" in text:
        raise line.error(f"{text!r} cannot be a field of /etc/passwd")
    return text


def _name(line: Line, number: int) -> str:
    name = _text(line, number)
    if not _NAME.fullmatch(name):
        raise line.error(f"{name!r} is not a name of a user or group")
    return name


def _read(declared: _Declared, line: Line, packages: Mapping[str, Entry]) -> None:
    kind = line.fields[0]
    if kind in ("u", "u!"):
        uid, group = _ids(line, packages)
        declared.users.setdefault(_name(line, 1), _Account(line, uid, group))
    elif kind == "g":
        text = _text(line, 2)
        owned = _owned(text, packages)
        gid = owned.gid or None if owned else _number(line, "" if text.startswith("/") else text)
        declared.groups.setdefault(_name(line, 1), _Account(line, gid))
    elif kind == "m":
        user, group = _name(line, 1), _name(line, 2)
        declared.members.setdefault(group, []).append((user, line))
    elif kind == "r":
        first, _, last = line.field(2).partition("-")
        low, high = _number(line, first), _number(line, last or first)
        if low is None or high is None or not 0 < low <= high < 1 << 16:
            raise line.error(f"{line.field(2)!r} is not a range of ids")
        declared.ranges.append(range(low, high + 1))
    else:
        raise line.error(f"{kind!r} is not a type of line in sysusers.d")


def _ids(line: Line, packages: Mapping[str, Entry]) -> tuple[int | None, str]:
    """The user id and the primary group of a line for a user."""
    text = line.field(2)
    if text.startswith("/"):
        owned = _owned(text, packages)
        return owned.uid or None if owned else None, ""
    uid, _, group = text.partition(":")
    if group and not (_NAME.fullmatch(group) or _number(line, group) is not None):
        raise line.error(f"{group!r} is not a group")
    return _number(line, "" if uid == "-" else uid), group


def _owned(path: str, packages: Mapping[str, Entry]) -> Entry | None:
    """The file whose owner's id a new account takes; root's is none to take."""
    return packages.get(merged_path(path.lstrip("/"))) if path.startswith("/") else None


def _number(line: Line, text: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit()) or int(text) in _NO_IDS or int(text) >= 1 << 32:
        raise line.error(f"{text!r} is not an id")
    return int(text)
