"""Make LinuxKit-style images out of hullkit's components and push them to a registry on loopback.

A LinuxKit package is one gzip layer with the whole root file system and the label org.mobyproject.config; a kernel
image holds /kernel and /kernel.tar. Labels keep only what LinuxKit's schema knows.
"""

from __future__ import annotations

import gzip
import http.client
import io
import json
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from hullkit.cache import Cache, default_cache_root
from hullkit.cli.progress import Lines
from hullkit.component.component import component_image
from hullkit.component.tools import DebianTools
from hullkit.context import Context
from hullkit.hosttools.run import start
from hullkit.oci.image import Layer
from hullkit.oci.layers import flatten
from hullkit.oci.push import push
from hullkit.oci.reference import Reference
from hullkit.oci.registry import Client
from hullkit.oci.store import Store
from hullkit.tree.entry import Bytes, Entry, EntryType
from hullkit.tree.tar import write_tar

HOST = "127.0.0.1:5000"
#: image below HOST/linuxkit -> component
IMAGES = {
    "kernel": "kernel",
    "init": "hullkit-init",
    "runc": "crun",
    "ca-certificates": "ca-certificates",
    "sysctl": "sysctl",
    "dhcpcd": "dhcpcd",
    "rngd": "rngd",
    "nginx": "nginx",
}
_LABEL = "org.mobyproject.config"
_ROLE = "org.hullkit.role"
#: hullkit's own keys of a label
_OWN_KEYS = ("restart", "ready", "stop", "logs", "seccomp")
_GZIP_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


def tar(entries: Iterable[Entry]) -> bytes:
    stream = io.BytesIO()
    write_tar(entries, stream)
    return stream.getvalue()


def with_kernel_tar(entries: Iterable[Entry]) -> Iterator[Entry]:
    """The kernel as LinuxKit ships it: its modules in an archive beside it."""
    modules = []
    for entry in entries:
        if entry.path == "kernel":
            yield entry
        else:
            modules.append(entry)
    yield Entry("kernel.tar", EntryType.FILE, 0o644, content=Bytes(tar(modules)))


def make(context: Context, work: Context, name: str, component: str) -> Reference:
    """One image, in the store of ``work``, under the name that it is pushed by."""
    image = component_image(context, f"@component:{component}", base_dir=Path())
    entries = flatten(context, Store(context.cache), image, name).entries()
    plain = tar(with_kernel_tar(entries) if name == "kernel" else entries)
    store = Store(work.cache)
    layer = store.add_blob(gzip.compress(plain, 6, mtime=0), media_type=_GZIP_LAYER)
    diff_id = store.add_blob(plain).digest
    labels = {}
    if _LABEL in image.labels:
        known = {key: value for key, value in json.loads(image.labels[_LABEL]).items() if key not in _OWN_KEYS}
        labels[_LABEL] = json.dumps(known, sort_keys=True)
    if image.labels.get(_ROLE) == "init":
        labels[_ROLE] = "init"  # by this hullkit knows its own init
    config = {
        "architecture": context.arch,
        "os": "linux",
        "config": {**image.config.get("config", {}), "Labels": labels},
    }
    made = store.add_image(config, [Layer(layer, diff_id)])
    reference = Reference.parse(f"{HOST}/linuxkit/{name}:demo")
    store.tag(str(reference), context.arch, made.digest)
    return reference


def answers() -> bool:
    try:
        connection = http.client.HTTPConnection(HOST, timeout=2)
        connection.request("GET", "/v2/")
        return connection.getresponse().status == 200
    except OSError:
        return False


@contextmanager
def registry(context: Context, directory: Path) -> Iterator[None]:
    """The registry that answers at HOST already, or one of our own for as long as the block lasts."""
    if answers():
        yield
        return
    (directory / "registry.yml").write_text(
        f"version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n"
        f"storage: {{filesystem: {{rootdirectory: {directory / 'registry'}}}}}\nhttp: {{addr: {HOST}, secret: x}}\n"
    )
    tool = context.tools.get("docker-registry")
    with open(directory / "registry.log", "wb") as log:
        process = start(context, tool, ["serve", str(directory / "registry.yml")], stdout=log, stderr=log)
    try:
        for _ in range(100):
            if answers():
                break
            if process.poll() is not None:
                sys.exit(f"the registry ended at once:\n{(directory / 'registry.log').read_text()}")
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait()


def main(command: list[str]) -> int:
    context = Context(Cache(default_cache_root().absolute()))
    context.bus.subscribe(Lines(sys.stderr, verbose=False, quiet=False))
    context = replace(context, tools=DebianTools(context))
    with context.cache.temp_dir() as directory, registry(context, directory):
        work = replace(context, cache=Cache(directory / "cache"))
        with Client(work) as client:
            for name, component in IMAGES.items():
                reference = make(context, work, name, component)
                push(client, reference, reference, override=True)
                context.bus.info(f"pushed {reference}")
        if command:
            return subprocess.run(command).returncode
        context.bus.info("serving; Ctrl-C ends it. Now: ./hullkit run --check examples/linuxkit.yml")
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
