"""Machine options: what is taken, and that everything else is one clear error."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hullkit.errors import ConfigError
from hullkit.machine.options import (
    Disk,
    MachineOptions,
    Networking,
    Publish,
    parse_accel,
    parse_arch,
    parse_size,
)


@pytest.mark.parametrize(
    ("text", "disk"),
    [
        ("a.qcow2", Disk(Path("a.qcow2"), None, "qcow2")),
        ("file=/x/y,size=512M", Disk(Path("/x/y"), 512 << 20, "qcow2")),
        ("a.raw,size=2G", Disk(Path("a.raw"), 2 << 30, "raw")),
        ("a.img,format=qcow2", Disk(Path("a.img"), None, "qcow2")),
        ("size=1024,file=d,format=raw", Disk(Path("d"), 1 << 30, "raw")),
        ("a=b", Disk(Path("a=b"), None, "qcow2")),
    ],
)
def test_disks(text: str, disk: Disk) -> None:
    assert Disk.parse(text) == disk


@pytest.mark.parametrize(
    "text",
    [
        "",
        "size=1G",
        "a,size=",
        "a,size=x",
        "a,size=0",
        "a,size=-1G",
        "a,size=5T",
        "a,format=vmdk",
        "a,b",
        "a,size=1,size=2",
        "a,file=b",
    ],
)
def test_bad_disks(text: str) -> None:
    with pytest.raises(ConfigError, match="--disk"):
        Disk.parse(text)


@pytest.mark.parametrize(
    ("text", "published"),
    [
        ("8080:80", Publish("127.0.0.1", 8080, 80, "tcp")),
        ("53:53/udp", Publish("127.0.0.1", 53, 53, "udp")),
        ("0.0.0.0:22:22/tcp", Publish("0.0.0.0", 22, 22, "tcp")),
    ],
)
def test_published_ports(text: str, published: Publish) -> None:
    assert Publish.parse(text) == published


@pytest.mark.parametrize(
    "text",
    [
        "",
        "80",
        "80:",
        ":80",
        "0:80",
        "80:65536",
        "a:80",
        "localhost:80:80",
        "1.2.3:80:80",
        "::1:80:80",
        "80:80/sctp",
        "80:80/",
        "+80:80",
        "\uff180:80",
    ],
)
def test_bad_published_ports(text: str) -> None:
    with pytest.raises(ConfigError, match="--publish"):
        Publish.parse(text)


@given(st.ip_addresses(v=4), st.integers(1, 65535), st.integers(1, 65535), st.sampled_from(["tcp", "udp"]))
def test_a_published_port_reads_as_it_is_written(address: object, host: int, guest: int, protocol: str) -> None:
    text = f"{address}:{host}:{guest}/{protocol}"
    assert str(Publish.parse(text)) == text


@given(st.text(max_size=40))
def test_any_text_is_taken_or_refused_cleanly(text: str) -> None:
    for parse in (Disk.parse, Publish.parse, Networking.parse, parse_accel, parse_arch, lambda t: parse_size(t, "x")):
        try:
            parse(text)
        except ConfigError as error:
            assert "\n" not in str(error)


def test_networking() -> None:
    assert Networking.parse("user") == Networking.parse("default") == Networking()
    assert Networking.parse("none") == Networking("none")
    assert Networking.parse("bridge,br0") == Networking("bridge", "br0")
    assert Networking.parse("tap,tap-7") == Networking("tap", "tap-7")


@pytest.mark.parametrize(
    "text", ["", "bridge", "bridge,", "tap,a b", "tap,x,script=/bin/sh", "user,x", "tap,..", "bridge,aaaaaaaaaaaaaaaa"]
)
def test_bad_networking(text: str) -> None:
    with pytest.raises(ConfigError, match="--networking"):
        Networking.parse(text)


def test_names_of_linuxkit_are_understood() -> None:
    assert parse_arch("x86_64") == parse_arch("amd64") == "amd64"
    assert parse_accel("kvm:tcg") == "auto"
    assert parse_size("1024", "--mem") == 1 << 30


@pytest.mark.parametrize(
    "wrong",
    [
        {"cpus": 0},
        {"cpus": 1000},
        {"mem": 8},
        {"timeout": 0.0},
        {"timeout": float("nan")},
        {"arch": "mips"},
        {"devices": ("",)},
        {"devices": ("-S",)},
        {"publish": (Publish.parse("8080:80"),), "networking": Networking("none")},
        {"publish": (Publish.parse("8080:80"), Publish.parse("8080:81"))},
        {"disks": (Disk.parse("a"), Disk.parse("a"))},
    ],
)
def test_what_cannot_be_a_machine(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        MachineOptions(**wrong)  # type: ignore[arg-type]
