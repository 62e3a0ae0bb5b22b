"""``@pkg:PATH``: the image that LinuxKit's ``pkg build`` makes of a package directory (pkglib/pkglib.go, git.go).

The tag is the hash of the directory's git tree, so that the same source has the same name; with uncommitted changes
a hash of the contents is added.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from pathlib import Path

from hullkit.config.decode import Problems
from hullkit.config.syntax import expand_reference
from hullkit.config.yamlnodes import MappingNode, ScalarNode, SequenceNode, compose, decode_text
from hullkit.errors import ConfigError, HostError

_TEMPLATE = re.compile(r"\{\{-?\s*\.Hash\s*-?\}\}")
#: git's answer must not depend on the user's settings or on variables of a calling git hook
_GIT_ENVIRONMENT = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C"}


def package_tag(path: str, base: str) -> str:
    """The full image name of the package at ``path`` (relative to ``base``); ConfigError when there is no package."""
    directory = Path(os.path.abspath(Path(base) / path))
    build = directory / "build.yml"
    try:
        data = build.read_bytes()
    except OSError as error:
        raise ConfigError(f"@pkg:{path}: {build}: {error.strerror}", hint="a LinuxKit package has build.yml") from None
    fields, sources = _build_fields(data, str(build))
    if not fields.get("image"):
        raise ConfigError(f"@pkg:{path}: {build} does not say image")
    tag = _TEMPLATE.sub(_package_hash(directory, sources), fields.get("tag") or "{{.Hash}}")
    if "{{" in tag:
        raise ConfigError(f"@pkg:{path}: {build}: a tag may use only the template {{{{.Hash}}}}")
    return expand_reference(f"{fields.get('org') or 'linuxkit'}/{fields['image']}:{tag or 'latest'}")


def _build_fields(data: bytes, file: str) -> tuple[dict[str, str], list[str]]:
    """The texts of a build.yml, and its extra sources; a tag depends on nothing else."""
    problems = Problems(file)
    root, _ = compose(decode_text(data, file), file, problems.at)
    if problems.found:
        raise problems.found[0]
    if not isinstance(root, MappingNode):
        raise ConfigError(f"{file}: must be a map of keys and values")
    texts = {key.text: value.text for key, value in root.pairs if isinstance(value, ScalarNode)}
    lists = {key.text: value.items for key, value in root.pairs if isinstance(value, SequenceNode)}
    return texts, [each.text for each in lists.get("extra-sources", []) if isinstance(each, ScalarNode)]


def _package_hash(directory: Path, sources: list[str]) -> str:
    """Tree hash (of the extra sources too), and ``-dirty-HASH`` when there are changes; empty outside of git."""
    if _git(directory, "rev-parse", "--is-inside-work-tree") != "true\n":
        return ""
    tree = _tree_hash(directory)
    others = [_tree_hash(Path(os.path.abspath(directory / source.split(":")[0]))) for source in sources]
    if others:
        tree = hashlib.sha1("".join([tree, *others]).encode(), usedforsecurity=False).hexdigest()
    return f"{tree}-dirty-{_content_hash(directory)[:7]}" if _is_dirty(directory) else tree


def _git(directory: Path, *arguments: str) -> str | None:
    """What git prints; None when it fails."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(
            ["git", "-C", str(directory), *arguments],
            env={**environment, **_GIT_ENVIRONMENT},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
    except FileNotFoundError:
        raise HostError("@pkg: needs git, which is not installed") from None
    return done.stdout.decode(errors="surrogateescape") if done.returncode == 0 else None


def _tree_hash(directory: Path) -> str:
    prefix = _git(directory, "rev-parse", "--show-prefix")
    found = None if prefix is None else _git(directory, "rev-parse", "--verify", f"HEAD:{prefix.strip().rstrip('/')}")
    if not found:
        raise ConfigError(f"@pkg: {directory} is not in a commit of its git repository", hint="commit it")
    return found.strip()


def _is_dirty(directory: Path) -> bool:
    unchanged = _git(directory, "diff", "--no-ext-diff", "--exit-code", "--quiet", "HEAD", "--", ".") is not None
    return not unchanged or bool(_git(directory, "ls-files", "--exclude-standard", "--others", "--", "."))


def _content_hash(directory: Path) -> str:
    """SHA-256 over the files that git lists: tracked, then untracked; links and missing files are passed over."""
    digest = hashlib.sha256()
    tracked = _git(directory, "ls-files") or ""
    untracked = _git(directory, "ls-files", "--exclude-standard", "--others") or ""
    for name in [*tracked.splitlines(), *untracked.splitlines()]:
        path = directory / name
        if path.is_file() and not path.is_symlink():
            with open(path, "rb") as stream:
                while data := stream.read(1 << 20):
                    digest.update(data)
    return digest.hexdigest()
