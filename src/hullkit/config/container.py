"""What can be said about a container: LinuxKit's ``ImageConfig`` and hullkit's keys beside it.

The same fields may stand in an entry of a system YAML and in the label ``org.mobyproject.config`` of an image.
Field names and meanings: LinuxKit docs/yaml.md and the OCI runtime specification 1.2.
"""

from typing import Annotated, Literal

from hullkit.config.definition import Definition, Doc, key
from hullkit.config.supervision import LogsField, ReadyField, RestartField, SeccompField, StopField, TimeoutField

#: a number, or the name of a container of the system (each gets an id of its own), or ``root``
Id = int | str
Strings = tuple[str, ...]


class IdMapping(Definition, frozen=True, kw_only=True):
    """One range of user or group ids of a user namespace."""

    host_id: Annotated[int, Doc("First id on the host.")] = key("hostID", 0)
    container_id: Annotated[int, Doc("First id in the container.")] = key("containerID", 0)
    size: Annotated[int, Doc("How many ids.")] = 0


class Mount(Definition, frozen=True, kw_only=True):
    """A mount in a container, or of the host before the container is made (``runtime.mounts``)."""

    destination: Annotated[str | None, Doc("Where; the usual place of the type when left out.")] = None
    type: Annotated[str | None, Doc("File system type, or bind.")] = None
    source: Annotated[str | None, Doc("What: a path, a volume's name, a device.")] = None
    options: Annotated[Strings | None, Doc("Mount options.")] = None
    uid_mappings: Annotated[tuple[IdMapping, ...] | None, Doc("User ids of an id-mapped mount.")] = key("uidmappings")
    gid_mappings: Annotated[tuple[IdMapping, ...] | None, Doc("Group ids of an id-mapped mount.")] = key("gidmappings")


class Device(Definition, frozen=True, kw_only=True):
    """A device node in the container, with the right to use it; path ``all`` gives the right to a whole type."""

    path: Annotated[str | None, Doc('Path in the container, or "all".')] = None
    type: Annotated[str | None, Doc("b (block), c (character), u or p (fifo).")] = None
    major: Annotated[int | None, Doc("Major number.")] = None
    minor: Annotated[int | None, Doc("Minor number.")] = None
    mode: Annotated[str | None, Doc("Octal permissions, quoted.", example="0666")] = None


class DeviceRule(Definition, frozen=True, kw_only=True):
    """A rule of the device cgroup."""

    allow: Annotated[bool | None, Doc("Allow or deny.")] = None
    type: Annotated[str | None, Doc("a (all), b or c.")] = None
    major: Annotated[int | None, Doc("Major number; any when left out.")] = None
    minor: Annotated[int | None, Doc("Minor number; any when left out.")] = None
    access: Annotated[str | None, Doc("Letters of r, w and m (mknod).")] = None


class Memory(Definition, frozen=True, kw_only=True):
    """Limits of the memory cgroup, in bytes."""

    limit: Annotated[int | None, Doc("Most memory.")] = None
    reservation: Annotated[int | None, Doc("Soft limit.")] = None
    swap: Annotated[int | None, Doc("Most memory and swap together.")] = None
    kernel: Annotated[int | None, Doc("Most kernel memory (cgroup v1).")] = None
    kernel_tcp: Annotated[int | None, Doc("Most TCP buffer memory (cgroup v1).")] = key("kernelTCP")
    swappiness: Annotated[int | None, Doc("0 to 100 (cgroup v1).")] = None
    disable_oom_killer: Annotated[bool | None, Doc("Stop processes instead of killing one (cgroup v1).")] = key(
        "disableOOMKiller"
    )


class Cpu(Definition, frozen=True, kw_only=True):
    """Limits of the cpu and cpuset cgroups."""

    shares: Annotated[int | None, Doc("Relative weight.")] = None
    quota: Annotated[int | None, Doc("Microseconds of CPU in each period.")] = None
    period: Annotated[int | None, Doc("Length of a period in microseconds.")] = None
    realtime_runtime: Annotated[int | None, Doc("Microseconds of real-time scheduling (cgroup v1).")] = None
    realtime_period: Annotated[int | None, Doc("Period of real-time scheduling (cgroup v1).")] = None
    cpus: Annotated[str | None, Doc("CPUs to run on.", example="0-3")] = None
    mems: Annotated[str | None, Doc("Memory nodes to use.")] = None


class Pids(Definition, frozen=True, kw_only=True):
    """Limit of the pids cgroup."""

    limit: Annotated[int | None, Doc("Most processes and threads.")] = None


class WeightDevice(Definition, frozen=True, kw_only=True):
    """Weight of one block device."""

    major: Annotated[int | None, Doc("Major number.")] = None
    minor: Annotated[int | None, Doc("Minor number.")] = None
    weight: Annotated[int | None, Doc("10 to 1000.")] = None
    leaf_weight: Annotated[int | None, Doc("10 to 1000 (cgroup v1).")] = None


class ThrottleDevice(Definition, frozen=True, kw_only=True):
    """Rate limit of one block device."""

    major: Annotated[int | None, Doc("Major number.")] = None
    minor: Annotated[int | None, Doc("Minor number.")] = None
    rate: Annotated[int | None, Doc("Bytes or operations per second.")] = None


Throttles = tuple[ThrottleDevice, ...]


class BlockIO(Definition, frozen=True, kw_only=True):
    """Limits of the block I/O cgroup."""

    weight: Annotated[int | None, Doc("10 to 1000.")] = None
    leaf_weight: Annotated[int | None, Doc("10 to 1000 (cgroup v1).")] = None
    weight_device: Annotated[tuple[WeightDevice, ...] | None, Doc("Weights by device.")] = None
    throttle_read_bps_device: Annotated[Throttles | None, Doc("Most bytes read per second.")] = None
    throttle_write_bps_device: Annotated[Throttles | None, Doc("Most bytes written per second.")] = None
    throttle_read_iops_device: Annotated[Throttles | None, Doc("Most reads per second.")] = key(
        "throttleReadIOPSDevice"
    )
    throttle_write_iops_device: Annotated[Throttles | None, Doc("Most writes per second.")] = key(
        "throttleWriteIOPSDevice"
    )


class HugepageLimit(Definition, frozen=True, kw_only=True):
    """Limit of one huge page size."""

    page_size: Annotated[int | str | None, Doc("Size of a page as the kernel names it.", example="2MB")] = None
    limit: Annotated[int | None, Doc("Most bytes in pages of this size.")] = None


class InterfacePriority(Definition, frozen=True, kw_only=True):
    """Priority of the traffic through one interface."""

    name: Annotated[str | None, Doc("Interface.")] = None
    priority: Annotated[int | None, Doc("Priority.")] = None


class NetworkClass(Definition, frozen=True, kw_only=True):
    """Class and priorities of the network cgroups (cgroup v1)."""

    class_id: Annotated[int | None, Doc("Class of the container's packets.")] = key("classID")
    priorities: Annotated[tuple[InterfacePriority, ...] | None, Doc("Priorities by interface.")] = None


class Resources(Definition, frozen=True, kw_only=True):
    """Limits by control groups."""

    devices: Annotated[tuple[DeviceRule, ...] | None, Doc("Device rules.")] = None
    memory: Annotated[Memory | None, Doc("Memory.")] = None
    cpu: Annotated[Cpu | None, Doc("CPU.")] = None
    pids: Annotated[Pids | None, Doc("Processes.")] = None
    blockio: Annotated[BlockIO | None, Doc("Block devices.")] = None
    hugepage_limits: Annotated[tuple[HugepageLimit, ...] | None, Doc("Huge pages.")] = None
    network: Annotated[NetworkClass | None, Doc("Network class (cgroup v1).")] = None


class Interface(Definition, frozen=True, kw_only=True):
    """A network interface that the container gets before it starts."""

    name: Annotated[str | None, Doc("Name in the container.")] = None
    add: Annotated[str | None, Doc("Type of a new interface; without it an existing one moves in.")] = None
    peer: Annotated[str | None, Doc("Name of the other end of a veth pair, in the root namespace.")] = None
    create_in_root: Annotated[bool | None, Doc("Make it in the root namespace, then move it.")] = None


class BindNamespaces(Definition, frozen=True, kw_only=True):
    """Paths where the container's namespaces are bound, for others to join."""

    cgroup: Annotated[str | None, Doc("Path.")] = None
    ipc: Annotated[str | None, Doc("Path.")] = None
    mnt: Annotated[str | None, Doc("Path.")] = None
    net: Annotated[str | None, Doc("Path.")] = None
    pid: Annotated[str | None, Doc("Path.")] = None
    user: Annotated[str | None, Doc("Path.")] = None
    uts: Annotated[str | None, Doc("Path.")] = None


class Runtime(Definition, frozen=True, kw_only=True):
    """What init does around a container; not part of its OCI runtime specification."""

    cgroups: Annotated[Strings | None, Doc("Control groups to make.")] = None
    mounts: Annotated[tuple[Mount, ...] | None, Doc("Mounts of the root namespace, made before the container.")] = None
    mkdir: Annotated[Strings | None, Doc("Directories to make before the container.")] = None
    interfaces: Annotated[tuple[Interface, ...] | None, Doc("Network interfaces to give it.")] = None
    bind_ns: Annotated[BindNamespaces | None, Doc("Paths to bind its namespaces to.")] = key("bindNS")
    namespace: Annotated[str | None, Doc("containerd's namespace for it.")] = None


Namespace = Annotated[str | None, Doc('"host" (or "root"), "new", or the path of a namespace.')]
Layout = Literal["flat", "packed"]


class ImageConfig(Definition, frozen=True, kw_only=True):
    """How to run an image. A value in the system YAML wins over the image's label, that over the image's own config."""

    capabilities: Annotated[Strings | None, Doc('Capabilities; "all" or "none" alone.', example=["CAP_NET_ADMIN"])] = (
        None
    )
    capabilities_add: Annotated[Strings | None, Doc("Capabilities beside those of the label.")] = key(
        "capabilities.add"
    )
    ambient: Annotated[Strings | None, Doc("Ambient capabilities: kept by programs of other users.")] = None
    mounts: Annotated[tuple[Mount, ...] | None, Doc("Mounts; one at the place of a default mount replaces it.")] = None
    binds: Annotated[Strings | None, Doc('Bind mounts "source:destination[:options]".', example=["/etc:/etc:ro"])] = (
        None
    )
    binds_add: Annotated[Strings | None, Doc("Bind mounts beside those of the label.")] = key("binds.add")
    devices: Annotated[tuple[Device, ...] | None, Doc("Device nodes.")] = None
    tmpfs: Annotated[Strings | None, Doc('tmpfs mounts "destination[:options]".', example=["/run:size=1m"])] = None
    command: Annotated[Strings | None, Doc("Program and arguments.")] = None
    env: Annotated[Strings | None, Doc('Environment, "NAME=value" each.')] = None
    cwd: Annotated[str | None, Doc("Working directory.")] = None
    net: Namespace = None
    pid: Namespace = None
    ipc: Namespace = None
    uts: Namespace = None
    userns: Namespace = None
    hostname: Annotated[str | None, Doc("Host name, with a uts namespace of its own.")] = None
    readonly: Annotated[bool | None, Doc("The container's root refuses writes.")] = None
    masked_paths: Annotated[Strings | None, Doc("Paths hidden from the container.")] = None
    readonly_paths: Annotated[Strings | None, Doc("Paths made read-only.")] = None
    uid: Annotated[Id | None, Doc("User: a number, or a container's name.")] = None
    gid: Annotated[Id | None, Doc("Group: a number, or a container's name.")] = None
    additional_gids: Annotated[tuple[Id, ...] | None, Doc("More groups.")] = None
    no_new_privileges: Annotated[bool | None, Doc("No program may gain privileges (set-uid, file capabilities).")] = (
        None
    )
    oom_score_adj: Annotated[int | None, Doc("-1000 (never killed for memory) to 1000.")] = None
    rootfs_propagation: Annotated[str | None, Doc("Mount propagation of the root.")] = None
    cgroups_path: Annotated[str | None, Doc("Control group of the container.")] = None
    resources: Annotated[Resources | None, Doc("Limits by control groups.")] = None
    sysctl: Annotated[dict[str, str] | None, Doc("Kernel parameters of the container's namespaces.")] = None
    rlimits: Annotated[Strings | None, Doc('Limits "name,soft,hard".', example=["nofile,1024,4096"])] = None
    uid_mappings: Annotated[tuple[IdMapping, ...] | None, Doc("User ids of the user namespace.")] = None
    gid_mappings: Annotated[tuple[IdMapping, ...] | None, Doc("Group ids of the user namespace.")] = None
    annotations: Annotated[dict[str, str] | None, Doc("Annotations for the OCI runtime.")] = None
    runtime: Annotated[Runtime | None, Doc("What init does around the container.")] = None

    seccomp: SeccompField = None
    logs: LogsField = None
    restart: RestartField = None
    ready: ReadyField = None
    stop: StopField = None
    timeout: TimeoutField = None


class ImageEntry(ImageConfig, frozen=True, kw_only=True):
    """An entry of onboot or onshutdown: a container that is run once, to its end."""

    name: Annotated[str, Doc("Name of the container.")]
    image: Annotated[str, Doc("Image, or @pkg:PATH, or @component:NAME.")]


class ServiceEntry(ImageEntry, frozen=True, kw_only=True):
    """An entry of services: a container that keeps running."""

    after: Annotated[Strings | None, Doc("Services that must be ready before this one starts.")] = None
    requires: Annotated[Strings | None, Doc("As after; and when one fails, so does this one.")] = None
    schedule: Annotated[str | None, Doc("When to run it, instead of at boot (not supported yet).")] = None
