"""The sandbox: what a command in it sees, and what becomes of it. It takes user namespaces."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

import hullkit
from hullkit.cache import Cache
from hullkit.context import Context
from hullkit.errors import HostError
from hullkit.hosttools.sandbox import Bind, Sandbox

CAN = subprocess.run(["unshare", "-Urmpfn", "true"], capture_output=True).returncode == 0
pytestmark = pytest.mark.skipif(not CAN, reason="needs user namespaces")


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    """The host's /usr as the tree (a real one comes from packages), and a writable /build."""
    tree = tmp_path / "tree"
    for name in ("build", "mountpoint", "tree", "tree/etc"):
        (tmp_path / name).mkdir()
    for name in ("bin", "sbin", "lib", "lib64"):
        (tree / name).symlink_to(f"usr/{name}")
    (tree / "etc" / "made").write_text("for the sandbox\n")
    binds = (Bind("/build", tmp_path / "build", writable=True), Bind("/usr", Path("/usr")))
    return Sandbox(tree, tmp_path / "mountpoint", binds, {"EXTRA": "1"}, "/build")


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context(Cache(tmp_path / "cache"))


def shell(sandbox: Sandbox, context: Context, script: str) -> list[str]:
    done = sandbox.run(context, ["/bin/sh", "-ec", script])
    assert done.returncode == 0, done.stderr
    return done.stdout.decode().splitlines()


def test_what_it_is_like_inside(sandbox: Sandbox, context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "of the host")
    old = os.umask(0o077)
    try:
        assert shell(sandbox, context, "id -u; id -g; pwd; hostname; umask; echo $$") == [
            *("0", "0", "/build", "hullkit", "0022", "2")
        ]
    finally:
        os.umask(old)
    assert sorted(shell(sandbox, context, "env")) == [
        *("EXTRA=1", "HOME=/tmp", "LC_ALL=C", "PATH=/usr/sbin:/usr/bin", "PWD=/build"),
        *("SOURCE_DATE_EPOCH=315619200", "TZ=UTC"),
    ]
    assert shell(sandbox, context, "ls /; cat /etc/made") == [
        *("bin", "build", "dev", "etc", "lib", "lib64", "proc", "sbin", "tmp", "usr", "for the sandbox")
    ]
    assert shell(sandbox, context, "ls /dev; echo x >/dev/null; echo /dev/fd/*; head -c4 /dev/zero | wc -c") == [
        *("fd", "full", "null", "random", "shm", "stderr", "stdin", "stdout", "urandom", "zero"),
        *("/dev/fd/0 /dev/fd/1 /dev/fd/2 /dev/fd/3", "4"),
    ]


def test_nothing_of_the_host_can_be_reached(sandbox: Sandbox, context: Context, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("x")
    shell(sandbox, context, f"test ! -e {secret}")
    assert shell(sandbox, context, "tail -n +3 /proc/net/dev | cut -d: -f1") == ["    lo"]
    assert (
        {"/proc/1", "/proc/2"}
        <= set(shell(sandbox, context, "ls -d /proc/[0-9]*"))
        < {f"/proc/{number}" for number in range(10)}
    )
    assert set(
        shell(sandbox, context, "grep ^Cap /proc/self/status | cut -f2; grep ^NoNewPrivs /proc/self/status")
    ) == {*("0000000000000000", "NoNewPrivs:\t1")}
    for refused in ("touch /usr/x", "touch /etc/made", "mount -t tmpfs x /tmp", "umount /usr", "chroot / true"):
        assert shell(sandbox, context, f"{refused} 2>/dev/null || echo no") == ["no"], refused
    assert shell(sandbox, context, "mount -o remount,rw,bind /usr 2>/dev/null || echo no") == ["no"]


def test_what_is_written_is_the_callers(sandbox: Sandbox, context: Context, tmp_path: Path) -> None:
    shell(sandbox, context, "echo made >file; mkdir -p a/b; touch /tmp/gone")
    made = tmp_path / "build" / "file"
    assert made.read_text() == "made\n"
    assert (made.stat().st_uid, made.stat().st_mode & 0o777) == (os.geteuid(), 0o644)
    assert not list((tmp_path / "mountpoint").iterdir())


@pytest.mark.parametrize(("script", "code"), [("exit 3", 3), ("kill -9 $$", 137), ("exit 125", 125), ("true", 0)])
def test_exit_codes(sandbox: Sandbox, context: Context, script: str, code: int) -> None:
    assert sandbox.run(context, ["/bin/sh", "-c", script]).returncode == code


def test_a_probe_takes_nothing(tmp_path: Path, context: Context) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "mountpoint").mkdir()
    Sandbox(tmp_path / "tree", tmp_path / "mountpoint").probe(context)


def test_orphans_end_with_the_command(sandbox: Sandbox, context: Context) -> None:
    sandbox.run(context, ["/bin/sh", "-c", "sleep 98765 & exit 0"])
    assert not processes("sleep 98765")


def test_pipes_break_as_usual(sandbox: Sandbox, context: Context) -> None:
    """Python ignores SIGPIPE; a command that inherited that would not end."""
    assert shell(sandbox, context, "yes | head -n 1") == ["y"]


def processes(words: str) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            continue
        if line == words:
            found.append(int(path.parent.name))
    return found


_SLEEP = """
import sys
from pathlib import Path
from hullkit.cache import Cache
from hullkit.context import Context
from hullkit.hosttools.sandbox import Bind, Sandbox
root = Path(sys.argv[1])
sandbox = Sandbox(root / "tree", root / "mountpoint", (Bind("/usr", Path("/usr")),))
sandbox.run(Context(Cache(root / "cache")), ["/bin/sh", "-c", "sleep 98764; true"])
"""


def start(script: str, root: Path, *before: str) -> subprocess.Popen[bytes]:
    env = {**os.environ, "PYTHONPATH": str(Path(hullkit.__file__).parent.parent)}
    return subprocess.Popen([*before, sys.executable, "-c", script, root], env=env, stderr=subprocess.PIPE)


def test_a_killed_build_leaves_no_process(sandbox: Sandbox, tmp_path: Path) -> None:
    process = start(_SLEEP, tmp_path)
    deadline = time.monotonic() + 20
    while not processes("sleep 98764") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert processes("sleep 98764")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    while processes("sleep 98764") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not processes("sleep 98764")


def test_a_host_without_user_namespaces_is_one_clear_error(sandbox: Sandbox, tmp_path: Path) -> None:
    script = 'echo 0 >/proc/sys/user/max_user_namespaces && exec "$@"'
    process = start(_SLEEP, tmp_path, "unshare", "-Ur", "sh", "-c", script, "sh")
    _, stderr = process.communicate(timeout=60)
    last = stderr.decode().strip().splitlines()[-1]
    assert last.startswith(
        "hullkit.errors.HostError: this host forbids the user namespaces that a sandbox takes (unshare:"
    )


def test_a_program_that_is_not_there(sandbox: Sandbox, context: Context) -> None:
    done = sandbox.run(context, ["/usr/bin/no-such-program"])
    assert (done.returncode, done.stderr) == (127, "/usr/bin/no-such-program: No such file or directory\n")


def test_a_tree_that_is_not_there(sandbox: Sandbox, context: Context, tmp_path: Path) -> None:
    with pytest.raises(HostError, match="No such file or directory"):
        replace(sandbox, tree=tmp_path / "gone").run(context, ["/bin/true"])
