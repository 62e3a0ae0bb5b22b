"""Our closures against apt's, on Debian's real index."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from hullkit.cache import Cache
from hullkit.context import Context, host_arch
from hullkit.debian.archive import Archive
from hullkit.debian.keys import keyring_file

pytestmark = [
    pytest.mark.net,
    pytest.mark.skipif(
        shutil.which("apt-get") is None or host_arch() != "amd64", reason="compares with apt-get on amd64"
    ),
]

CASES = [
    (["nginx", "openssh-server", "chrony"], False),
    (["containerd", "runc", "dhcpcd-base", "rng-tools5", "docker.io", "postgresql"], False),
    (["containerd", "runc", "dhcpcd-base", "rng-tools5"], True),
    (["qemu-system-x86", "erofs-utils", "linux-image-cloud-amd64"], False),
]

Apt = Callable[..., dict[str, str]]


@pytest.fixture(scope="module")
def archive(warm_cache: Path) -> Archive:
    return Archive.open(Context(Cache(warm_cache), arch="amd64"), "amd64")


@pytest.fixture(scope="module")
def apt(archive: Archive, tmp_path_factory: pytest.TempPathFactory) -> Apt:
    """apt-get in a root of its own: same mirrors, nothing installed."""
    root = tmp_path_factory.mktemp("apt")
    for name in ("etc/apt/preferences.d", "etc/apt/apt.conf.d", "state/lists/partial", "cache/archives/partial"):
        (root / name).mkdir(parents=True)
    (root / "status").touch()
    lines = [f"deb [signed-by={keyring_file()}] {base} {suite} main" for suite, base in archive.mirrors.items()]
    (root / "sources.list").write_text("\n".join(lines) + "\n")
    options = {
        "Dir": root,
        "Dir::State": root / "state",
        "Dir::State::status": root / "status",
        "Dir::Cache": root / "cache",
        "Dir::Etc::sourcelist": root / "sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::Etc::parts": "/dev/null",
        "APT::Architecture": "amd64",
        "APT::Architectures": "amd64",
        "APT::Sandbox::User": "root",
        "Acquire::Languages": "none",
    }
    words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]

    def ask(*args: str) -> dict[str, str]:
        done = subprocess.run(["apt-get", "-q", *words, *args], capture_output=True, text=True, check=True)
        lines = (line.split() for line in done.stdout.splitlines() if line.startswith("Inst "))
        return {line[1].partition(":")[0]: line[2].lstrip("(") for line in lines}

    ask("update")
    return ask


@pytest.mark.parametrize(("roots", "recommends"), CASES)
def test_same_closure_as_apt(archive: Archive, apt: Apt, roots: list[str], recommends: bool) -> None:
    option = "--install-recommends" if recommends else "--no-install-recommends"
    ours = {package.name: package.version for package in archive.resolve(roots, recommends=recommends)}
    assert ours == apt(option, "-s", "install", *roots)
