"""``--input-tar``: parts of a system taken from the tar of an earlier build (LinuxKit: extractPackageFilesFromTar).

The earlier configuration is the ``metadata: yaml`` file in the tar; what is equal in both is copied, by the records
that say where each member came from. As LinuxKit does it, which has its odd sides: the kernel's command line is copied
with the kernel, and volumes that did not change are left out.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

from hullkit.config.load import load
from hullkit.config.model import ImageEntry, SystemConfig
from hullkit.config.syntax import expand_reference
from hullkit.errors import ConfigError, NotFound
from hullkit.tree.entry import Entry
from hullkit.tree.tar import read_tar

_SOURCE, _LOCATION = "LINUXKIT.source", "LINUXKIT.location"
_MAX_CONFIG = 16 << 20


class InputTar:
    """The members of an earlier tar by where they came from, and its configuration."""

    def __init__(self, config: SystemConfig, members: list[Entry]) -> None:
        self._config = config
        self._members: dict[tuple[str, str], list[Entry]] = defaultdict(list)
        for entry in members:
            records = dict(entry.pax)
            key = (records.get(_SOURCE, b"").decode(), records.get(_LOCATION, b"").decode())
            self._members[key].append(entry)

    @classmethod
    def open(cls, path: Path, config: SystemConfig) -> InputTar | None:
        """None when the configuration has no metadata file, or the tar does not have it: nothing can be copied then.

        NotFound without the tar, TrustError for a damaged one, ConfigError for a configuration that cannot be read.
        """
        if not path.is_file():
            raise NotFound(f"--input-tar: there is no file {path}")
        written = [file.path for file in config.files if file.metadata and file.path]
        if not written:
            return None
        members = read_tar(path, name=f"--input-tar {path}", verbatim=True)
        wanted = written[-1].removeprefix("/")
        found = next((entry for entry in members if entry.path.removeprefix("/") == wanted and entry.content), None)
        if found is None or found.content is None:
            return None
        if found.size > _MAX_CONFIG:
            raise ConfigError(f"--input-tar: {found.path} has {found.size} bytes and is no configuration")
        try:
            old = load(["-"], stdin=b"".join(found.content.chunks()))
        except ConfigError as error:
            raise ConfigError(
                f"--input-tar: the configuration in {found.path} cannot be used: {error.message}"
            ) from error
        return cls(old, members)

    def _copy(self, image: str, location: str) -> list[Entry]:
        return self._members[expand_reference(image), location]

    def kernel(self, config: SystemConfig) -> list[Entry] | None:
        """The members of the kernel; None when it has changed."""
        image = config.kernel.image or ""
        same = expand_reference(self._config.kernel.image or "") == expand_reference(image)
        return self._copy(image, "kernel") if image and same else None

    def init(self, config: SystemConfig, number: int) -> list[Entry] | None:
        image, old = config.init[number], self._config.init
        same = len(old) > number and expand_reference(old[number]) == expand_reference(image)
        return self._copy(image, f"init[{number}]") if same else None

    def has_volume(self, config: SystemConfig, number: int) -> bool:
        old = self._config.volumes
        return len(old) > number and old[number] == config.volumes[number]

    def container(self, config: SystemConfig, kind: str, number: int) -> list[Entry] | None:
        entry: ImageEntry = getattr(config, kind)[number]
        old: tuple[ImageEntry, ...] = getattr(self._config, kind)
        same = len(old) > number and _comparable(old[number]) == _comparable(entry)
        return self._copy(entry.image, f"{kind}[{number}]") if same else None


def _comparable(entry: ImageEntry) -> dict[str, Any]:
    return {**entry.to_json(), "image": expand_reference(entry.image)}
