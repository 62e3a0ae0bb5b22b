"""The beginning of a recipe: ``hullkit component new``."""

from __future__ import annotations

import re
from pathlib import Path

from hullkit.cache import atomic_write
from hullkit.component.catalogue import RECIPE_FILE, TEST_FILE
from hullkit.errors import ConfigError

_RECIPE = """\
# A component: a recipe that hullkit turns into an OCI image. docs/components.md explains every key;
# `hullkit component show ./{name} --files` shows what comes out.
name: {name}
summary: {name}, from the Debian package {package}
licence: LicenseRef-unknown        # an SPDX expression, such as MIT or GPL-2.0-only
# upstream: https://example.org/
role: service                      # or onboot, root (part of the root file system), layer (only a base of others)
version: {{package: {package}}}

# Components whose layers lie below; systems store each layer once. busybox brings a shell for scripts, crypto OpenSSL.
base: [libc]

debian:
  packages: [{package}]
  # Not followed: what only maintainer scripts need (none is run).
  prune: [adduser, debconf, init-system-helpers, perl-base, ucf]
  # Fetch only these of the resolved packages. Add the packages of libraries; an error names one that is missing.
  # only: [{package}]
  # Keep only these files; the libraries that they need come along. Without keep, all but documentation is kept.
  # keep:
  #   - usr/sbin/{package}

# users: [{{name: {name}, uid: 200}}]
# dirs: [{{path: var/lib/{name}}}]
# links: {{/run/{name}/state: [var/lib/{name}/state]}}
# files:
#   - {{path: etc/{name}.conf, source: files/{name}.conf}}

# How it runs unless a system says otherwise: what a container may do is what stands here, and no more.
config:
  command: [/usr/bin/{package}]
  readonly: true
  # capabilities: [CAP_NET_BIND_SERVICE]
  # tmpfs: ["/run:size=1m,mode=0755"]
"""

_TEST = """\
# A system that uses the component, merged with others by the tests; its checks must hold once it is up.
services:
  - name: {name}
    image: "@component:./."
checks:
  - name: "{name}: the program starts"
    exec: {{container: {name}, command: [/usr/bin/{package}, --version]}}
"""


def write_skeleton(directory: Path, name: str, package: str) -> Path:
    """Write ``DIRECTORY/NAME/component.yml`` and a test. ConfigError for a bad name or a folder that exists."""
    if re.fullmatch(r"[a-z0-9][a-z0-9+.-]*", name) is None or re.fullmatch(r"[a-z0-9][a-z0-9+.-]+", package) is None:
        raise ConfigError(f"{name!r}: a component's name has lower case letters, digits, + . and -")
    folder = directory / name
    if folder.exists():
        raise ConfigError(f"{folder} exists already", hint="give another name, or --dir")
    folder.mkdir(parents=True)
    atomic_write(folder / RECIPE_FILE, _RECIPE.format(name=name, package=package).encode())
    atomic_write(folder / TEST_FILE, _TEST.format(name=name, package=package).encode())
    return folder
