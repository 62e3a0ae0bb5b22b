"""Go modules of others: fetched by the go command from where it is set up to, checked against go.sum, kept.

``go.mod`` and ``go.sum`` pin every module by version and digest, so what a program is made of never changes by itself.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from hullkit.component.gobuild import complaint, go_command, tags_flag
from hullkit.context import Context
from hullkit.errors import ConfigError, HullError, NetworkError, TrustError

#: what may be set about how modules are fetched; beside these, the file that ``go env -w`` writes
_SETTINGS = (
    "GOPROXY",
    "GOPRIVATE",
    "GONOPROXY",
    "GOINSECURE",
    "GOAUTH",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NETRC",
)


def fetch_modules(
    context: Context,
    sources: Path,
    arch: str,
    *,
    goroot: Path,
    package: str = ".",
    tags: Sequence[str] = (),
    cgo: bool = False,
) -> None:
    """Make sure that the cache has every module that compiling ``package`` needs; ``cgo``: also for its parts in C.

    Raises NetworkError (also when offline), TrustError for a module that is not what go.sum says, ConfigError for one
    that go.mod or go.sum lacks.
    """
    if not (sources / "go.sum").is_file():
        return
    # names the packages, and so reads the modules that have them
    args = ["list", "-deps", "-f=", "-mod=readonly", tags_flag(tags), package]
    env = {"CGO_ENABLED": "1"} if cgo else {}
    if go_command(context, sources, arch, args, goroot=goroot, env=env).returncode == 0:
        return
    if context.offline:
        raise NetworkError(
            f"Go modules of {sources.name} are not in the cache, and --offline forbids fetching them",
            hint="run it once without --offline",
        )
    with context.bus.step(f"fetch Go modules of {sources.name}"):
        done = go_command(context, sources, arch, args, goroot=goroot, env={**_online(), **env})
    if done.returncode != 0:
        raise _failure(sources, complaint(done))


def _online() -> dict[str, str]:
    """The caller's settings of the network; -modcacherw, so that the cache can be removed like any other directory."""
    given = {name: os.environ[name] for name in _SETTINGS if name in os.environ}
    home = Path(os.environ.get("HOME") or Path.home())
    written = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config") / "go" / "env"
    env = {"GOENV": os.environ.get("GOENV") or str(written), "GOPROXY": "", "GOFLAGS": "-modcacherw"}
    return {**env, "NETRC": str(home / ".netrc"), **given}


def _failure(sources: Path, said: str) -> HullError:
    what = f"fetching the Go modules of {sources}"
    if "checksum mismatch" in said or "SECURITY ERROR" in said:
        return TrustError(f"{what}: a module is not what go.sum says: {said}")
    if "missing go.sum entry" in said or "updates to go.mod needed" in said or "no required module" in said:
        return ConfigError(f"{what}: {said}", hint="go mod tidy writes go.mod and go.sum")
    return NetworkError(f"{what} failed: {said}", hint="GOPROXY says where from")
