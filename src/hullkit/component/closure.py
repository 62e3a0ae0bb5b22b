"""Which files of packages go into an image: those that a recipe keeps, and the libraries that its programs need.

The dynamic loader's search (ld.so(8)) is followed over the packages' files and the base layers below: a library that a
base has is not repeated, one that nobody has is an error. Nothing is executed.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from hullkit.component.elf import MACHINES, ElfInfo, read_elf
from hullkit.component.globs import is_literal, matches_any, matching, optional
from hullkit.debian.deb import MERGED, merged_path
from hullkit.errors import ConfigError
from hullkit.tree.entry import Entry, EntryType

TRIPLETS = {
    "amd64": "x86_64-linux-gnu",
    "arm64": "aarch64-linux-gnu",
    "riscv64": "riscv64-linux-gnu",
    "ppc64le": "powerpc64le-linux-gnu",
    "s390x": "s390x-linux-gnu",
}
#: never kept unless a recipe names the very file: documentation, translations, and what only other init systems,
#: package managers or developers read
DEFAULT_DROP = (
    "usr/share/doc/**",
    "usr/share/man/**",
    "usr/share/info/**",
    "usr/share/locale/**",
    "usr/share/i18n/**",
    "usr/share/lintian/**",
    "usr/share/bug/**",
    "usr/share/doc-base/**",
    "usr/share/apport/**",
    "usr/share/bash-completion/**",
    "usr/share/zsh/**",
    "usr/share/fish/**",
    "usr/share/vim/**",
    "usr/share/applications/**",
    "usr/share/icons/**",
    "usr/share/pixmaps/**",
    "usr/share/runit/**",
    "usr/share/initramfs-tools/**",
    "usr/include/**",
    "usr/lib/**.a",
    "usr/lib/**.la",
    "usr/lib/**/gconv/**",
    "usr/lib/systemd/**",
    "usr/lib/sysusers.d/**",
    "usr/lib/tmpfiles.d/**",
    "etc/init.d/**",
    "etc/ld.so.conf.d/**",
    "etc/rc[0-9S].d/**",
    "etc/cron.*/**",
    "etc/default/**",
    "etc/logrotate.d/**",
    "etc/sv/**",
    "etc/ufw/**",
    "etc/apparmor.d/**",
)
_MAX_LINKS = 40


@dataclass
class Pool:
    """The files of packages by path. ``twice`` names a second package that has the same path."""

    files: dict[str, Entry] = field(default_factory=dict)
    twice: dict[str, str] = field(default_factory=dict)

    def add(self, entries: Iterable[Entry]) -> None:
        """Add one package (as ``deb_entries`` gives it) without times, set-id bits and extended attributes."""
        for entry in entries:
            if not entry.path or (entry.path in MERGED and entry.type is EntryType.SYMLINK):
                continue
            known = self.files.get(entry.path)
            if known is None:
                self.files[entry.path] = replace(entry, mtime=0, mode=entry.mode & 0o1777, xattrs=())
            elif entry.type is not EntryType.DIR or known.type is not EntryType.DIR:
                self.twice.setdefault(entry.path, entry.owner.package)


def link_target(path: str, target: str) -> str:
    """The path that a symbolic link at ``path`` points to, inside the image: ".." never leaves its root."""
    joined = target if target.startswith("/") else "/" + posixpath.join(posixpath.dirname(path), target)
    return merged_path(posixpath.normpath("/" + joined.lstrip("/")).lstrip("/"))


@dataclass
class Closure:
    """Collects the files of an image.

    ``guess`` may name the package that has a missing library, for the error. ``base_packages`` are those that the base
    was made from: of them only what programs need is added.
    """

    pool: Pool
    base: Mapping[str, Entry]
    arch: str
    guess: Callable[[str], str] = lambda _library: ""
    base_packages: frozenset[str] = frozenset()
    selected: dict[str, Entry] = field(default_factory=dict)

    def keep(self, patterns: Sequence[str] | None, drop: Sequence[str]) -> None:
        """Select by patterns (None: all of the packages' files), and all that the selected files need.

        Raises ConfigError for a pattern that matches nothing, a missing library, or a path that two packages have.
        """
        if patterns is None:
            for path in self._matches("**", drop):
                if self.pool.files[path].owner.package.partition("_")[0] not in self.base_packages:
                    self.add(path)
        for written in patterns or ():
            pattern, may_miss = optional(written)
            found = self._matches(pattern, drop)
            if not found and not may_miss:
                raise ConfigError(f"debian.keep: {pattern} matches no file of the packages", hint=self._near(pattern))
            for path in found:
                self.add(path)

    def _matches(self, pattern: str, drop: Sequence[str]) -> list[str]:
        if is_literal(pattern):
            return [pattern] if pattern in self.pool.files else []
        refused = (*DEFAULT_DROP, *drop)
        return sorted(path for path in matching(pattern, self.pool.files) if not matches_any(refused, path))

    def _near(self, pattern: str) -> str:
        name = pattern.rsplit("/", 1)[-1]
        near = sorted(path for path in self.pool.files if name and path.endswith("/" + name))[:3]
        return f"there is {', '.join(near)}" if near else "hullkit component show lists what a recipe has"

    def add(self, path: str) -> None:
        """Select one path of the pool, with what it points to and what it needs; one that a base has is left there."""
        pending = [path]
        while pending:
            current = pending.pop()
            entry = self.pool.files.get(current)
            if entry is None or current in self.selected or self._in_base(current):
                continue
            if current in self.pool.twice:
                raise ConfigError(
                    f"/{current} is in the package {entry.owner.package} and in {self.pool.twice[current]}",
                    hint="leave one of them out with only: or prune:",
                )
            self.selected[current] = entry
            pending.extend(self._needs(entry))

    def _in_base(self, path: str) -> bool:
        return path in self.base and self.base[path].type is not EntryType.DIR

    def _needs(self, entry: Entry) -> list[str]:
        if entry.type is EntryType.SYMLINK:
            return [link_target(entry.path, entry.target)]
        if entry.type is EntryType.HARDLINK:
            return [entry.target]
        if entry.type is not EntryType.FILE or entry.content is None:
            return []
        info = read_elf(entry.content, f"/{entry.path} of {entry.owner.package}")
        return self._libraries(entry, info) if info else []

    def _libraries(self, entry: Entry, info: ElfInfo) -> list[str]:
        if info.machine != MACHINES[self.arch]:
            raise ConfigError(f"/{entry.path} is a program for another machine (ELF machine {info.machine})")
        found = []
        if info.interpreter:
            found.append(self._find(info.interpreter, entry, info))
        found.extend(self._find(library, entry, info) for library in info.needed)
        return found

    def _find(self, library: str, entry: Entry, info: ElfInfo) -> str:
        if "/" in library:
            candidates = [merged_path(posixpath.normpath(library).lstrip("/"))]
        else:
            candidates = [posixpath.join(directory, library) for directory in self._directories(entry, info)]
        for candidate in candidates:
            if candidate in self.pool.files or candidate in self.base:
                return candidate
        package = self.guess(library)
        advice = f"add {package} to debian.only" if package else "add the package that has it to debian.packages"
        raise ConfigError(
            f"/{entry.path} of {entry.owner.package} needs {library}, which neither the packages nor the base have",
            hint=advice,
        )

    def _directories(self, entry: Entry, info: ElfInfo) -> list[str]:
        origin = "/" + posixpath.dirname(entry.path)
        paths = [path.replace("${ORIGIN}", origin).replace("$ORIGIN", origin) for path in info.search_path]
        own = [merged_path(posixpath.normpath(path).lstrip("/")) for path in paths]
        return [*own, f"usr/lib/{TRIPLETS[self.arch]}", "usr/lib64", "usr/lib"]


def missing_interpreters(own: Iterable[Entry], exists: Callable[[str], bool]) -> list[tuple[str, str]]:
    """Executable scripts whose ``#!`` program is missing: (script, program). ``exists`` knows the whole image."""
    missing = []
    for entry in own:
        if entry.type is not EntryType.FILE or not entry.mode & 0o111 or entry.content is None:
            continue
        first = next(iter(entry.content.chunks()), b"")[:256]
        if not first.startswith(b"#!"):
            continue
        words = first[2:].split(b"\n", 1)[0].decode("utf-8", "replace").split()
        if words and posixpath.basename(words[0]) == "env" and len(words) > 1:
            words = [f"/usr/bin/{words[1]}"]
        if not words or not exists(merged_path(words[0].lstrip("/"))):
            missing.append((entry.path, words[0] if words else ""))
    return missing


def existing(trees: Sequence[Mapping[str, Entry]]) -> Callable[[str], bool]:
    """Whether a path leads to a file, following symbolic links, in the union of ``trees``."""

    def exists(path: str) -> bool:
        for _ in range(_MAX_LINKS):
            entry = next((tree[path] for tree in trees if path in tree), None)
            if entry is None or entry.type is not EntryType.SYMLINK:
                return entry is not None
            path = link_target(path, entry.target)
        return False

    return exists
