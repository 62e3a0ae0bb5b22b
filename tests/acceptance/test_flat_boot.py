"""The flat layout with hullkit's init: real components, real boots, as an unprivileged user."""

from __future__ import annotations

import pytest

from tests.support.command import Hullkit, strays

pytestmark = [pytest.mark.net, pytest.mark.boot]

#: roots that can and cannot be written, of one image that is stored once; mount points that it lacks; volumes
SYSTEM = """
kernel:
  image: "@component:kernel"
  cmdline: console=ttyS0 quiet
init:
  - "@component:hullkit-init"
  - "@component:crun"
volumes:
  - {name: blank}
  - {name: full, image: "@component:busybox"}
onboot:
  - name: reads
    image: "@component:busybox"
    command: [/bin/sh, -c, "test -d /mnt/x && ! touch /no"]
    binds: ["/etc:/mnt/x:ro"]
  - name: writes
    image: "@component:busybox"
    readonly: false
    command: [/bin/sh, -c, "touch /yes && grep -q hello /etc/greeting && echo one > /blank/x && test -x /full/bin/sh"]
    binds: ["/etc/greeting:/etc/greeting", "blank:/blank", "full:/full"]
services:
  - name: shares
    image: "@component:busybox"
    readonly: false
    command: [/bin/sh, -c, "touch /yes && grep -q one /blank/x && sleep 1000000"]
    mounts: [{type: bind, source: blank, destination: /blank, options: [bind]}]
  - name: sleeps
    image: "@component:busybox"
    command: [/bin/sleep, "1000000"]
    binds: ["/etc/greeting:/deep/er/greeting", "/tmp:/scratch", "full:/full:ro"]
files:
  - {path: etc/greeting, contents: "hello", mode: "0644"}
"""


def test_tiny_boots_flat(hullkit: Hullkit) -> None:
    code, report = hullkit.report("--layout", "flat", hullkit.checkout / "examples" / "tiny.yml")
    assert (code, report["ok"]) == (0, True), report
    names = " ".join(check["name"] for check in report["guest"]["checks"])
    assert all(word in names for word in ("address", "root", "rngd")), names
    assert not strays(hullkit.cache)


def test_roots_volumes_and_mount_points(hullkit: Hullkit) -> None:
    path = hullkit.user.write(hullkit.user.directory("flat") / "flat.yml", SYSTEM)
    code, report = hullkit.report("--layout", "flat", path)
    assert (code, report["ok"]) == (0, True), report
    states = {each["name"]: (each["state"], each["exit"]) for each in report["guest"]["containers"]}
    assert states["reads"] == states["writes"] == ("exited", 0)
    assert states["shares"][0] == states["sleeps"][0] == "ready"
