"""Reading, merging, positions and templates."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from hullkit.config.load import load, read
from hullkit.config.model import KernelConfig, base_directory, container_ids, position_of
from hullkit.config.packages import package_tag
from hullkit.errors import ConfigError, NotFound


def write(path: Path, text: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return str(path)


def test_merge_as_linuxkit_and_keep_all_volumes(tmp_path: Path) -> None:
    first = write(
        tmp_path / "a" / "1.yml",
        "kernel: {image: lab/k, cmdline: x, ucode: u, tar: t}\ninit: [lab/a]\nvolumes: [{name: va}]\n"
        'services:\n  - {name: s1, image: lab/x, binds: ["va:/x", "vb:/y"]}\nlayout: flat\n',
    )
    second = write(
        tmp_path / "b" / "2.yml",
        'kernel: {image: "", binary: bz, ucode: "", tar: none}\ninit: [lab/b]\nvolumes: [{name: vb}]\n'
        "onboot: [{name: o, image: lab/x}]\nservices:\n  - {name: s2, image: lab/y}\nlayout: packed\n",
    )
    config = load([first, second])
    assert config.kernel == KernelConfig(image="lab/k", cmdline="x", binary="bz", ucode="", tar="none")
    assert (config.kernel.binary_file, config.kernel.tar_file, config.kernel.ucode_file) == ("bz", "", "")
    assert config.init == ("lab/a", "lab/b")
    assert [volume.name for volume in config.volumes] == ["va", "vb"]
    assert [service.name for service in config.services] == ["s1", "s2"]
    assert config.layout == "packed"
    assert str(position_of(config, "services", 1, "image")) == f"{second}:6:23"
    assert str(position_of(config, "services", 1, "nothing", 3)) == f"{second}:6:5"
    assert position_of(config, "budget") is None
    assert base_directory(config, "services", 0) == str(tmp_path / "a")
    assert base_directory(config, "services", 1, "image") == str(tmp_path / "b")
    assert container_ids(config) == {"o": 100, "s1": 101, "s2": 102}


def test_a_service_name_twice_in_two_files(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{n}.yml", "services: [{name: s, image: lab/x}]\n") for n in (1, 2)]
    with pytest.raises(ConfigError, match=r'2\.yml:1:19: services\[1\].name: the service "s" is here twice'):
        load(paths)


def test_stdin_and_files_together(tmp_path: Path) -> None:
    path = write(tmp_path / "x.yml", "init: [lab/a]\n")
    config = load([path, "-"], stdin=b"init: [lab/b]\n")
    assert config.init == ("lab/a", "lab/b")
    assert base_directory(config, "init", 1) == os.getcwd()


def test_addresses_go_through_fetch() -> None:
    assert load(["https://x.invalid/a.yml"], fetch=lambda url: b"init: [lab/a]\n").init == ("lab/a",)
    with pytest.raises(ConfigError, match="addresses cannot be read here"):
        load(["https://x.invalid/a.yml"])


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"nofile\.yml does not exist"):
        load([tmp_path / "nofile.yml"])
    with pytest.raises(ConfigError, match="Is a directory"):
        load([tmp_path])
    with pytest.raises(ConfigError, match="larger than 32 MiB"):
        load(["/dev/zero"])
    with pytest.raises(ConfigError, match="no configuration file"):
        load([])


def test_warnings() -> None:
    config = load(["-"], stdin=b"trust: {org: [x]}\n---\n{}\n")
    assert config.origin.warnings == (
        "<stdin>:2:1: only the first document of a file is read",
        "<stdin>:1:8: trust: has no effect, here and in LinuxKit",
    )


def test_problems_of_several_files_are_told_together(tmp_path: Path) -> None:
    paths = [
        write(tmp_path / "1.yml", "bad: 1\n"),
        write(tmp_path / "2.yml", "a: [\n"),
        write(tmp_path / "3.yml", "init: x\n"),
    ]
    _, found = read(paths)
    assert [Path(error.where.file).name for error in found if error.where] == ["1.yml", "2.yml", "3.yml"]


def git(directory: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=t", "-c", "user.email=t@t.invalid", "-C", str(directory), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A git repository with packages; what LinuxKit's ``pkg show-tag`` calls them is known from the golden cases."""
    root = tmp_path / "repo"
    for name in ("one", "two"):
        write(
            root / "pkg" / name / "build.yml", f"image: lab{name}\norg: tplorg\nconfig:\n  capabilities: [CAP_KILL]\n"
        )
        write(root / "pkg" / name / "Dockerfile", "FROM scratch\n")
    git(tmp_path, "init", "-q", str(root))
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "x")
    return root


def test_package_tag_is_the_tree_hash(repository: Path) -> None:
    # golden case 120: the same files gave LinuxKit these tags
    assert package_tag("pkg/one", str(repository)) == "docker.io/tplorg/labone:433f4d6d71d621fab72d264c840aa6e8f441333d"
    assert package_tag("../one", str(repository / "pkg" / "two")).endswith(":433f4d6d71d621fab72d264c840aa6e8f441333d")


def test_package_templates_in_a_file(repository: Path) -> None:
    path = write(repository / "x.yml", 'init: ["@pkg:pkg/one"]\nservices:\n  - {name: t, image: "@pkg:./pkg/two"}\n')
    config = load([path])
    assert config.init == ("docker.io/tplorg/labone:433f4d6d71d621fab72d264c840aa6e8f441333d",)
    assert config.services[0].image == "docker.io/tplorg/labtwo:aed7b80c5873730301a9f25594984ebebb45d02d"
    with pytest.raises(ConfigError, match=r"<stdin>:1:8: @pkg:\./nope: .*/nope/build\.yml: No such file"):
        load(["-"], stdin=b'init: ["@pkg:./nope"]\n')
    plain = load(["-"], stdin=b'files: [{path: a, contents: "@pkg: is LinuxKit"}]\n')
    assert plain.files[0].contents == "@pkg: is LinuxKit"


def test_changed_packages_are_dirty(repository: Path) -> None:
    clean = package_tag("pkg/one", str(repository))
    write(repository / "pkg" / "one" / "new file", "x")
    untracked = package_tag("pkg/one", str(repository))
    assert untracked.startswith(f"{clean}-dirty-")
    write(repository / "pkg" / "one" / "Dockerfile", "FROM x\n")
    changed = package_tag("pkg/one", str(repository))
    assert changed.startswith(f"{clean}-dirty-")
    assert changed != untracked
    assert "dirty" not in package_tag("pkg/two", str(repository))


def test_package_at_the_top_tag_template_and_extra_sources(repository: Path) -> None:
    write(repository / "build.yml", "image: top\ntag: v1-{{.Hash}}\nextra-sources: ['pkg/one:/one']\n")
    git(repository, "add", ".")
    git(repository, "commit", "-q", "-m", "y")
    first = package_tag(".", str(repository))
    assert first.startswith("docker.io/linuxkit/top:v1-")
    tree = git(repository, "rev-parse", "HEAD^{tree}")
    assert tree not in first  # hashed together with the extra source
    write(repository / "build.yml", "image: top\ntag: '{{.Version}}'\n")
    with pytest.raises(ConfigError, match="only the template"):
        package_tag(".", str(repository))


def test_package_outside_of_git(tmp_path: Path) -> None:
    write(tmp_path / "p" / "build.yml", "image: p\n")
    assert package_tag("p", str(tmp_path)) == "docker.io/linuxkit/p:latest"
    write(tmp_path / "q" / "build.yml", "org: p\n")
    with pytest.raises(ConfigError, match="does not say image"):
        package_tag("q", str(tmp_path))
