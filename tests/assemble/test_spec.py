"""hullkit's safe defaults, and that what somebody writes wins over them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hullkit.assemble.spec import MASKED_PATHS, READONLY_PATHS, effective_config, id_number, runtime_json, runtime_spec
from hullkit.config.load import load, parse_image_config
from hullkit.errors import ConfigError

ENTRY = "services:\n  - name: s\n    image: lab/x\n    command: [/x]\n"


def spec(keys: str = "", *, hardened: bool = True, label: str = "{}", **options: Any) -> dict[str, Any]:
    config = load(["-"], stdin=(ENTRY + "".join(f"    {line}\n" for line in keys.splitlines())).encode())
    effective = effective_config(config.services[0], parse_image_config(label, "label"), {})
    options = {"name": "s", "arch": "amd64", **options}
    return runtime_spec(effective, rootfs_path="rootfs", ids={"s": 100}, hardened=hardened, **options)


def kinds(found: dict[str, Any]) -> list[str]:
    return [each["type"] for each in found["linux"]["namespaces"]]


def mount(found: dict[str, Any], destination: str) -> dict[str, Any]:
    return next(each for each in found["mounts"] if each["destination"] == destination)


def test_defaults_are_safe() -> None:
    found = spec()
    assert found["root"] == {"path": "rootfs", "readonly": True}
    assert found["process"]["noNewPrivileges"] is True
    assert found["process"]["capabilities"] == {}
    assert found["linux"]["maskedPaths"] == list(MASKED_PATHS)
    assert found["linux"]["readonlyPaths"] == list(READONLY_PATHS)
    assert kinds(found) == ["ipc", "uts", "pid", "mount", "cgroup"]
    assert all("path" not in each for each in found["linux"]["namespaces"])
    assert found["linux"]["cgroupsPath"] == "/s"
    assert found["linux"]["resources"]["devices"] == [{"allow": False, "access": "rwm"}]
    assert found["linux"]["seccomp"]["defaultAction"] == "SCMP_ACT_ERRNO"
    assert "ro" in mount(found, "/sys")["options"]
    assert mount(found, "/dev/shm")["type"] == "tmpfs"


def test_linuxkits_defaults_are_not() -> None:
    found = spec(hardened=False)
    assert found["root"] == {"path": "rootfs"}
    assert kinds(found) == ["pid", "mount"]
    assert "noNewPrivileges" not in found["process"]
    assert not {"maskedPaths", "readonlyPaths", "cgroupsPath", "seccomp"} & set(found["linux"])


@pytest.mark.parametrize("where", ["yaml", "label"])
def test_what_is_written_wins(where: str) -> None:
    written = {
        "readonly": False, "noNewPrivileges": False, "maskedPaths": [], "readonlyPaths": ["/proc/sys"], "pid": "host",
        "ipc": "host", "uts": "root", "net": "new", "cgroupsPath": "/mine", "seccomp": "unconfined",
    }  # fmt: skip
    if where == "label":
        found = spec(label=json.dumps(written))
    else:
        found = spec("\n".join(f"{key}: {json.dumps(value)}" for key, value in written.items()))
    assert found["root"] == {"path": "rootfs"}
    assert "noNewPrivileges" not in found["process"]
    assert "maskedPaths" not in found["linux"]
    assert found["linux"]["readonlyPaths"] == ["/proc/sys"]
    assert kinds(found) == ["network", "mount", "cgroup"]
    assert found["linux"]["cgroupsPath"] == "/mine"
    assert "seccomp" not in found["linux"]
    assert "ro" not in mount(found, "/sys")["options"]


def test_only_ambient_capabilities_are_inheritable() -> None:
    found = spec("capabilities: [CAP_CHOWN, CAP_NET_RAW]\nambient: [CAP_NET_RAW]")["process"]["capabilities"]
    assert found["inheritable"] == found["ambient"] == ["CAP_NET_RAW"]
    assert found["bounding"] == found["permitted"] == ["CAP_CHOWN", "CAP_NET_RAW"]
    assert "ambient" not in spec("capabilities: [CAP_CHOWN]")["process"]["capabilities"]


def test_capabilities_that_do_not_go_together() -> None:
    with pytest.raises(ConfigError, match='"all" must be the only capability'):
        spec("capabilities.add: [all]", label='{"capabilities": ["CAP_CHOWN"]}')


def test_devices_come_with_the_right_to_use_them() -> None:
    keys = 'devices: [{path: /dev/hwrng, type: c, major: 10, minor: 183, mode: "0600"}, {path: all, type: b}]'
    found = spec(keys + "\nresources: {devices: [{allow: true, type: c, access: r}]}")["linux"]
    assert found["devices"] == [{"path": "/dev/hwrng", "type": "c", "major": 10, "minor": 183, "fileMode": 0o600}]
    assert found["resources"]["devices"] == [
        {"allow": False, "access": "rwm"},
        {"allow": True, "type": "c", "access": "r"},
        {"allow": True, "type": "c", "access": "rwm", "major": 10, "minor": 183},
        {"allow": True, "type": "b", "access": "rwm"},
    ]


RESOURCES = """\
resources:
  memory: {limit: 5, kernelTCP: 6}
  blockio: {weight: 7, throttleReadBpsDevice: [{major: 8, minor: 0, rate: 9}]}
  hugepageLimits: [{pageSize: 2MB, limit: 3}]
  network: {classID: 1, priorities: [{name: eth0, priority: 2}]}
uidMappings: [{hostID: 1, containerID: 2, size: 3}]"""


def test_resources_in_the_specifications_words() -> None:
    found = spec(RESOURCES)["linux"]
    del found["resources"]["devices"]
    assert found["resources"] == {
        "memory": {"limit": 5, "kernelTCP": 6},
        "blockIO": {"weight": 7, "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 9}]},
        "hugepageLimits": [{"pageSize": "2MB", "limit": 3}],
        "network": {"classID": 1, "priorities": [{"name": "eth0", "priority": 2}]},
    }
    assert found["uidMappings"] == [{"hostID": 1, "containerID": 2, "size": 3}]
    with pytest.raises(ConfigError, match="pageSize must be text"):
        spec("resources: {hugepageLimits: [{pageSize: 2, limit: 3}]}")


def test_linuxkit_loses_keys_with_capitals() -> None:
    found = spec(RESOURCES, hardened=False)["linux"]
    assert found["resources"] == {
        "memory": {"limit": 5},
        "blockIO": {"weight": 7},
        "network": {"priorities": [{"name": "eth0", "priority": 2}]},
    }
    assert found["uidMappings"] == [{"hostID": 0, "containerID": 0, "size": 3}]


def test_a_bind_of_one_file_system_stays_alone() -> None:
    keys = 'binds: ["/:/host:ro,bind", "/a:/a", "/b:/b:ro"]'
    assert mount(spec(keys), "/host")["options"] == ["ro", "bind"]
    assert mount(spec(keys, hardened=False), "/host")["options"] == ["ro", "bind", "rbind"]
    assert mount(spec(keys), "/a")["options"] == ["rw", "rbind", "rshared"]
    assert mount(spec(keys), "/b")["options"] == ["ro", "rbind"]


def test_shared_memory_is_not_mounted_into_the_systems_dev() -> None:
    found = spec('binds: ["/dev:/dev"]')
    assert all(each["destination"] != "/dev/shm" for each in found["mounts"])
    assert mount(spec("tmpfs: ['/dev/shm:size=1g']"), "/dev/shm")["options"] == ["size=1g"]


def test_hostname_needs_a_namespace() -> None:
    assert spec("hostname: h")["hostname"] == "h"
    with pytest.raises(ConfigError, match="hostname: a container with uts: host"):
        spec("hostname: h\nuts: host")


def test_ids() -> None:
    assert id_number("s", {"s": 100}) == 100
    assert [id_number(each, {}) for each in (None, "", "root", 0)] == [0, 0, 0, 0]
    assert id_number(-1, {}) == (1 << 32) - 1
    with pytest.raises(ConfigError, match="there is no container 'x'"):
        id_number("x", {})
    assert spec("uid: s\nadditionalGids: [s, 5]")["process"]["user"] == {
        "uid": 100,
        "gid": 0,
        "additionalGids": [100, 5],
    }


def test_seccomp_of_ones_own(tmp_path: Path) -> None:
    profile = {"defaultAction": "SCMP_ACT_ALLOW"}
    (tmp_path / "p.json").write_text(json.dumps(profile))
    assert spec("seccomp: {file: p.json}", base=str(tmp_path))["linux"]["seccomp"] == profile
    assert spec("seccomp: {profile: {defaultAction: SCMP_ACT_ALLOW}}", hardened=False)["linux"]["seccomp"] == profile
    with pytest.raises(ConfigError, match=r"q\.json: No such file"):
        spec("seccomp: {file: q.json}", base=str(tmp_path))
    (tmp_path / "bad.json").write_text("[")
    with pytest.raises(ConfigError, match="is not JSON"):
        spec("seccomp: {file: bad.json}", base=str(tmp_path))
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(ConfigError, match="no OCI seccomp object"):
        spec("seccomp: {file: list.json}", base=str(tmp_path))
    assert "seccomp" in spec("seccomp: default", hardened=False)["linux"]


def test_runtime_json_has_every_key() -> None:
    config = load(["-"], stdin=ENTRY.encode())
    assert runtime_json(effective_config(config.services[0], None, {})) == {
        "cgroups": [],
        "mounts": [],
        "mkdir": [],
        "interfaces": [],
        "bindNS": {"cgroup": "", "ipc": "", "mnt": "", "net": "", "pid": "", "user": "", "uts": ""},
        "namespace": "",
    }
