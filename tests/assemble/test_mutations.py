"""YAML that somebody broke: each file gives a whole system, or one error that says where."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from hullkit.cli import main
from hullkit.context import Context
from hullkit.tree.tar import read_tar
from tests.assemble.systems import add_image, base, context_in, tar_of

SYSTEMS = (
    """
kernel:
  image: lab/kernel:v1
  cmdline: "console=ttyS0 quiet"
init:
  - lab/a:v1
  - lab/b:v1
onboot:
  - name: sysctl
    image: lab/a:v1
    capabilities: [CAP_SYS_ADMIN, CAP_NET_ADMIN]
    binds: ["/etc:/etc:ro"]
    readonly: true
services:
  - name: web
    image: lab/b:v1
    env: ["A=1", "B=2"]
    uid: web
    rlimits: ["nofile,100,200"]
    runtime: {mkdir: [/run/web], bindNS: {net: /run/netns/web}}
  - name: getty
    image: lab/a:v1
    net: host
    tmpfs: ["/tmp:size=1m"]
files:
  - path: etc/motd
    contents: |
      hello
      world
    mode: "0644"
  - {path: etc/system.yml, metadata: yaml}
""",
    """
init: ["lab/a:v1"]
volumes:
  - {name: data}
  - name: full
    image: lab/b:v1
    readonly: true
services:
  - &base
    name: one
    image: lab/a:v1
    binds: ["data:/data", "full:/full:ro"]
    resources: {memory: {limit: 1000000}, pids: {limit: 10}}
  - name: two
    image: lab/a:v1
    mounts:
      - {type: tmpfs, source: tmpfs, destination: /x, options: [ro]}
    devices: [{path: /dev/c, type: c, major: 5, minor: 1, mode: "0666"}]
    sysctl: {net.ipv4.ip_forward: "1"}
    command: ["/bin/sh", "-c", "true"]
trust: {org: [x]}
""",
)
JUNK = (
    *("~", "yes", "[]", "{}", "-1", "1e400", "0x10", '""', "'", "*base", "&x", "!!binary x", "lab/a:v1", "../..", ":"),
    *("[a, b]", "{a: b}", "|", "%", "@component:none", "@pkg:./none", "data", "\t", "é\u2028", "99999999999999999999"),
)
CHECKED = 200
POSITION = re.compile(r"^hullkit: error: \S+\.yml:\d+:\d+: \S")


def mutated(text: str, chance: random.Random) -> str:
    lines = text.split("\n")
    for _ in range(chance.randint(1, 3)):
        number = chance.randrange(len(lines))
        kind = chance.randrange(8)
        if kind == 0:
            del lines[number]
        elif kind == 1:
            lines.insert(number, lines[chance.randrange(len(lines))])
        elif kind == 2:
            lines[number] = " " * chance.randint(1, 3) + lines[number]
        elif kind == 3:
            lines[number] = lines[number][chance.randint(1, 2) :]
        elif kind == 4:
            key, colon, _ = lines[number].partition(": ")
            lines[number] = f"{key}{colon}{chance.choice(JUNK)}"
        elif kind == 5:
            words = lines[number].split(" ")
            words[chance.randrange(len(words))] = chance.choice(JUNK)
            lines[number] = " ".join(words)
        elif kind == 6:
            at = chance.randint(0, len(lines[number]))
            lines[number] = lines[number][:at] + chance.choice(JUNK) + lines[number][at + chance.randint(0, 2) :]
        else:
            lines = lines[: max(number, 1)]
        lines = lines or [""]
    return "\n".join(lines)


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Context:
    made = context_in(tmp_path_factory.mktemp("mutations"))
    for name in "ab":
        add_image(made, f"lab/{name}:v1", base(name), config={"Cmd": ["/bin/sh"]})
    kernel = [("f", "kernel", b"k" * 900), ("f", "kernel.tar", tar_of([("f", "m.ko", b"m")]))]
    add_image(made, "lab/kernel:v1", kernel)
    return made


def build(context: Context, path: Path, out: Path) -> int:
    words = ["build", "--offline", "--cache", str(context.cache.root), "--format", "tar", "--o", str(out), str(path)]
    with pytest.raises(SystemExit) as ended:
        main(words)
    return int(ended.value.code or 0)


@pytest.mark.parametrize("number", range(4))
def test_a_system_or_one_error_that_says_where(
    number: int, context: Context, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    chance = random.Random(f"mutation {number}")
    path, out = tmp_path / "system.yml", tmp_path / "out.tar"
    built = 0
    for _ in range(CHECKED // 4):
        text = mutated(chance.choice(SYSTEMS), chance)
        path.write_text(text)
        status = build(context, path, out)
        told = capfd.readouterr()
        assert not told.out, text
        assert "Traceback" not in told.err, text
        if status == 0:
            built += 1
            assert read_tar(out, verbatim=True) is not None, text
            out.unlink()
            continue
        lines = [line for line in told.err.splitlines() if line.startswith("hullkit: error:")]
        assert status in (2, 3, 4, 5) and len(lines) == 1 and len(lines[0]) <= 400, f"{status} {lines}\n{text}"
        assert POSITION.match(lines[0]), f"{lines[0]}\n{text}"
        assert not out.exists() and [each.name for each in tmp_path.iterdir()] == ["system.yml"]
    assert 0 < built < CHECKED // 4
