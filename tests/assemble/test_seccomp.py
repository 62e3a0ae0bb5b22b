"""The default filter: its rules, and what it does to a real process where libseccomp is installed."""

from __future__ import annotations

import ctypes
import ctypes.util
import errno
import json
import os
import subprocess
import sys
import textwrap
from typing import Any

import pytest

from hullkit.assemble.seccomp import default_profile
from hullkit.config.syntax import CAPABILITIES

ARCHITECTURES = ("amd64", "arm64", "ppc64le", "riscv64", "s390x")
LIBRARY = ctypes.util.find_library("seccomp")


def verdicts(profile: dict[str, Any], name: str) -> list[Any]:
    """(action, errno) of each rule that names a system call."""
    return [(rule["action"], rule.get("errnoRet")) for rule in profile["syscalls"] if name in rule["names"]]


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_no_call_is_both_allowed_and_denied(arch: str) -> None:
    for capabilities in ((), ("CAP_SYS_ADMIN",), CAPABILITIES):
        profile = default_profile(capabilities, arch)
        plain = [rule["names"] for rule in profile["syscalls"] if "args" not in rule]
        names = [name for each in plain for name in each]
        assert len(names) == len(set(names))
        conditional = {name for rule in profile["syscalls"] if "args" in rule for name in rule["names"]}
        assert not conditional & set(names)
        assert profile["defaultErrnoRet"] == errno.ENOSYS
        json.dumps(profile)


@pytest.mark.parametrize(
    ("name", "capability"),
    [("mount", "CAP_SYS_ADMIN"), ("bpf", "CAP_BPF"), ("ptrace", "CAP_SYS_PTRACE"), ("reboot", "CAP_SYS_BOOT"),
     ("chroot", "CAP_SYS_CHROOT"), ("settimeofday", "CAP_SYS_TIME"), ("finit_module", "CAP_SYS_MODULE")],
)  # fmt: skip
def test_calls_for_administration_need_their_capability(name: str, capability: str) -> None:
    assert verdicts(default_profile((), "amd64"), name) == [("SCMP_ACT_ERRNO", errno.EPERM)]
    assert verdicts(default_profile((capability,), "amd64"), name) == [("SCMP_ACT_ALLOW", None)]


def test_calls_that_no_capability_opens() -> None:
    profile = default_profile(CAPABILITIES, "amd64")
    for name in ("keyctl", "userfaultfd", "add_key"):
        assert verdicts(profile, name) == [("SCMP_ACT_ERRNO", errno.EPERM)]
    assert verdicts(profile, "io_uring_setup") == []  # ENOSYS: programs have a way without


def test_the_flags_of_clone_are_the_second_argument_on_s390x() -> None:
    def index(arch: str) -> set[int]:
        rules = default_profile((), arch)["syscalls"]
        return {rule["args"][0]["index"] for rule in rules if rule["names"] == ["clone"]}

    assert index("s390x") == {1}
    assert index("amd64") == {0}


PROGRAM = """
    import ctypes, errno, json, os, socket, subprocess, sys, threading

    libc = ctypes.CDLL(None, use_errno=True)
    profile = json.loads(sys.argv[1])

    class Compare(ctypes.Structure):
        _fields_ = [("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64)]

    OPERATIONS = {"SCMP_CMP_EQ": 4, "SCMP_CMP_GT": 6, "SCMP_CMP_MASKED_EQ": 7}
    lib = ctypes.CDLL(sys.argv[2])
    lib.seccomp_init.restype = ctypes.c_void_p

    def action(name, number):
        return ctypes.c_uint32(0x7FFF0000 if name == "SCMP_ACT_ALLOW" else 0x00050000 | number)

    context = ctypes.c_void_p(lib.seccomp_init(action(profile["defaultAction"], profile["defaultErrnoRet"])))
    for rule in profile["syscalls"]:
        for name in rule["names"]:
            number = lib.seccomp_syscall_resolve_name(name.encode())
            if number == -1:
                continue  # newer than this libseccomp
            values = [(a["index"], OPERATIONS[a["op"]], a["value"], a.get("valueTwo", 0)) for a in rule.get("args", [])]
            tests = [Compare(*each) for each in values]
            array = (Compare * max(1, len(tests)))(*tests)
            done = lib.seccomp_rule_add_array(
                context, action(rule["action"], rule.get("errnoRet", 0)), number, len(tests), array
            )
            assert done == 0, (name, done)
    assert lib.seccomp_load(context) == 0

    thread = threading.Thread(target=print, args=("thread",))
    thread.start()
    thread.join()
    print(subprocess.run(["/bin/sh", "-c", "echo child"], capture_output=True, text=True).stdout.strip())
    server = socket.create_server(("127.0.0.1", 0))
    client = socket.create_connection(server.getsockname())
    print("connected")

    def call(name, *arguments):
        number = lib.seccomp_syscall_resolve_name(name.encode())
        ctypes.set_errno(0)
        done = libc.syscall(ctypes.c_long(number), *map(ctypes.c_long, arguments))
        return 0 if done >= 0 else ctypes.get_errno()

    results = {
        "mount": call("mount", 0, 0, 0, 0, 0),
        "keyctl": call("keyctl", 0, 0, 0, 0, 0),
        "clone3": call("clone3", 0, 0),
        "clone": call("clone", 0x10000000 | 17, 0, 0, 0, 0),
        "unshare": call("unshare", 0x10000000),
        "io_uring": call("io_uring_setup", 1, 0),
        "vsock": call("socket", 40, 1, 0),
        "personality": call("personality", 0xFFFFFFFF),
    }
    print(json.dumps(results))
"""


@pytest.mark.skipif(LIBRARY is None or os.uname().machine != "x86_64", reason="needs libseccomp on amd64")
def test_a_real_process_under_the_filter() -> None:
    arguments = [json.dumps(default_profile((), "amd64")), str(LIBRARY)]
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), *arguments], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[:3] == ["thread", "child", "connected"]
    assert json.loads(lines[3]) == {
        "mount": errno.EPERM,
        "keyctl": errno.EPERM,
        "clone3": errno.ENOSYS,
        "clone": errno.EPERM,
        "unshare": errno.EPERM,
        "io_uring": errno.ENOSYS,
        "vsock": errno.EAFNOSUPPORT,
        "personality": 0,
    }
