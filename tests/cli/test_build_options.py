"""Options of hullkit build that cannot be together; nothing is read or written before they are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from hullkit.cli import main


def refused(capfd: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main(["build", *words])
    told = capfd.readouterr()
    assert ended.value.code == 2 and not told.out
    return told.err.strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--docker"], "docker save IMAGE"),
        (["--size", "huge"], "--size 'huge'"),
        (["--input-tar", "old.tar", "--pull"], "--input-tar and --pull"),
        (["-o", "x.tar", "--name", "n"], "--output and --name"),
        (["-o", "x.tar", "--dir", "d"], "--output and --dir"),
        (["-o", "x", "--format", "kernel+initrd"], "one format of one file"),
        (["-o", "x", "--format", "tar,docker"], "one format of one file"),
        (["--format", "bogus"], "bogus"),
        (["-o", "same.tar", "--input-tar", "same.tar"], "the same file"),
        (["--sbom-output", "../x"], "--sbom-output"),
    ],
)
def test_refused(
    words: list[str], says: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "same.tar").write_bytes(b"precious")
    (tmp_path / "x.yml").write_text("files: [{path: a, contents: b}]\n")
    assert says in refused(capfd, *words, "x.yml")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["same.tar", "x.yml"]
    assert (tmp_path / "same.tar").read_bytes() == b"precious"


def test_a_system_of_files_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.yml").write_text("files: [{path: a, contents: b}]\n")
    for words in (["-o", "out.tar"], ["--format", "tar,docker", "--dir", "made", "--name", "n"], ["--size", "2G"]):
        with pytest.raises(SystemExit) as ended:
            main(["build", "--cache", str(tmp_path / "cache"), "--no-sbom", *words, "x.yml"])
        assert ended.value.code == 0
    assert (tmp_path / "out.tar").read_bytes() == (tmp_path / "made/n.tar").read_bytes()
    assert (tmp_path / "x-initrd.img").is_file() and not (tmp_path / "x-kernel").exists()
