"""Memory, boot, budgets, differences and bisection: pure functions over reports and footprints."""

from __future__ import annotations

import json

import jsonschema
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hullkit.config.model import Budget
from hullkit.errors import CheckFailed, ConfigError
from hullkit.footprint import budget, minimum, model
from hullkit.footprint.boot import boot_of
from hullkit.footprint.diff import difference
from hullkit.footprint.disk import spread
from hullkit.footprint.memory import memory_of
from hullkit.footprint.model import Port, Program
from hullkit.machine.report import GuestReport, Report, SupervisorReport
from tests.footprint.samples import MIB, footprint, part, report

PASSWD = Program("mine", "usr/bin/passwd", "4755", False, ("web",))
HTTP = Port("web", "tcp", "0.0.0.0", 80, False)


@given(st.integers(0, 10**9), st.lists(st.integers(0, 10**7), min_size=1, max_size=40))
def test_a_spread_sums_up_exactly(total: int, weights: list[int]) -> None:
    shares = spread(total, weights)
    assert sum(shares) == total and len(shares) == len(weights)
    if sum(weights):
        for share, weight in zip(shares, weights, strict=True):
            assert abs(share - total * weight / sum(weights)) <= 1


def test_the_parts_of_the_memory_sum_up_to_the_machine() -> None:
    memory = memory_of(report())
    assert memory is not None
    assert sum(share.bytes for share in memory.shares) == memory.total == 512 * MIB
    shares = {share.name: share.bytes // MIB for share in memory.shares}
    assert shares == {
        "web": 20,
        "kernel": 27,
        "kernel image and reserved": 32,
        "system programs": 4,
        "tmpfs with the initramfs": 10,
        "page cache of the system": 12,
        "free": 400,
        "not accounted for": 7,
    }
    assert memory.used == (512 - 400 - 12 - 8) * MIB


def test_containerd_has_a_part_of_the_memory_too() -> None:
    given = report()
    assert given.guest is not None
    supervisor = SupervisorReport("containerd", "2.4", 0, (), 7 * MIB, MIB, 4 * MIB, 0, MIB)
    memory = memory_of(
        msgspec.structs.replace(given, guest=msgspec.structs.replace(given.guest, supervisor=supervisor))
    )
    assert memory is not None and sum(share.bytes for share in memory.shares) == 512 * MIB
    shares = {share.name: share.bytes // MIB for share in memory.shares}
    assert (shares["containerd"], shares["system programs"], shares["page cache of the system"]) == (7, 3, 8)
    assert shares["kernel"] == 26 and shares["not accounted for"] == 6


def test_a_guest_that_tells_no_memory_has_no_figures() -> None:
    assert memory_of(Report(1, True, guest=GuestReport(1), host=report().host)) is None


def test_the_timeline_has_median_and_spread() -> None:
    boot = boot_of([report(up=8.0), report(up=9.0), report(up=12.0)])
    assert boot is not None and boot.runs == 3
    assert (boot.up.median, boot.up.low, boot.up.high) == (9.0, 8.0, 12.0)
    assert boot.cpu is not None and boot.cpu.median == 8.0
    web = next(stage for stage in boot.timeline if stage.name == "web")
    assert (web.kind, web.begin.median, web.seconds.median) == ("service", 3.5, 2.5)
    assert [stage.name for stage in boot.timeline if stage.kind == "stage"] == [
        "firmware",
        "kernel",
        "init",
        "services",
    ]


def test_a_boot_that_failed_has_no_times() -> None:
    assert boot_of([report(), report(ok=False)]) is None
    assert boot_of([]) is None


def test_a_difference_names_component_file_program_and_port() -> None:
    before = footprint(ports=())
    after = footprint(*before.disk.parts, part("mine", "", ("web",), big=10**7), programs=(PASSWD,), ports=(HTTP,))
    found = difference(before, after)
    (change,) = found.components
    assert (change.component, change.before, change.after) == ("mine", 0, 10**7)
    assert [file.path for file in change.files] == ["big"]
    assert found.programs_added == (PASSWD,) and not found.programs_removed
    assert [(each.component, each.port) for each in found.ports_added] == [("web", HTTP)]
    back = difference(after, before)
    assert back.programs_removed == (PASSWD,) and len(back.ports_removed) == 1
    assert difference(before, before).components == ()


def test_a_new_version_of_a_package_is_a_change_of_its_files() -> None:
    before = footprint(part("web", "nginx_1", ("web",), nginx=700, same=5))
    after = footprint(part("web", "nginx_2", ("web",), nginx=900, same=5))
    (change,) = difference(before, after).components
    assert (change.before, change.after) == (705, 905)
    assert [(file.path, file.package, file.before, file.after) for file in change.files] == [
        ("nginx", "nginx", 700, 900)
    ]


def test_rights_that_a_container_gains() -> None:
    before = footprint()
    (web,) = before.surface.containers
    wider = msgspec.structs.replace(web, capabilities=("CAP_CHOWN", "CAP_SYS_ADMIN"), seccomp="unconfined")
    after = msgspec.structs.replace(before, surface=msgspec.structs.replace(before.surface, containers=(wider,)))
    assert [each.what for each in difference(before, after).rights_added] == ["CAP_SYS_ADMIN", "seccomp unconfined"]


def test_disk_and_setuid_budgets() -> None:
    within = footprint()
    assert budget.of_disk(within, Budget(disk=1000, setuid=0)) == []
    grown = footprint(*within.disk.parts, part("mine", "", ("web",), big=600), programs=(PASSWD,))
    disk, setuid = budget.of_disk(grown, Budget(disk=1000, setuid=0))
    assert (disk.key, disk.culprit) == ("disk", "web")
    assert (setuid.key, setuid.culprit) == ("setuid", "mine") and "usr/bin/passwd" in setuid.message
    disk, _ = budget.of_disk(grown, Budget(disk=1000, setuid=0), within)
    assert disk.culprit == "mine" and "1600 bytes" in disk.message


@pytest.mark.parametrize(
    ("limits", "keys"),
    [
        (Budget(memory=93 * MIB, boot=8.0, ports=(80,)), []),
        (Budget(memory=92 * MIB - 1), ["memory"]),
        (Budget(boot=7.9), ["boot"]),
        (Budget(ports=()), ["ports"]),
        (Budget(ports=("80/udp", 443)), ["ports"]),
        (Budget(ports=("80/tcp",)), []),
        (Budget(ports=("80",)), []),
    ],
)
def test_budgets_of_a_run(limits: Budget, keys: list[str]) -> None:
    judged = budget.judged(report(), limits)
    assert [failure.message.split(":")[0] for failure in judged.failures] == [f"budget.{key}" for key in keys]
    assert judged.ok == (not keys)
    if "ports" in keys:
        assert judged.culprit == "web"


def test_a_private_port_is_not_open() -> None:
    private = msgspec.structs.replace(HTTP, private=True)
    assert budget.of_run(None, None, [private], Budget(ports=())) == []


@pytest.mark.parametrize("enough", [36, 61, 100, 511])
def test_the_smallest_memory_is_found(enough: int) -> None:
    tried: dict[int, int] = {}

    def boot(mem: int, limit: float | None) -> Report:
        tried[mem] = tried.get(mem, 0) + 1
        return report(up=8.0 if mem >= enough else 16.1, mem=mem)

    found = minimum.smallest_memory(boot, 32)
    assert found == -(-enough // minimum.STEP) * minimum.STEP
    assert found == 512 or tried[found] == 3
    assert len(tried) <= 9


def test_two_of_three_boots_are_not_enough() -> None:
    lucky = iter([True, True, False])

    def boot(mem: int, limit: float | None) -> Report:
        return report(mem=mem, ok=mem > 272 or (mem == 272 and next(lucky, False)))

    assert minimum.smallest_memory(boot, 32) == 276


def test_a_system_that_fails_with_512_has_no_smallest_memory() -> None:
    with pytest.raises(CheckFailed, match="with 512 MiB: web"):
        minimum.smallest_memory(lambda mem, limit: report(ok=False), 32)


def test_the_document_follows_its_schema_and_is_read_back() -> None:
    whole = msgspec.structs.replace(
        footprint(ports=(HTTP,), programs=(PASSWD,)), memory=memory_of(report()), boot=boot_of([report()])
    )
    data = model.to_json(whole)
    jsonschema.validate(json.loads(data), model.schema())
    assert model.from_json(data, "x") == whole


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b'{"version": 1}', b"\xff", b"[" * 10000])
def test_what_is_no_footprint_is_refused(data: bytes) -> None:
    with pytest.raises(ConfigError, match="not a footprint"):
        model.from_json(data, "a.json")


def test_a_footprint_of_another_version_is_refused() -> None:
    with pytest.raises(ConfigError, match="of version 2"):
        model.from_json(model.to_json(msgspec.structs.replace(footprint(), version=2)), "a.json")
