"""Valid configurations to begin from: own ones, and LinuxKit's where they are beside the checkout."""

from __future__ import annotations

from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
LINUXKIT = CHECKOUT.parent / "shared" / "linuxkit-yml"

EVERYTHING = """\
kernel:
  image: "@component:kernel"
  cmdline: console=ttyS0 quiet
  tar: none
  profile: qemu
init: ["@component:hullkit-init", docker.io/lab/init:v1]
volumes:
  - {name: data, image: lab/data, readonly: true, format: filesystem}
onboot:
  - name: sysctl
    image: "@component:sysctl"
    binds: ["data:/d:ro", /etc:/etc]
onshutdown:
  - {name: bye, image: lab/bye:1, command: [/bin/bye, "010"]}
services:
  - &web
    name: web
    image: lab/web:v1
    capabilities: [CAP_NET_BIND_SERVICE]
    ambient: [CAP_NET_BIND_SERVICE]
    tmpfs: ["/run:size=1m"]
    env: [A=1, "B=yes"]
    uid: web
    gid: 33
    additionalGids: [root, 5]
    devices: [{path: /dev/x, type: c, major: 1, minor: 3, mode: "0600"}, {path: all, type: b}]
    mounts:
      - {type: tmpfs, destination: /t, options: [size=1m]}
      - {type: bind, source: data, destination: /data, options: [ro]}
    resources: {memory: {limit: 1000000, kernelTCP: 5}, cpu: {cpus: 0-1}, pids: {limit: 100}}
    sysctl: {net.ipv4.ip_forward: "1"}
    rlimits: ["nofile,10,20"]
    annotations: {a: "22:22"}
    runtime: {mkdir: [/run/x], bindNS: {net: /run/n}, interfaces: [{name: eth1, createInRoot: true}]}
    seccomp: default
    restart: {policy: always, delay: 2s}
    ready: {tcp: 80, timeout: 1m}
    stop: {signal: SIGQUIT, timeout: 5}
    logs: {size: 64k}
  - <<: *web
    name: second
    after: [web]
    requires: [web]
    schedule: daily
    seccomp: {profile: {defaultAction: SCMP_ACT_ALLOW, n: [1, 2.5, true, x]}}
files:
  - {path: etc/a, contents: "multi\\nline\\n", mode: "0644", uid: web}
  - {path: etc/link, symlink: a}
  - {path: etc/meta, metadata: yaml}
  - {path: etc/src, source: ~/x, optional: true}
  - {path: var/d, directory: true, mode: "0755"}
trust: {org: [x]}
layout: packed
network: {hostname: h, interfaces: [{name: eth0, dhcp: true}]}
checks:
  - {name: page, http: {port: 80, path: /, status: 200, contains: hello}}
  - {name: program, exec: {container: web, command: [/bin/true], exit: 0}}
budget: {disk: 20M, memory: 100M, boot: 10s, setuid: 0, ports: [80, 68/udp]}
"""


def own_texts() -> list[str]:
    return [EVERYTHING, *(path.read_text() for path in sorted((CHECKOUT / "examples").glob("*.yml")))]


#: upstream files that LinuxKit itself refuses, and what hullkit says
REFUSED = {
    "examples/static-ip.yml": ":28:7: not valid YAML: this line does not fit the map above it",
    "projects/miragesdk/yaml/dhcp-client.yml": ":45:1: not valid YAML: this line does not fit the list above it",
    "projects/clear-containers/clear-containers.yml": ':10:5: services[0]: "image" is missing',
    "test/cases/000_build/070_volumes/002_rw_on_ro/test.yml": ':12:9: onboot[0].binds[1]: the volume "vola" is',
    "test/cases/000_build/091_validate_linuxkit_yaml/linuxkit.yml": ':1:1: unknown key "unknownField"',
}
#: files of other programs: package descriptions, compose and registry configurations
_OTHER_PROGRAMS = ("build.yml", "build-file.yml", "docker-compose.yml", "config.yml")


def linuxkit_files() -> list[str]:
    """Names of LinuxKit's system configurations below ``LINUXKIT``."""
    names = sorted(str(path.relative_to(LINUXKIT)) for path in LINUXKIT.rglob("*.yml"))
    return [name for name in names if Path(name).name not in _OTHER_PROGRAMS]
