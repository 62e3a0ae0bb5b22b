"""What a kernel module says of itself (its ``.modinfo`` section), and kmod's index files made from it.

Debian's kernel packages ship no ``modules.dep``: depmod makes it at installation. hullkit runs nothing of an image, so
it reads ``depends=``, ``softdep=``, ``weakdep=`` and ``alias=`` (include/linux/module.h of the kernel) itself.
The text formats are those of modules.dep(5) and modprobe.d(5).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from hullkit.component.elf import read_section
from hullkit.errors import TrustError
from hullkit.tree.decompress import decompress
from hullkit.tree.entry import Source

#: the largest module of Debian's kernels (nouveau, amdgpu) is below 40 MB when decompressed
MAX_MODULE = 128 << 20


@dataclass(frozen=True, slots=True)
class ModuleInfo:
    """One module; ``path`` is relative to ``usr/lib/modules/VERSION``; names are written with underscores."""

    name: str
    path: str
    depends: tuple[str, ...] = ()
    softdep_pre: tuple[str, ...] = ()
    softdep_post: tuple[str, ...] = ()
    weakdep: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()


def module_name(text: str) -> str:
    """The canonical name of a module or module file: no directory, no extension, ``_`` for ``-``."""
    base = text.rsplit("/", 1)[-1]
    stem, found, rest = base.partition(".ko")
    if found and rest not in ("", ".xz", ".gz", ".zst"):
        stem = base
    return stem.replace("-", "_")


def decompress_module(source: Source, name: str) -> bytes:
    """The ELF file of a module as shipped (plain, ``.xz``, ``.gz``, ``.zst``); TrustError when beyond MAX_MODULE."""
    kind = name.rpartition(".ko")[2].lstrip(".")
    return b"".join(decompress(source.chunks(), kind, max_size=MAX_MODULE, what=name))


def read_modinfo(plain: bytes, path: str) -> ModuleInfo:
    """Parse a decompressed module; raises TrustError for a file that is none."""
    section = read_section(lambda offset, size: plain[offset : offset + size], ".modinfo", path)
    if section is None:
        raise TrustError(f"{path}: no .modinfo section, so this is not a kernel module")
    fields: dict[str, list[str]] = {}
    for item in section.split(b"\0"):
        key, found, value = item.decode("utf-8", "replace").partition("=")
        if found:
            fields.setdefault(key, []).append(value)
    pre, post = _softdeps(fields.get("softdep", []))
    return ModuleInfo(
        name=module_name(path),
        path=path,
        depends=_names(",".join(fields.get("depends", [])).split(",")),
        softdep_pre=_names(pre),
        softdep_post=_names(post),
        weakdep=_names(" ".join(fields.get("weakdep", [])).split()),
        aliases=tuple(fields.get("alias", [])),
    )


def _softdeps(values: Iterable[str]) -> tuple[list[str], list[str]]:
    pre: list[str] = []
    post: list[str] = []
    for value in values:
        into: list[str] | None = None
        for word in value.split():
            if word == "pre:":
                into = pre
            elif word == "post:":
                into = post
            elif into is not None:
                into.append(word)
    return pre, post


def _names(words: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word.replace("-", "_") for word in words if word))


def dependency_closure(modules: Mapping[str, ModuleInfo], wanted: Iterable[str]) -> list[str]:
    """``wanted`` and all that they load, hard and soft, in load order (what is needed comes first).

    A soft dependency may name an alias ("crc32c"): every module with exactly that alias is taken. One that no module
    and no alias provides is built into the kernel or absent; kmod ignores it too, and so do we. ``wanted`` must exist.
    """
    by_alias: dict[str, list[str]] = {}
    for module in modules.values():
        for alias in module.aliases:
            by_alias.setdefault(alias.replace("-", "_"), []).append(module.name)
    order: dict[str, None] = {}
    visiting: set[str] = set()

    def visit(name: str) -> None:
        if name in order or name in visiting:
            return
        visiting.add(name)
        module = modules[name]
        soft = (*module.softdep_pre, *module.weakdep)
        for other in (*module.depends, *soft):
            for found in [other] if other in modules else by_alias.get(other, []):
                visit(found)
        order[name] = None
        for other in module.softdep_post:
            for found in [other] if other in modules else by_alias.get(other, []):
                visit(found)

    for name in wanted:
        visit(name)
    return list(order)


def hard_dependencies(modules: Mapping[str, ModuleInfo], name: str) -> list[str]:
    """Direct and indirect ``depends`` of a module as modules.dep lists them: to be loaded from last to first."""
    order: dict[str, None] = {}

    def visit(current: str, path: tuple[str, ...]) -> None:
        for other in modules[current].depends:
            if other in modules and other not in order and other not in path:
                visit(other, (*path, other))
        order[current] = None

    visit(name, (name,))
    return [other for other in reversed(order) if other != name]


def index_files(modules: Mapping[str, ModuleInfo], order: Sequence[str]) -> dict[str, bytes]:
    """modules.dep, modules.alias and modules.softdep over ``modules``; ``order`` is the package's modules.order,
    which decides which of several drivers for one device comes first."""
    rank = {module_name(line): index for index, line in enumerate(order)}
    ranked = sorted(modules.values(), key=lambda module: (rank.get(module.name, len(rank)), module.name))
    dep = [
        f"{module.path}:" + "".join(f" {modules[other].path}" for other in hard_dependencies(modules, module.name))
        for module in ranked
    ]
    alias = [f"alias {pattern} {module.name}" for module in ranked for pattern in module.aliases]
    soft = [f"softdep {module.name}{_softdep_text(module)}" for module in ranked if _softdep_text(module)]
    return {
        "modules.dep": _lines("", dep),
        "modules.alias": _lines("# aliases that the modules declare\n", alias),
        "modules.softdep": _lines("# soft dependencies that the modules declare\n", soft),
    }


def _softdep_text(module: ModuleInfo) -> str:
    text = ""
    if module.softdep_pre:
        text += " pre: " + " ".join(module.softdep_pre)
    if module.softdep_post:
        text += " post: " + " ".join(module.softdep_post)
    return text


def _lines(head: str, lines: Sequence[str]) -> bytes:
    return (head + "".join(line + "\n" for line in lines)).encode()
