"""hullkit's own keys of a container: how it is watched, stopped, confined and logged (see docs/guest.md)."""

from typing import Annotated, Any, Literal

from hullkit.config.definition import DURATION, SIZE, Definition, Doc, Short, shown

#: longer times are a slip of the pen
_LONGEST = 1_000_000
RESTART_POLICIES = ("no", "on-failure", "always")


class Restart(Definition, frozen=True, kw_only=True):
    """What happens when a service exits."""

    policy: Annotated[Literal["no", "on-failure", "always"], Doc("When to start it again.")] = "no"
    delay: Annotated[
        float, DURATION, Doc("Seconds before the first restart; doubled up to 30.", at_least=0, at_most=_LONGEST)
    ] = 1.0
    limit: Annotated[int, Doc("Given up after so many exits without 10 s of running.", at_least=0)] = 5


def restart_from_text(text: str) -> Restart:
    if text not in RESTART_POLICIES:
        raise ValueError(f"{shown(text)} is not a restart policy; write one of: {', '.join(RESTART_POLICIES)}")
    return Restart(policy=text)  # type: ignore[arg-type]


class Ready(Definition, frozen=True, kw_only=True):
    """When a service counts as ready: exactly one of tcp, file, exec and address."""

    tcp: Annotated[int | None, Doc("It accepts connections on this port.", at_least=1, at_most=65535)] = None
    file: Annotated[str | None, Doc("This file exists in the container.", example="/run/x.pid")] = None
    exec: Annotated[tuple[str, ...] | None, Doc("This command exits 0 in the container.")] = None
    address: Annotated[Literal["ipv4", "ipv6"] | None, Doc("An interface other than loopback has an address.")] = None
    timeout: Annotated[float, DURATION, Doc("Seconds until it counts as failed.", at_least=0, at_most=_LONGEST)] = 30.0


class Stop(Definition, frozen=True, kw_only=True):
    """How a service is stopped."""

    signal: Annotated[str, Doc("The signal that asks it to end.")] = "SIGTERM"
    timeout: Annotated[float, DURATION, Doc("Seconds until it is killed.", at_least=0, at_most=_LONGEST)] = 10.0


class Logs(Definition, frozen=True, kw_only=True):
    """What becomes of a container's output."""

    size: Annotated[
        int, SIZE, Doc("Bytes kept in /run/log/NAME.log, rotated once.", at_least=4096, at_most=1 << 30)
    ] = 1 << 20
    console: Annotated[bool, Doc("Lines also go to the console.")] = False


class Seccomp(Definition, frozen=True, kw_only=True):
    """A system call filter of one's own: exactly one of file and profile."""

    file: Annotated[str | None, Doc("JSON file with an OCI seccomp object, relative to the YAML.")] = None
    profile: Annotated[dict[str, Any] | None, Doc("An OCI seccomp object.")] = None
    name: Annotated[Literal["default", "unconfined"] | None, Doc("hullkit's profile, or no filter.")] = None


def seccomp_from_text(text: str) -> Seccomp:
    if text not in ("default", "unconfined"):
        raise ValueError(f"{shown(text)} is not a seccomp profile; write default, unconfined, or {{file: PATH}}")
    return Seccomp(name=text)  # type: ignore[arg-type]


def stop_from_text(text: str) -> Stop:
    return Stop(signal=text)


RestartField = Annotated[
    Restart | None,
    Short(str, restart_from_text, choices=RESTART_POLICIES, description="only the policy"),
    Doc("What happens when the service exits (services only).", example="always"),
]
ReadyField = Annotated[
    Ready | None, Doc("When it counts as ready; else when it has run for 1 s (services only).", example={"tcp": 80})
]
StopField = Annotated[
    Stop | None, Short(str, stop_from_text, description="only the signal"), Doc("How it is stopped (services only).")
]
TimeoutField = Annotated[
    float | None,
    DURATION,
    Doc(
        "Seconds after which it is stopped and has failed (onboot and onshutdown only); 0 or left out: none.",
        example="60s",
        at_least=0,
        at_most=_LONGEST,
    ),
]
LogsField = Annotated[Logs | None, Doc("What becomes of its output.", example={"size": "1M", "console": True})]
SeccompField = Annotated[
    Seccomp | None,
    Short(str, seccomp_from_text, choices=("default", "unconfined"), description="a profile by name"),
    Doc("Filter of system calls."),
]


class HttpCheck(Definition, frozen=True, kw_only=True):
    """A request that must be answered."""

    port: Annotated[int, Doc("Port of the system.", at_least=1, at_most=65535)]
    path: Annotated[str, Doc("Path of the request.", pattern="^/", say="a path that begins with /")] = "/"
    status: Annotated[int, Doc("Expected status.", at_least=100, at_most=599)] = 200
    contains: Annotated[str | None, Doc("Text that the body must contain.")] = None


class ExecCheck(Definition, frozen=True, kw_only=True):
    """A command that must exit as expected in a container."""

    container: Annotated[str, Doc("Name of the service to run it in.")]
    command: Annotated[tuple[str, ...], Doc("Program and arguments.")]
    exit: Annotated[int, Doc("Expected exit status.", at_least=0, at_most=255)] = 0
    contains: Annotated[str | None, Doc("Text that its output must contain.")] = None


class Check(Definition, frozen=True, kw_only=True):
    """What ``hullkit run --check`` proves: exactly one of http, exec and kill."""

    name: Annotated[str, Doc("What holds when it succeeds.")]
    http: Annotated[HttpCheck | None, Doc("A request that must be answered.")] = None
    exec: Annotated[ExecCheck | None, Doc("A command that must succeed.")] = None
    kill: Annotated[
        str | None, Doc("A service that is killed after all other checks, and must come back.", example="web")
    ] = None


class Budget(Definition, frozen=True, kw_only=True):
    """Limits: of a build (disk, setuid), of a checked boot (memory, boot, ports)."""

    disk: Annotated[int | None, SIZE, Doc("Most bytes of kernel and initramfs.", at_least=0)] = None
    setuid: Annotated[
        int | None, Doc("Most programs that are setuid, setgid or have file capabilities.", at_least=0)
    ] = None
    memory: Annotated[int | None, SIZE, Doc("Most bytes of memory in use when all is up.", at_least=0)] = None
    boot: Annotated[float | None, DURATION, Doc("Most seconds until all is up.", at_least=0, at_most=_LONGEST)] = None
    ports: Annotated[
        tuple[int | str, ...] | None, Doc("The only ports that may be open to the network.", example=[80, "68/udp"])
    ] = None


class NetworkInterface(Definition, frozen=True, kw_only=True):
    """Settings of one network interface."""

    name: Annotated[str, Doc("Interface, such as eth0.")]
    dhcp: Annotated[bool | None, Doc("Ask for a lease.")] = None
    addresses: Annotated[tuple[str, ...] | None, Doc("Addresses with prefix length.", example=["192.0.2.2/24"])] = None
    gateway: Annotated[str | None, Doc("Default route.")] = None
    mtu: Annotated[int | None, Doc("Largest packet.", at_least=68, at_most=65536)] = None


class Network(Definition, frozen=True, kw_only=True):
    """Network of the system."""

    hostname: Annotated[str | None, Doc("Host name.")] = None
    nameservers: Annotated[tuple[str, ...] | None, Doc("Name servers.")] = None
    interfaces: Annotated[tuple[NetworkInterface, ...] | None, Doc("Interfaces.")] = None
