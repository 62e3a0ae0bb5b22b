"""The default system call filter of a hardened container, as an OCI seccomp object.

An allow-list: what ordinary servers, shells and language runtimes use. What only administration needs is allowed when
the container has the capability that the kernel asks for anyway; without it the call fails with EPERM as it would
without a filter. A system call that is on no list (one newer than this file, too) fails with ENOSYS, so that programs
fall back to an older one. Only the architecture's native calls are allowed: no 32-bit personality.

Names from the system call tables of Linux 6.12 (arch/*/entry/syscalls, scripts/syscall.tbl); names that an
architecture lacks are ignored by libseccomp.
"""

from __future__ import annotations

import errno
from collections.abc import Collection, Iterable
from typing import Any

Rule = dict[str, Any]

_FILES = """
access chdir chmod chown close close_range copy_file_range creat dup dup2 dup3 epoll_create epoll_create1 epoll_ctl
epoll_pwait epoll_pwait2 epoll_wait eventfd eventfd2 faccessat faccessat2 fadvise64 fallocate fanotify_mark fchdir
fchmod fchmodat fchmodat2 fchown fchownat fcntl fdatasync fgetxattr flistxattr flock fremovexattr fsetxattr fstat
fstatfs fsync ftruncate futimesat getcwd getdents getdents64 getxattr inotify_add_watch inotify_init inotify_init1
inotify_rm_watch io_cancel io_destroy io_getevents io_pgetevents io_setup io_submit ioctl ioprio_get ioprio_set lchown
lgetxattr link linkat listmount listxattr llistxattr lremovexattr lseek lsetxattr lstat memfd_create mkdir mkdirat mknod
mknodat name_to_handle_at newfstatat open openat openat2 pipe pipe2 poll ppoll pread64 preadv preadv2 pselect6 pwrite64
pwritev pwritev2 read readahead readlink readlinkat readv removexattr rename renameat renameat2 rmdir select sendfile
setxattr signalfd signalfd4 splice stat statfs statmount statx symlink symlinkat sync sync_file_range sync_file_range2
syncfs tee timerfd_create timerfd_gettime timerfd_settime truncate umask unlink unlinkat utime utimensat utimes vmsplice
write writev cachestat getxattrat listxattrat removexattrat setxattrat
"""
_PROCESSES = """
alarm capget capset execve execveat exit exit_group fork getcpu getegid geteuid getgid getgroups getitimer getpgid
getpgrp getpid getppid getpriority getresgid getresuid getrlimit getrusage getsid gettid getuid get_robust_list kill
landlock_add_rule landlock_create_ruleset landlock_restrict_self pause pidfd_open pidfd_send_signal prctl prlimit64
process_mrelease restart_syscall rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn
rt_sigsuspend rt_sigtimedwait rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min sched_getaffinity
sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval sched_setaffinity sched_setattr sched_setparam
sched_setscheduler sched_yield seccomp set_robust_list set_tid_address setfsgid setfsuid setgid setgroups setitimer
setpgid setpriority setregid setresgid setresuid setreuid setrlimit setsid setuid sigaltstack sysinfo tgkill time
times tkill uname vfork wait4 waitid
"""
_MEMORY_AND_TIME = """
adjtimex brk clock_adjtime clock_getres clock_gettime clock_nanosleep futex futex_requeue futex_wait futex_waitv
futex_wake getrandom gettimeofday madvise map_shadow_stack membarrier memfd_secret mincore mlock mlock2 mlockall mmap
mprotect mremap mseal msync munlock munlockall munmap nanosleep pkey_alloc pkey_free pkey_mprotect process_madvise
remap_file_pages timer_create timer_delete timer_getoverrun timer_gettime timer_settime
"""
_MESSAGES = """
accept accept4 bind connect getpeername getsockname getsockopt listen mq_getsetattr mq_notify mq_open mq_timedreceive
mq_timedsend mq_unlink msgctl msgget msgrcv msgsnd recvfrom recvmmsg recvmsg semctl semget semop semtimedop sendmmsg
sendmsg sendto setsockopt shmat shmctl shmdt shmget shutdown socketpair
"""
#: what one architecture needs beside these: its own calls, and those of which its C library has kept the old form
_BY_ARCHITECTURE = {
    "amd64": "arch_prctl uretprobe",
    "arm64": "",
    "ppc64le": "_newselect ipc recv send sigreturn socketcall swapcontext ugetrlimit waitpid",
    "riscv64": "riscv_flush_icache riscv_hwprobe",
    "s390x": "ipc nice s390_guarded_storage s390_pci_mmio_read s390_pci_mmio_write s390_runtime_instr sigreturn "
    "socketcall",
}

#: allowed with any of the capabilities (the kernel checks them itself, in most cases more finely)
_BY_CAPABILITY: tuple[tuple[tuple[str, ...], str], ...] = (
    (
        ("CAP_SYS_ADMIN",),
        "fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie mount mount_setattr move_mount open_tree "
        "pivot_root quotactl quotactl_fd setdomainname sethostname setns swapoff swapon umount umount2 unshare",
    ),
    (("CAP_SYS_ADMIN", "CAP_BPF"), "bpf"),
    (("CAP_SYS_ADMIN", "CAP_PERFMON"), "perf_event_open"),
    (("CAP_SYS_ADMIN", "CAP_SYSLOG"), "syslog"),
    (("CAP_DAC_READ_SEARCH",), "open_by_handle_at"),
    (("CAP_SYS_BOOT",), "kexec_file_load kexec_load reboot"),
    (("CAP_SYS_CHROOT",), "chroot"),
    (("CAP_SYS_MODULE",), "delete_module finit_module init_module"),
    (
        ("CAP_SYS_NICE",),
        "get_mempolicy mbind migrate_pages move_pages set_mempolicy set_mempolicy_home_node",
    ),
    (("CAP_SYS_PACCT",), "acct"),
    (("CAP_SYS_PTRACE",), "kcmp pidfd_getfd process_vm_readv process_vm_writev ptrace"),
    (("CAP_SYS_RAWIO",), "ioperm iopl"),
    (("CAP_SYS_TIME",), "clock_settime settimeofday"),
    (("CAP_SYS_TTY_CONFIG",), "vhangup"),
)
#: known, and never allowed: keyrings have no namespace; the others only widen the kernel's surface
_NEVER = "add_key keyctl request_key userfaultfd modify_ldt"

#: clone(2) flags that make namespaces (include/uapi/linux/sched.h)
_NAMESPACE_FLAGS = (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000)
#: socket(2) families: UNIX, INET, INET6, NETLINK, PACKET (include/linux/socket.h)
_FAMILIES = (1, 2, 10, 16, 17)
#: personality(2): PER_LINUX and PER_LINUX32, and 0xffffffff, which only asks; not ADDR_NO_RANDOMIZE
_PERSONALITIES = (0x0, 0x0008, 0xFFFFFFFF)


def default_profile(capabilities: Collection[str], arch: str) -> dict[str, Any]:
    """The OCI ``linux.seccomp`` object for a container with these capabilities on an architecture (Go's name)."""
    allowed, denied = set(), set(_NEVER.split())
    for group in (_FILES, _PROCESSES, _MEMORY_AND_TIME, _MESSAGES, _BY_ARCHITECTURE[arch]):
        allowed.update(group.split())
    for needed, names in _BY_CAPABILITY:
        (allowed if any(name in capabilities for name in needed) else denied).update(names.split())
    rules: list[Rule] = []
    if "CAP_SYS_ADMIN" in capabilities:
        allowed.update(("clone", "clone3"))
    else:
        rules += _clone_rules(arch)
    if arch in ("ppc64le", "s390x"):
        # they have socketcall too, whose arguments are in memory where no filter sees them
        allowed.add("socket")
    else:
        rules += _socket_rules()
    rules += [_allow(["personality"], _argument(0, value)) for value in _PERSONALITIES]
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": errno.ENOSYS,
        "syscalls": [_allow(allowed), _deny(denied, errno.EPERM), *rules],
    }


def _clone_rules(arch: str) -> list[Rule]:
    """Threads and processes, but no namespaces; clone3 stays ENOSYS, as its flags are in memory."""
    index = 1 if arch == "s390x" else 0
    every = sum(_NAMESPACE_FLAGS)
    rules = [_allow(["clone"], _masked(index, every, 0))]
    rules += [_deny(["clone"], errno.EPERM, _masked(index, flag, flag)) for flag in _NAMESPACE_FLAGS]
    return rules


def _socket_rules() -> list[Rule]:
    rules = [_allow(["socket"], _argument(0, family)) for family in _FAMILIES]
    beyond = {"index": 0, "value": max(_FAMILIES), "op": "SCMP_CMP_GT"}
    return [*rules, _deny(["socket"], errno.EAFNOSUPPORT, beyond)]


def _argument(index: int, value: int) -> dict[str, Any]:
    return {"index": index, "value": value, "op": "SCMP_CMP_EQ"}


def _masked(index: int, mask: int, value: int) -> dict[str, Any]:
    """The argument's bits under ``mask`` are ``value``."""
    return {"index": index, "value": mask, "valueTwo": value, "op": "SCMP_CMP_MASKED_EQ"}


def _allow(names: Iterable[str], *arguments: dict[str, Any]) -> Rule:
    rule: Rule = {"names": sorted(names), "action": "SCMP_ACT_ALLOW"}
    return {**rule, "args": list(arguments)} if arguments else rule


def _deny(names: Iterable[str], number: int, *arguments: dict[str, Any]) -> Rule:
    rule: Rule = {"names": sorted(names), "action": "SCMP_ACT_ERRNO", "errnoRet": number}
    return {**rule, "args": list(arguments)} if arguments else rule
