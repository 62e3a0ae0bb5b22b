"""Runs one command in a sandbox: ``python -I -S enter.py SPEC``, SPEC being JSON (see ``sandbox.Sandbox``).

A process of its own, because a process with threads cannot enter a user namespace. It is the first of three: this one
waits, the second is the first process of a new PID namespace, the third becomes the command. When this one is killed,
the second is (PR_SET_PDEATHSIG), and with it everything in its namespace. Only the standard library, and nothing of
hullkit, is imported.

user_namespaces(7), mount_namespaces(7), pivot_root(2), prctl(2), capabilities(7).
"""

import ctypes
import json
import os
import platform
import select
import signal
import socket
import sys
from typing import Any, NoReturn

#: the exit status when the sandbox itself failed; what failed is then the last line of stderr, after PREFIX
FAILED = 125
PREFIX = "sandbox: "

# include/uapi/linux/sched.h, mount.h, prctl.h
_NEWNS, _NEWUTS, _NEWIPC, _NEWUSER, _NEWPID, _NEWNET = 0x20000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000
_RDONLY, _NOSUID, _NODEV, _NOEXEC, _REMOUNT = 1, 2, 4, 8, 32
_NOATIME, _NODIRATIME, _BIND, _REC, _PRIVATE, _RELATIME = 1 << 10, 1 << 11, 1 << 12, 1 << 14, 1 << 18, 1 << 21
_DETACH = 2
_PDEATHSIG, _CAPBSET_DROP, _NO_NEW_PRIVS = 1, 24, 38
#: statvfs(3) tells the flags of a mount that its copy in a user namespace must keep
_KEPT = {os.ST_NODEV: _NODEV, os.ST_NOSUID: _NOSUID, os.ST_NOEXEC: _NOEXEC, os.ST_NOATIME: _NOATIME}
_KEPT |= {os.ST_NODIRATIME: _NODIRATIME, os.ST_RELATIME: _RELATIME}
#: glibc and musl have no common wrapper for pivot_root
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41, "ppc64le": 203, "s390x": 217}
_DEVICES = ("null", "zero", "full", "random", "urandom")
_LIBC = ctypes.CDLL(None, use_errno=True)


class _Failure(Exception):
    """A step that the host does not let us do."""


def _checked(result: int, step: str) -> None:
    if result != 0:
        raise _Failure(f"{step}: {os.strerror(ctypes.get_errno())}")


def _mount(source: str | None, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    texts = [None if text is None else os.fsencode(text) for text in (source, target, kind, data)]
    result = _LIBC.mount(texts[0], texts[1], texts[2], ctypes.c_ulong(flags), texts[3])
    _checked(result, f"mount {kind or source or target}")


def _prctl(option: int, value: int) -> int:
    return int(_LIBC.prctl(option, ctypes.c_ulong(value), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0)))


def _bind(source: str, target: str, writable: bool) -> None:
    _mount(source, target, None, _BIND)
    if not writable:
        given = os.statvfs(target).f_flag
        kept = sum(flag for told, flag in _KEPT.items() if given & told)
        _mount(None, target, None, kept | _REMOUNT | _BIND | _RDONLY | _NOSUID | _NODEV)


def _write(path: str, text: str) -> None:
    with open(path, "w") as stream:
        stream.write(text)


def _enter_namespaces() -> None:
    """A user namespace in which the caller is root, and everything else that can be private."""
    user, group = os.geteuid(), os.getegid()
    _checked(_LIBC.unshare(_NEWUSER | _NEWNS | _NEWPID | _NEWNET | _NEWUTS | _NEWIPC), "unshare")
    _write("/proc/self/setgroups", "deny")
    _write("/proc/self/uid_map", f"0 {user} 1")
    _write("/proc/self/gid_map", f"0 {group} 1")


def _make_root(spec: dict[str, Any]) -> None:
    """Make the directory ``spec["mountpoint"]`` the root: the tree, read-only, and what else a program expects."""
    root = spec["mountpoint"]
    _mount(None, "/", None, _REC | _PRIVATE)
    _mount("tmpfs", root, "tmpfs", _NOSUID, "mode=0755")
    taken = ("dev", "proc", "tmp", *(target.strip("/").partition("/")[0] for target, _, _ in spec["binds"]))
    for name in sorted(os.listdir(spec["tree"])):
        source, target = os.path.join(spec["tree"], name), os.path.join(root, name)
        if os.path.islink(source):
            os.symlink(os.readlink(source), target)
        elif os.path.isdir(source) and name not in taken:
            os.mkdir(target)
            _bind(source, target, False)
    for target, source, writable in spec["binds"]:
        os.makedirs(root + target, exist_ok=True)
        _bind(source, root + target, writable)
    for name, mode in (("dev", 0o755), ("dev/shm", 0o1777), ("tmp", 0o1777), ("proc", 0o755)):
        os.mkdir(os.path.join(root, name))
        os.chmod(os.path.join(root, name), mode)
    for name in _DEVICES:
        _write(f"{root}/dev/{name}", "")
        _mount(f"/dev/{name}", f"{root}/dev/{name}", None, _BIND)
    for name, target in (("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")):
        os.symlink(f"/proc/self/fd{target}", f"{root}/dev/{name}")
    _mount("proc", f"{root}/proc", "proc", _NOSUID | _NODEV | _NOEXEC)


def _change_root(root: str) -> None:
    number = _PIVOT_ROOT.get(platform.machine())
    if number is None:
        raise _Failure(f"pivot_root: not known for {platform.machine()}")
    os.chdir(root)
    _checked(_LIBC.syscall(ctypes.c_long(number), b".", b"."), "pivot_root")
    _checked(_LIBC.umount2(b".", _DETACH), "umount")
    os.chdir("/")


def _die_with(lives: int) -> None:
    """Be killed when the parent dies; ``lives`` is a pipe whose other end it alone has, for it may be dead already."""
    _checked(_prctl(_PDEATHSIG, signal.SIGKILL), "prctl")
    if select.select([lives], [], [], 0)[0]:
        os._exit(FAILED)


def _become(spec: dict[str, Any]) -> NoReturn:
    """The command, without any capability: what is mounted read-only stays so."""
    capability = 0
    while _prctl(_CAPBSET_DROP, capability) == 0:
        capability += 1
    _checked(_prctl(_NO_NEW_PRIVS, 1), "prctl")
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, and programs inherit that
        signal.signal(number, signal.SIG_DFL)
    os.chdir(spec["cwd"])
    try:
        os.execve(spec["command"][0], spec["command"], spec["env"])  # noqa: S606
    except OSError as error:
        sys.stderr.write(f"{spec['command'][0]}: {error.strerror}\n")
    sys.stderr.flush()
    os._exit(127)  # as a shell says it


def _reap(child: int) -> int:
    """Wait for ``child`` as the first process of the namespace, which orphans are given to; its exit status."""
    while True:
        pid, status = os.wait()
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def _guarded(spec: dict[str, Any]) -> int:
    """What the second process does; the status that it ends with."""
    socket.sethostname("hullkit")
    _make_root(spec)
    _change_root(spec["mountpoint"])
    if not spec["command"]:
        return 0
    child = os.fork()
    if child == 0:
        _become(spec)
    return _reap(child)


def _fail(error: Exception) -> NoReturn:
    sys.stderr.write(f"\n{PREFIX}{error}\n")
    sys.stderr.flush()
    os._exit(FAILED)


def main() -> None:
    try:
        spec = json.loads(sys.argv[1])
        parent = os.getppid()
        _enter_namespaces()
        _checked(_prctl(_PDEATHSIG, signal.SIGKILL), "prctl")  # after the namespaces: a change of credentials clears it
        if os.getppid() != parent:
            os._exit(FAILED)
        lives, held = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(held)
            _die_with(lives)
        code = _guarded(spec) if child == 0 else _reap(child)
    except (_Failure, OSError) as error:
        _fail(error)
    os._exit(code)


if __name__ == "__main__":
    main()
