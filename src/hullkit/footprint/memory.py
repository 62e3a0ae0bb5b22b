"""Where the memory of a running system is: a partition of the machine's, from the report of a checked boot."""

from __future__ import annotations

from hullkit.footprint.model import Memory, Share
from hullkit.machine.report import ContainerReport, Report, SupervisorReport

_MIB = 1 << 20


def memory_of(report: Report) -> Memory | None:
    """The shares sum up to the machine's memory; None when the report does not tell enough.

    What a cgroup is charged with is its container's, or containerd's (its part of the kernel's memory and of tmpfs
    too), and taken off the kernel's, tmpfs's, the cache's and the programs' figures of the whole system. ``rest`` is
    what no figure of the kernel covers, such as buffers of drivers.
    """
    found = report.guest.memory if report.guest is not None else None
    if found is None or report.host is None or report.guest is None:
        return None
    if None in (found.total, found.free, found.kernel, found.tmpfs, found.page_cache, found.anonymous):
        return None
    total = report.host.mem * _MIB
    charged = (*report.guest.containers, *((report.guest.supervisor,) if report.guest.supervisor else ()))
    containers = [share for share in map(_charged, charged) if share is not None]
    kernel, tmpfs, cache, anonymous = (
        value or 0 for value in (found.kernel, found.tmpfs, found.page_cache, found.anonymous)
    )
    charged_tmpfs = sum(share.tmpfs or 0 for share in containers)
    system = [
        Share("kernel", "kernel", kernel - sum(share.kernel or 0 for share in containers)),
        Share("kernel image and reserved", "kernel", total - (found.total or 0)),
        Share("system programs", "system", anonymous - sum(share.anonymous or 0 for share in containers)),
        Share("tmpfs with the initramfs", "tmpfs", tmpfs - charged_tmpfs),
        Share(
            "page cache of the system", "cache", cache - sum(share.file or 0 for share in containers) + charged_tmpfs
        ),
        Share("free", "free", found.free or 0),
    ]
    rest = total - sum(share.bytes for share in (*containers, *system))
    cached = sum(share.bytes for share in system if share.kind == "cache")
    cached += sum((share.file or 0) - (share.tmpfs or 0) for share in containers)
    return Memory(
        total=total,
        used=total - (found.free or 0) - cached,
        shares=(*containers, *system, Share("not accounted for", "rest", rest)),
    )


def _charged(cgroup: ContainerReport | SupervisorReport) -> Share | None:
    if cgroup.memory is None:
        return None
    return Share(
        cgroup.name,
        "container",
        cgroup.memory,
        cgroup.memory_anonymous,
        cgroup.memory_file,
        cgroup.memory_tmpfs,
        cgroup.memory_kernel,
    )
