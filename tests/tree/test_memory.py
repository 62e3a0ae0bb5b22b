"""Memory stays flat: rewriting 300 MB takes no more of it than rewriting nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import resource, sys
from pathlib import Path
from hullkit.tree.cpio import write_cpio
from hullkit.tree.segment import write_segment
from hullkit.tree.tar import read_tar, write_tar
import zstandard
what, source, out = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
entries = read_tar(source)
if what == "segment":
    write_segment(entries, out, "zstd", 1)
else:
    with open(out, "wb") as stream:
        (write_tar if what == "tar" else write_cpio)(entries, stream)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024, out.stat().st_size)
"""


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 MB of files of 20 MB and of 20 kB; mostly a hole of the host's file system, so that it costs little."""
    import tarfile

    path = tmp_path_factory.mktemp("memory") / "t.tar"
    with open(path, "wb") as stream:
        for number, size in enumerate([20_000_000] * 14 + [20_000] * 1000):
            info = tarfile.TarInfo(f"f{number}")
            info.size = size
            stream.write(info.tobuf())
            stream.write(b"some bytes")
            stream.seek(-(-size // 512) * 512 - 10, 1)
        stream.write(bytes(1024))
    return path


@pytest.mark.parametrize(("what", "most"), [("tar", 16), ("cpio", 16), ("segment", 40)])
def test_peak_memory(archive: Path, tmp_path: Path, what: str, most: int) -> None:
    out = tmp_path / "out"
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, what, archive, out], check=True, capture_output=True, text=True
    )
    grown, size = map(int, ended.stdout.split())
    out.unlink()
    assert grown < most, "MiB"
    assert size > 300_000_000 or what == "segment"
