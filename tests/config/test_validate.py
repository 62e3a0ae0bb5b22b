"""What types cannot say: names, syntax inside texts, keys that exclude each other."""

from __future__ import annotations

import pytest

from hullkit.config import syntax
from hullkit.config.load import load, read, unfit_for_hullkit, unsupported

ENTRY = "services:\n  - name: s\n    image: lab/x\n"


def problems(text: str) -> list[str]:
    return [str(error) for error in read(["-"], stdin=text.encode())[1]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            ENTRY + "    capabilities: [CAP_BOGUS]\n",
            '<stdin>:4:19: services[0].capabilities: unknown capability "CAP_BOGUS"',
        ),
        (ENTRY + "    capabilities: [net_admin]\n", "did you mean CAP_NET_ADMIN?"),
        (ENTRY + "    capabilities: [CAP_NET_ADMN]\n", "did you mean CAP_NET_ADMIN?"),
        (ENTRY + "    capabilities: [all, CAP_CHOWN]\n", '"all" must be the only capability'),
        (ENTRY + "    capabilities.add: [x]\n", "services[0].capabilities.add: unknown capability"),
        (ENTRY + '    binds: ["/a:/b:c:d"]\n', 'services[0].binds[0]: the bind "/a:/b:c:d" has too many ":"'),
        (ENTRY + "    binds: [/a]\n", 'has no ":"'),
        (ENTRY + '    binds: ["/a:"]\n', "has an empty part"),
        (ENTRY + '    tmpfs: ["/a:b:c"]\n', "services[0].tmpfs[0]: the tmpfs"),
        (ENTRY + '    rlimits: ["nofile,1"]\n', "services[0].rlimits[0]: the rlimit"),
        (ENTRY + '    rlimits: ["nofiles,1,2"]\n', "did you mean RLIMIT_NOFILE?"),
        (ENTRY + '    rlimits: ["nofile,2,1"]\n', "a soft limit above the hard one"),
        (ENTRY + '    rlimits: ["nofile,x,1"]\n', '"x" is neither a number nor unlimited'),
        (ENTRY + "    mounts: [{type: tmpfs}]\n", "the mount of type tmpfs has no destination"),
        (ENTRY + "    mounts: [{destination: /x}]\n", 'the mount of "/x" has no type'),
        (
            ENTRY + '    devices: [{path: /dev/x, type: c, mode: "9"}]\n',
            'services[0].devices[0].mode: the mode "9" is not octal',
        ),
        (ENTRY + "    devices: [{path: /dev/x, type: c}]\n", "the device has no mode"),
        (ENTRY + '    devices: [{path: /dev/x, type: z, mode: "0600"}]\n', 'the device type "z"'),
        (ENTRY + "    net: bridge\n", 'services[0].net: "bridge" is not a namespace'),
        (ENTRY + "    uid: nobody\n", 'services[0].uid: there is no container "nobody"'),
        (ENTRY + '    uid: "100"\n', "a number is written without quotes"),
        (ENTRY + "    additionalGids: [s, x]\n", 'services[0].additionalGids[1]: there is no container "x"'),
        (ENTRY + "    after: [t]\n", 'services[0].after[0]: there is no service "t"'),
        (ENTRY + "    requires: [s]\n", "services wait for each other: s → s"),
        (ENTRY + "    ready: {tcp: 1, file: /x}\n", "services[0].ready: tcp and file exclude each other"),
        (ENTRY + "    ready: {}\n", "services[0].ready: nothing is said"),
        (ENTRY + "    stop: TERM\n", 'unknown signal "TERM"; did you mean SIGTERM?'),
        (ENTRY + "    seccomp: {}\n", "services[0].seccomp: nothing is said"),
        (ENTRY + "  - {name: s, image: lab/y}\n", '<stdin>:4:12: services[1].name: the service "s" is here twice'),
        ("onboot: [{name: a, image: lab/x, restart: always}]\n", "onboot[0].restart: restart is for services only"),
        ("services: [{name: a, image: lab/x, timeout: 5s}]\n", "services[0].timeout: timeout is for onboot and onshut"),
        ("onboot: [{name: a, image: lab/x, timeout: -5}]\n", "onboot[0].timeout: -5.0 is too small"),
        ("init: [lab/UPPER:v1]\n", "capital letters are not allowed"),
        ('init: [""]\n', "init[0]: the image has no name"),
        ('init: ["@other:x"]\n', "is no template; write @component:NAME"),
        ('kernel: {image: "a b"}\n', 'kernel.image: "a b" is not the name of an image'),
        ('volumes: [{name: "A B"}]\n', 'volumes[0].name: the volume name "A B"'),
        ("volumes: [{name: a}, {name: a}]\n", 'volumes[1].name: the volume "a" is here twice'),
        ("volumes: [{name: v, format: oci}]\n", "of format oci needs an image"),
        ("volumes: [{name: v, readonly: true}]\n" + ENTRY + '    binds: ["v:/x"]\n', 'the volume "v" is read-only'),
        (
            ENTRY + "    mounts: [{type: bind, source: nov, destination: /x}]\n",
            'services[0].mounts[0]: there is no volume "nov"',
        ),
        (ENTRY + '    binds.add: ["nov:/x"]\n', 'services[0].binds.add[0]: there is no volume "nov"'),
        ("files: [{contents: a}]\n", "files[0]: the file has no path"),
        ("files: [{path: /, contents: a}]\n", 'the path "/" is the root'),
        ("files: [{path: a}]\n", "has no contents"),
        ("files: [{path: a, contents: b, source: c}]\n", "source and contents exclude each other"),
        ("files: [{path: a, metadata: json}]\n", 'files[0].metadata: the metadata "json"'),
        ("files: [{path: a, directory: true, symlink: b}]\n", "symlink and directory exclude each other"),
        ('files: [{path: a, contents: b, mode: "1x"}]\n', 'files[0].mode: the mode "1x" is not octal'),
        ("files: [{path: a, contents: b, uid: nobody}]\n", 'files[0].uid: there is no container "nobody"'),
        ("checks: [{name: c}]\n", "checks[0]: nothing is said; write one of: http, exec"),
        (
            "checks: [{name: c, exec: {container: x, command: [a]}}]\n",
            'checks[0].exec.container: there is no service "x"',
        ),
        (
            "checks: [{name: c, http: {port: 80, path: x}}]\n",
            'checks[0].http.path: "x" must be a path that begins with /',
        ),
    ],
)
def test_refused(text: str, message: str) -> None:
    found = problems(text)
    assert any(message in each for each in found), found
    assert all(each.startswith("<stdin>:") for each in found)


def test_services_may_not_wait_in_a_circle() -> None:
    names = [f"s{number}" for number in range(60)]
    lines = [
        f"  - {{name: {name}, image: lab/x, after: [{', '.join(names[number + 1 :])}]}}"
        for number, name in enumerate(names)
    ]
    assert problems("services:\n" + "\n".join(lines) + "\n") == []  # every service after all later ones: no circle
    lines[-1] = "  - {name: s59, image: lab/x, requires: [s58]}"
    found = problems("services:\n" + "\n".join(lines) + "\n")
    assert len(found) == 1
    assert "wait for each other: s58 → s59 → s58" in found[0]


@pytest.mark.parametrize(
    "name",
    [
        "alpine",
        "lab/x",
        "docker.io/library/redis:7",
        "127.0.0.1:5000/a/b:v1",
        "localhost/a",
        "[::1]:5000/a",
        "a__b/c-d.e_f",
        "lab/x@sha256:" + "a" * 64,
        "lab/x:v1@sha256:" + "a" * 64,
        "@component:kernel",
        "@component:./mine",
        "@pkg:../x",
    ],
)
def test_image_names(name: str) -> None:
    assert syntax.image_reference(name) == name


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("nofile,100,200", ("RLIMIT_NOFILE", 100, 200)),
        ("RLIMIT_NPROC, 5 , unlimited", ("RLIMIT_NPROC", 5, (1 << 64) - 1)),
    ],
)
def test_rlimits(text: str, value: tuple[str, int, int]) -> None:
    assert syntax.rlimit(text) == value


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("redis", "docker.io/library/redis"),
        ("a/b:1", "docker.io/a/b:1"),
        ("localhost/a", "localhost/a"),
        ("127.0.0.1:5000/a", "127.0.0.1:5000/a"),
        ("quay.io/a/b", "quay.io/a/b"),
        ("@component:x", "@component:x"),
        ("", ""),
    ],
)
def test_expanded_references(text: str, full: str) -> None:
    assert syntax.expand_reference(text) == full


def test_what_is_not_built_yet_is_said() -> None:
    text = "network: {hostname: x}\n" + ENTRY + "    schedule: daily\n"
    found = [str(error) for error in unsupported(load(["-"], stdin=text.encode()))]
    assert found == [
        "<stdin>:1:10: network: not supported yet (remove it)",
        "<stdin>:5:15: services[0].schedule: not supported yet (remove it)",
    ]
    assert unsupported(load(["-"], stdin=ENTRY.encode())) == []


def test_names_that_only_linuxkit_takes() -> None:
    text = 'services: [{name: "a/b", image: lab/x}, {name: "..", image: lab/x}, {name: ok, image: lab/x, ipc: none}]\n'
    found = [str(error) for error in unfit_for_hullkit(load(["-"], stdin=text.encode()))]
    assert [each.split(": ")[0] for each in found] == ["<stdin>:1:19", "<stdin>:1:48", "<stdin>:1:99"]


@pytest.mark.parametrize("port", ["0", "65536", "80/sctp", "http"])
def test_a_port_of_the_budget_that_is_none(port: str) -> None:
    (problem,) = problems(f"budget: {{ports: [{port}]}}\n{ENTRY}")
    assert problem.startswith("<stdin>:1:18: budget.ports[0]: ") and "is not a port" in problem
