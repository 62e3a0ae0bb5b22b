"""Does KVM work? Run as a program of its own (``python -I -S kvmprobe.py DEVICE ARCH``), since a broken one may hang.

Makes a virtual machine and a processor; on x86-64 that processor also runs one instruction (``hlt``), for there
are hosts whose KVM opens and then does nothing. Prints ``ok``, or what did not work. Imports the standard library only.
Numbers and structures: include/uapi/linux/kvm.h, arch/x86/include/uapi/asm/kvm.h.
"""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import struct
import sys

KVM_GET_API_VERSION = 0xAE00
KVM_CREATE_VM = 0xAE01
KVM_GET_VCPU_MMAP_SIZE = 0xAE04
KVM_CREATE_VCPU = 0xAE41
KVM_SET_TSS_ADDR = 0xAE47
KVM_RUN = 0xAE80
KVM_SET_USER_MEMORY_REGION = 0x4020AE46
KVM_SET_REGS = 0x4090AE82
KVM_GET_SREGS = 0x8138AE83
KVM_SET_SREGS = 0x4138AE84
SIZE_OF_SREGS = 0x138
API_VERSION = 12
EXIT_HLT = 5
#: offset of exit_reason in struct kvm_run
EXIT_REASON = 8
HLT = b"\xf4"
CODE_AT = 0x1000
PAGE = 4096


def run_hlt(machine: int, cpu: int, run_size: int) -> str:
    """Let the processor halt in real mode; the reason why it did not, or ``ok``."""
    memory = mmap.mmap(-1, PAGE)
    memory[: len(HLT)] = HLT
    at = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    # struct kvm_userspace_memory_region: slot, flags, guest_phys_addr, memory_size, userspace_addr
    fcntl.ioctl(machine, KVM_SET_USER_MEMORY_REGION, struct.pack("<IIQQQ", 0, 0, CODE_AT, PAGE, at))
    sregs = bytearray(SIZE_OF_SREGS)
    fcntl.ioctl(cpu, KVM_GET_SREGS, sregs)
    # cs comes first: base at 0 (64 bits), limit at 8 (32 bits), selector at 12 (16 bits)
    sregs[0:8] = bytes(8)
    sregs[12:14] = bytes(2)
    fcntl.ioctl(cpu, KVM_SET_SREGS, bytes(sregs))
    # struct kvm_regs: sixteen general registers, rip, rflags (bit 1 is always set)
    fcntl.ioctl(cpu, KVM_SET_REGS, struct.pack("<18Q", *[0] * 16, CODE_AT, 2))
    state = mmap.mmap(cpu, run_size)
    fcntl.ioctl(cpu, KVM_RUN, 0)
    reason: int = struct.unpack_from("<I", state, EXIT_REASON)[0]
    return "ok" if reason == EXIT_HLT else f"a test program ended with exit reason {reason}"


def probe(device: str, arch: str) -> str:
    doing = "open"
    try:
        kvm = os.open(device, os.O_RDWR | os.O_CLOEXEC)
        doing = "KVM_GET_API_VERSION"
        version = fcntl.ioctl(kvm, KVM_GET_API_VERSION, 0)
        if version != API_VERSION:
            return f"API version {version}"
        doing = "KVM_CREATE_VM"
        machine = fcntl.ioctl(kvm, KVM_CREATE_VM, 0)
        if arch == "amd64":
            # Older Intel processors want this before the first processor; others do not mind.
            fcntl.ioctl(machine, KVM_SET_TSS_ADDR, 0xFFFBD000)
        doing = "KVM_CREATE_VCPU"
        cpu = fcntl.ioctl(machine, KVM_CREATE_VCPU, 0)
        doing = "KVM_RUN"
        return run_hlt(machine, cpu, fcntl.ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0)) if arch == "amd64" else "ok"
    except OSError as error:
        return f"{doing}: {error.strerror}"


if __name__ == "__main__":
    print(probe(sys.argv[1], sys.argv[2]))  # noqa: T201
