"""The entries of a component's own layer: selected files of packages, then what the recipe declares on top."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from hullkit.component.accounts import Accounts, add_declared_accounts
from hullkit.component.closure import Pool, existing, missing_interpreters
from hullkit.component.recipe import RecipeSpec
from hullkit.debian.deb import MERGED, merged_path
from hullkit.errors import ConfigError
from hullkit.tree.entry import Bytes, Entry, EntryType, FileSlice, Owner

USERS_FILE = "etc/passwd"
GROUPS_FILE = "etc/group"
_CERTIFICATES = "usr/share/ca-certificates/"


@dataclass
class Layer:
    """A layer in the making: entries by path. ``base`` is what lies below, ``pool`` the packages' files."""

    name: str
    base: Mapping[str, Entry]
    pool: Pool
    entries: dict[str, Entry] = field(default_factory=dict)

    def put(self, entry: Entry) -> None:
        path = entry.path
        if path in ("", ".") or path.startswith(("/", "..")) or posixpath.normpath(path) != path:
            raise ConfigError(f"{path!r} is not a path inside the image", hint="write it without / at its beginning")
        if path in MERGED and entry.type is not EntryType.SYMLINK:
            raise ConfigError(f"/{path} is a link to /usr/{path}", hint=f"write usr/{path}")
        if path != merged_path(path):
            raise ConfigError(f"/{path} lies below a link", hint=f"write {merged_path(path)}")
        self.entries[path] = entry

    def take(self, entries: Iterable[Entry]) -> None:
        """Put files of packages: they keep their package as owner."""
        for entry in entries:
            self.put(replace(entry, owner=replace(entry.owner, image=self.name)))

    @property
    def owner(self) -> Owner:
        return Owner(image=self.name)

    def file(self, path: str, data: bytes, mode: int = 0o644, uid: int = 0, gid: int = 0) -> None:
        self.put(Entry(path, EntryType.FILE, mode, uid, gid, content=Bytes(data), owner=self.owner))

    def text_below(self, path: str) -> str:
        """The text of a file of the base; empty when there is none."""
        entry = self.base.get(path)
        return b"".join(entry.content.chunks()).decode() if entry is not None and entry.content is not None else ""

    def finished(self) -> list[Entry]:
        """All entries with their parents: modes of parents come from the packages, then the base, else 0755."""
        result = dict(self.entries)
        for path in self.entries:
            parent = posixpath.dirname(path)
            while parent and parent not in result:
                result[parent] = self._directory(parent)
                parent = posixpath.dirname(parent)
            if parent and result[parent].type is not EntryType.DIR:
                raise ConfigError(f"/{path} lies below /{parent}, which is a {result[parent].type.value}")
        return [result[path] for path in sorted(result, key=lambda path: path.encode("utf-8", "surrogateescape"))]

    def _directory(self, path: str) -> Entry:
        for known in (self.pool.files.get(path), self.base.get(path)):
            if known is not None and known.type is EntryType.DIR:
                return replace(known, mtime=0, owner=replace(known.owner, image=self.name))
        return Entry(path, EntryType.DIR, 0o755, owner=self.owner)


def add_declared(
    layer: Layer, spec: RecipeSpec, folder: Path, tell: Callable[[str], None] = lambda _text: None
) -> None:
    """Put what the recipe declares into ``layer``, over what its packages declare (``tell`` hears of what of that is
    left out). Raises ConfigError for paths that are not there or not allowed."""
    accounts = _accounts(layer, spec)
    if spec.debian is not None and "tmpfiles.d" in spec.debian.declared:
        _tmpfiles(layer, accounts, tell)
    for source, path in sorted(spec.copy.items()):
        _copy(layer, source, path)
    if spec.ca_bundle is not None:
        _ca_bundle(layer, spec.ca_bundle)
    for each in spec.dirs:
        layer.put(Entry(each.path, EntryType.DIR, int(each.mode, 8), each.uid, each.gid, owner=layer.owner))
    _put_accounts(layer, accounts)
    for target, paths in sorted(spec.links.items()):
        for path in paths:
            _link(layer, path, target)
    for item in spec.files:
        if (item.contents is None) == (item.source is None):
            raise ConfigError(f"the file {item.path} needs either contents or source")
        mode = int(item.mode, 8)
        if item.contents is not None:
            layer.file(item.path, item.contents.encode(), mode, item.uid, item.gid)
        else:
            content = _own_file(folder, item.source or "")
            layer.put(Entry(item.path, EntryType.FILE, mode, item.uid, item.gid, content=content, owner=layer.owner))


def check_scripts(layer: Layer) -> None:
    """Raise ConfigError when an executable script of the layer names an interpreter that the image does not have."""
    for script, program in missing_interpreters(layer.entries.values(), existing([layer.entries, layer.base])):
        raise ConfigError(
            f"/{script} is a script for {program or 'nothing'}, which is not in the image",
            hint="for a shell, add busybox to base",
        )


def _own_file(folder: Path, name: str) -> FileSlice:
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise ConfigError(f"{name} is outside the recipe's folder")
    if not path.is_file():
        raise ConfigError(f"the recipe has no file {name}", hint=f"it would be {folder / name}")
    return FileSlice(path, 0, path.stat().st_size)


def _copy(layer: Layer, source: str, path: str) -> None:
    entry = layer.pool.files.get(source)
    if entry is None or entry.type not in (EntryType.FILE, EntryType.SYMLINK):
        raise ConfigError(f"copy: the packages have no file {source}")
    layer.take([replace(entry, path=path)])


def _ca_bundle(layer: Layer, path: str) -> None:
    files = layer.pool.files
    names = sorted(name for name in files if name.startswith(_CERTIFICATES) and name.endswith(".crt"))
    if not names:
        raise ConfigError("caBundle: the packages have no certificates", hint="add ca-certificates to debian.packages")
    parts = []
    for name in names:
        content = files[name].content
        if content is not None:
            parts.append(b"".join(content.chunks()).rstrip(b"\n") + b"\n")
    layer.take([Entry(path, EntryType.FILE, 0o644, content=Bytes(b"".join(parts)), owner=files[names[0]].owner)])


def _link(layer: Layer, path: str, target: str) -> None:
    layer.put(Entry(path, EntryType.SYMLINK, 0o777, target=target, owner=layer.owner))


def _accounts(layer: Layer, spec: RecipeSpec) -> Accounts:
    """The base's accounts, then the recipe's, then those of packages."""
    accounts = Accounts(layer.text_below(USERS_FILE), layer.text_below(GROUPS_FILE))
    groups = {item.name for item in spec.groups}
    for user in spec.users:
        gid = user.uid if user.gid is None else user.gid
        accounts.add_user(user.name, user.uid, gid, user.gecos, user.home, user.shell)
        if user.gid is None and user.name not in groups:
            accounts.add_group(user.name, gid)
    for item in spec.groups:
        accounts.add_group(item.name, item.gid, item.members)
    if spec.debian is not None and "sysusers.d" in spec.debian.declared:
        add_declared_accounts(accounts, layer.pool.files)
    return accounts


def _put_accounts(layer: Layer, accounts: Accounts) -> None:
    """Write /etc/passwd and /etc/group, unless they are the base's."""
    texts = accounts.texts()
    if texts != (layer.text_below(USERS_FILE), layer.text_below(GROUPS_FILE)):
        for path, text in zip((USERS_FILE, GROUPS_FILE), texts, strict=True):
            layer.file(path, text.encode())


def _tmpfiles(layer: Layer, accounts: Accounts, tell: Callable[[str], None]) -> None:
    from hullkit.component.tmpfiles import Image, declared_entries

    image = Image({**layer.base, **layer.entries}, layer.pool.files, accounts)
    layer.take(declared_entries(image, lambda text: tell(f"{layer.name}: {text}")))
