"""Nodes → structs: what each kind of mistake is told."""

from __future__ import annotations

import pytest

from hullkit.config.load import load, parse_image_config, read
from hullkit.config.model import Logs, Ready, Restart, Seccomp, Stop
from hullkit.errors import ConfigError

ENTRY = "services:\n  - name: s\n    image: lab/x\n"


def problems(text: str) -> list[str]:
    return [str(error) for error in read(["-"], stdin=text.encode())[1]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bogus: 1\n", '<stdin>:1:1: unknown key "bogus" (known here: kernel, init,'),
        ("servces: []\n", '<stdin>:1:1: unknown key "servces" (did you mean services?)'),  # codespell:ignore
        (ENTRY + "    maskedpaths: []\n", 'services[0]: unknown key "maskedpaths" (did you mean maskedPaths?)'),
        (
            ENTRY + "    readonly: yes\n",
            '<stdin>:4:15: services[0].readonly: must be true or false, not the text "yes" (write true)',
        ),
        (ENTRY + "    readonly: off\n", "(write false)"),
        (
            ENTRY + "    env: [yes, on, 1.0]\n",
            '<stdin>:4:20: services[0].env[2]: must be text, not the number 1.0 (quote it: "1.0")',
        ),
        (ENTRY + "    env: A=1\n", 'services[0].env: must be a list, not the text "A=1" (write ["A=1"])'),
        (ENTRY + "    env: ~\n", "services[0].env: must be a list, not empty (null) (remove the key, or write [])"),
        (ENTRY + "    oomScoreAdj: '5'\n", 'must be a whole number, not the text "5" (without quotes)'),
        (ENTRY + "    oomScoreAdj: 1.5\n", "must be a whole number, not the number 1.5"),
        (ENTRY + "    uid: true\n", "services[0].uid: must be a whole number or text, not a truth value, true"),
        (
            ENTRY + "    sysctl: {a: 1}\n",
            '<stdin>:4:17: services[0].sysctl.a: must be text, not the number 1 (quote it: "1")',
        ),
        (ENTRY + "    sysctl: {1: a}\n", 'services[0].sysctl: a key must be text (quote it: "1")'),
        ("services:\n  - name: s\n", '<stdin>:2:5: services[0]: "image" is missing'),
        ("services: {}\n", "services: must be a list, not a map"),
        ("services: [x]\n", 'services[0]: must be a map of keys and values, not the text "x"'),
        ("[]\n", "<stdin>:1:1: must be a map of keys and values, not a list"),
        (
            "files:\n  - {path: a, contents: b, mode: 0644}\n",
            'files[0].mode: must be text, not the number 0644 (quote it: "0644")',
        ),
        ("layout: flatt\n", '<stdin>:1:9: layout: "flatt" is not known here (write one of: flat, packed)'),
        (ENTRY + "    restart: never\n", '"never" is not a restart policy; write one of: no, on-failure, always'),
        (ENTRY + "    restart: {policy: always, delay: -1}\n", "services[0].restart.delay: -1.0 is too small"),
        (ENTRY + "    ready: {tcp: 70000}\n", "services[0].ready.tcp: 70000 is too large; the most is 65535"),
        (ENTRY + "    ready: {timeout: .inf}\n", "must be a finite number"),
        (ENTRY + "    logs: {size: 1Q}\n", '"1Q" is not a size'),
        (ENTRY + "    after: [s, x]\n    requires: x\n", "services[0].requires: must be a list"),
    ],
)
def test_messages(text: str, message: str) -> None:
    found = problems(text)
    assert any(message in each for each in found), found


def test_terminal_controls_and_long_texts_do_not_reach_messages() -> None:
    found = problems('"\\e[31mred": 1\n')[0]
    assert "\x1b" not in found
    assert "\\x1b[31mred" in found
    assert len(problems("a" * 5000 + ": 1\n")[0]) < 400
    assert len(problems(ENTRY + "    binds: [" + "b" * 5000 + "]\n")[0]) < 400


def test_all_problems_are_found_and_load_raises_the_first() -> None:
    text = "a: 1\nb: 2\n" + ENTRY + "    c: 3\n"
    assert len(problems(text)) == 3
    with pytest.raises(ConfigError, match=r'<stdin>:1:1: unknown key "a" .*and 2 more: hullkit lint shows all'):
        load(["-"], stdin=text.encode())


def test_short_forms() -> None:
    text = ENTRY + (
        "    restart: no\n    ready: {tcp: 80, timeout: 1m}\n    stop: SIGQUIT\n    logs: {size: 1M, console: true}\n"
        "    seccomp: unconfined\n"
    )
    service = load(["-"], stdin=text.encode()).services[0]
    assert service.restart == Restart(policy="no", delay=1.0, limit=5)
    assert service.ready == Ready(tcp=80, timeout=60.0)
    assert service.stop == Stop(signal="SIGQUIT", timeout=10.0)
    assert service.logs == Logs(size=1 << 20, console=True)
    assert service.seccomp == Seccomp(name="unconfined")


def test_absent_and_empty_differ() -> None:
    service = load(["-"], stdin=(ENTRY + "    binds: []\n").encode()).services[0]
    assert service.binds == ()
    assert service.env is None


def test_whole_floats_are_integers_as_in_yaml_v3() -> None:
    text = ENTRY + "    resources: {memory: {limit: 1e3}}\n    devices: [{path: all, type: c, major: 1.0}]\n"
    service = load(["-"], stdin=text.encode()).services[0]
    assert service.resources is not None and service.resources.memory is not None
    assert service.resources.memory.limit == 1000
    assert isinstance(service.resources.memory.limit, int)


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ('{"bogus": 1}', 'unknown key "bogus"'),
        ('{"name": "x"}', 'unknown key "name"'),
        ("[1, 2]", "must be a map"),
        ('"just a string"', "must be a map"),
        ("{not: [valid", "not valid YAML"),
        ('{"capabilities": "all"}', "capabilities: must be a list"),
        ('{"capabilities": ["CAP_BOGUS"]}', 'unknown capability "CAP_BOGUS"'),
        ('{"seccomp": {"file": "x"}}', "a label cannot name a file"),
        ("", "the document is empty"),
    ],
)
def test_labels_refused(label: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_image_config(label, "the label of lab/x")
    assert "the label of lab/x:1:" in str(caught.value)
    assert message in str(caught.value)


def test_label_may_be_yaml() -> None:
    config = parse_image_config('capabilities:\n  - all\nbinds: ["/y:/y"]\nreadonly: true\nuid: 7\n', "l")
    assert config.capabilities == ("all",)
    assert config.readonly is True
    assert config.uid == 7
