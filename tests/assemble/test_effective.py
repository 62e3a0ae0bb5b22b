"""Precedence: YAML over label over image; and volumes by name."""

from __future__ import annotations

from hullkit.assemble.effective import effective_config, with_volumes
from hullkit.config.load import load
from hullkit.config.model import BindNamespaces, ImageConfig, ImageEntry, Restart, Runtime, Stop

IMAGE = {
    "Entrypoint": ["/e"],
    "Cmd": ["c"],
    "Env": ["I=1"],
    "WorkingDir": "/w",
    "User": "alice",
    "StopSignal": "SIGQUIT",
}


def entry(**values: object) -> ImageEntry:
    return ImageEntry(name="n", image="lab/x", **values)  # type: ignore[arg-type]


def test_image_gives_command_env_cwd_and_stop_signal_only() -> None:
    config = effective_config(entry(), None, IMAGE)
    assert (config.command, config.env, config.cwd) == (("/e", "c"), ("I=1",), "/w")
    assert config.stop == Stop(signal="SIGQUIT")
    assert config.uid is None
    assert effective_config(entry(), None, {}).cwd == "/"
    assert effective_config(entry(), None, {"Cmd": None, "Env": None}).command == ()


def test_yaml_wins_over_label_and_an_empty_list_clears() -> None:
    label = ImageConfig(
        command=("l",), env=("L=1",), cwd="/l", binds=("/a:/a",), readonly=True, restart=Restart(policy="always")
    )
    config = effective_config(entry(command=(), binds=(), readonly=False), label, IMAGE)
    assert (config.command, config.env, config.cwd, config.binds, config.readonly) == ((), ("L=1",), "/l", (), False)
    assert config.restart == Restart(policy="always")


def test_empty_texts_give_way() -> None:
    label = ImageConfig(cwd="/l", net="new", hostname="h", cgroups_path="/l")
    config = effective_config(entry(cwd="", net="", hostname="", cgroups_path=""), label, IMAGE)
    assert (config.cwd, config.net, config.hostname, config.cgroups_path) == ("/l", "new", "h", "")


def test_add_joins_the_label_and_a_whole_list_replaces() -> None:
    label = ImageConfig(capabilities=("CAP_CHOWN",), binds=("/a:/a",))
    joined = effective_config(entry(capabilities_add=("CAP_KILL", "CAP_CHOWN"), binds_add=("/b:/b",)), label, {})
    assert joined.capabilities == ("CAP_CHOWN", "CAP_KILL", "CAP_CHOWN")
    assert joined.binds == ("/a:/a", "/b:/b")
    replaced = effective_config(entry(capabilities=("CAP_KILL",), capabilities_add=("CAP_BPF",)), label, {})
    assert replaced.capabilities == ("CAP_KILL",)
    assert effective_config(entry(), None, {}).capabilities is None


def test_runtime_merges_by_field() -> None:
    label = ImageConfig(runtime=Runtime(mkdir=("/l",), cgroups=("c",), bind_ns=BindNamespaces(net="/n", pid="/p")))
    high = Runtime(mkdir=("/y",), bind_ns=BindNamespaces(net=""))
    runtime = effective_config(entry(runtime=high), label, {}).runtime
    assert runtime == Runtime(mkdir=("/y",), cgroups=("c",), bind_ns=BindNamespaces(net="", pid="/p"))


def test_volumes_become_directories() -> None:
    text = (
        "volumes: [{name: v}]\nservices:\n  - name: s\n    image: lab/x\n"
        '    binds: ["v:/a:ro,nosuid", "/etc:/etc"]\n    binds.add: ["v:/b"]\n'
        "    mounts: [{type: bind, source: v, destination: /c}, {type: tmpfs, source: v, destination: /d}]\n"
    )
    config = load(["-"], stdin=text.encode())
    bound = with_volumes(config.services[0], config, mounts=True)
    assert bound.binds == ("/containers/volumes/v/merged:/a:ro,nosuid", "/etc:/etc")
    assert bound.binds_add == ("/containers/volumes/v/merged:/b",)
    assert [mount.source for mount in bound.mounts or ()] == ["/containers/volumes/v/merged", "v"]
    assert with_volumes(config.services[0], config, mounts=False).mounts == config.services[0].mounts
