"""Online and offline under mainline: counters and spans step by step, vetoes, notifiers, groups."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from memhotplug import Machine, MemoryHotplugError

Boot = Callable[..., Machine]
Refused = Callable[..., MemoryHotplugError]
ZoneOf = Callable[..., dict[str, Any]]

ON = "memory_hotplug.memmap_on_memory=1"
FIRST = 32 * 32768


def dimm(boot: Boot, **keywords: object) -> Machine:
    """Return a machine with a DIMM of 1 GiB in blocks 32-39, whose blocks host their memmap."""
    machine = boot(**{"kernel": "linux-6.12", "cmdline": ON, **keywords})
    machine.add_memory(driver="acpi", name="dimm0", size="1G")
    return machine


def counters(zone: dict[str, Any]) -> tuple[int, int, int, int, int]:
    """Return start pfn, spanned, present, managed, free of a zone."""
    start, spanned, present, managed, free = (
        zone[key] for key in ("start_pfn", "spanned", "present", "managed", "free")
    )
    return start, spanned, present, managed, free


def test_golden_numbers_of_a_dimm(boot: Boot, zone_of: ZoneOf) -> None:
    """1 GiB: managed/present is 63/64 online, nothing is left offline, nothing was ever allocated."""
    machine = dimm(boot)
    assert machine.to_dict()["memmap"]["allocated_pages"] == 0
    machine.online("dimm0", zone="movable")
    zone = zone_of(machine, "Movable")

    assert counters(zone) == (FIRST, 262144, 262144, 258048, 258048)
    assert zone["free_by_order"] == [0] * 9 + [8, 8 * 31]
    machine.offline("dimm0")
    assert counters(zone_of(machine, "Movable")) == (0, 0, 0, 0, 0)
    machine.remove("dimm0")
    assert machine.to_dict()["memmap"]["self_hosted_pages"] == 0


@pytest.mark.parametrize("cmdline", ["", ON])
def test_spans_move_with_their_edge_blocks_only(boot: Boot, zone_of: ZoneOf, cmdline: str) -> None:
    """A hole in the middle stays in the span; an edge jumps to the next online block."""
    machine = dimm(boot, cmdline=cmdline)
    machine.online("block 33-38", zone="movable")
    spans = []
    for block in (35, 33, 34, 38, 37, 36):
        machine.offline(f"block {block}")
        zone = zone_of(machine, "Movable")
        spans.append((zone["start_pfn"] // 32768, zone["spanned"] // 32768, zone["present"] // 32768))

    assert spans == [(33, 6, 5), (34, 5, 4), (36, 3, 3), (36, 2, 2), (36, 1, 1), (0, 0, 0)]


@pytest.mark.parametrize(("event", "errno"), [("MEM_PREPARE_ONLINE", "EPERM"), ("MEM_GOING_ONLINE", "ENOMEM")])
@pytest.mark.parametrize("block", [32, 35, 39])
def test_a_veto_of_online_leaves_nothing_behind(
    boot: Boot, refused: Refused, event: str, errno: str, block: int
) -> None:
    """Counters, spans, watermarks and groups: at the edges of a zone and inside it."""
    machine = dimm(boot)
    machine.online("block 34", zone="movable")
    machine.online("block 37", zone="movable")
    before = machine.to_dict()
    marks = [(zone.wmark, zone.protection) for zone in machine.kernel.state.zones()]
    problem = refused(machine.online, f"block {block}", zone="movable", veto={"event": event, "errno": errno})

    assert (problem.name, problem.blocks_done) == (errno, ())
    assert machine.to_dict() == before
    assert [(zone.wmark, zone.protection) for zone in machine.kernel.state.zones()] == marks


def test_a_veto_of_offline_leaves_nothing_behind(boot: Boot, refused: Refused) -> None:
    """The block is online again, in the same zone and group."""
    machine = dimm(boot)
    machine.online("dimm0", zone="movable")
    before = machine.to_dict()
    problem = refused(machine.offline, "dimm0", veto={"event": "MEM_GOING_OFFLINE", "errno": "EBUSY"})

    assert (problem.name, problem.blocks_done) == ("EBUSY", ())
    assert machine.to_dict() == before


NAMES = {
    "linux-6.6": (["GOING_ONLINE", "ONLINE"], ["GOING_OFFLINE", "OFFLINE"]),
    "linux-6.12": (["PREPARE_ONLINE", "GOING_ONLINE", "ONLINE"], ["GOING_OFFLINE", "OFFLINE", "FINISH_OFFLINE"]),
    "linux-6.19": (["GOING_ONLINE", "ONLINE"], ["GOING_OFFLINE", "OFFLINE"]),
}


@pytest.mark.parametrize("kernel", NAMES)
def test_events_of_success(boot: Boot, monkeypatch: pytest.MonkeyPatch, kernel: str) -> None:
    """In the kernel's order, with the pages that the memmap takes told apart."""
    machine = boot(kernel=kernel, cmdline=ON)
    machine.add_memory(driver="acpi", name="d", size="128M")
    heard = listen(machine, monkeypatch)
    machine.online("d", zone="movable")
    machine.offline("d")

    online, offline = NAMES[kernel]
    assert heard == [f"MEM_{name} 32256+512" for name in (*online, *offline)]


@pytest.mark.parametrize(
    ("veto", "heard"),
    [
        ("MEM_PREPARE_ONLINE", ["PREPARE_ONLINE"]),
        ("MEM_GOING_ONLINE", ["PREPARE_ONLINE", "GOING_ONLINE", "CANCEL_ONLINE", "FINISH_OFFLINE"]),
        (
            "MEM_GOING_OFFLINE",
            ["PREPARE_ONLINE", "GOING_ONLINE", "ONLINE", "GOING_OFFLINE", "CANCEL_OFFLINE"],
        ),
        (None, ["PREPARE_ONLINE", "GOING_ONLINE", "ONLINE"]),
    ],
)
def test_events_of_failure(boot: Boot, monkeypatch: pytest.MonkeyPatch, veto: str | None, heard: list[str]) -> None:
    """PREPARE_ONLINE ends at once; a block that cannot be isolated is no event at all."""
    machine = boot(kernel="linux-6.12", cmdline=ON, memory="1G")
    machine.add_memory(driver="acpi", name="d", size="128M")
    found = listen(machine, monkeypatch, veto)
    with pytest.raises(MemoryHotplugError, match="EBUSY"):
        whole_life(machine, crowded=veto is None)

    assert found == [f"MEM_{name} 32256+512" for name in heard]


def whole_life(machine: Machine, *, crowded: bool) -> None:
    """Take a device online and offline again, with kernel pages in it if it is crowded."""
    machine.online("d", zone="kernel" if crowded else "movable")
    if crowded:
        machine.allocate("app", "1000M", zone="kernel")
    machine.offline("d")


def listen(machine: Machine, monkeypatch: pytest.MonkeyPatch, veto: str | None = None) -> list[str]:
    """Return the list that the events of a machine are written to."""
    heard: list[str] = []
    tell = machine.kernel.notify

    def notify(event: Any, start_pfn: int, nr_pages: int, altmap_pages: int = 0) -> None:
        heard.append(f"{event.name} {nr_pages - altmap_pages}+{altmap_pages}")
        if event.name == veto:
            raise MemoryHotplugError(16, "no")
        tell(event, start_pfn, nr_pages, altmap_pages)

    monkeypatch.setattr(machine.kernel, "notify", notify)
    return heard


def test_arm64_boot_memory_is_isolated_before_the_veto(boot: Boot, refused: Refused) -> None:
    """EPERM for a block that could leave, EBUSY for one with unmovable pages."""
    machine = boot(arch="arm64", kernel="linux-6.12", memory="4G")
    names = [refused(machine.offline, f"block {block}").name for block in (8, 20)]

    assert names == ["EBUSY", "EPERM"]


def test_a_refused_word_is_remembered_by_the_file_online(boot: Boot, refused: Refused) -> None:
    """online_movable of an online block is EINVAL, and yet what a later echo 1 > online does."""
    machine = dimm(boot)
    machine.online("block 39", zone="kernel")  # the zone's first slab goes there, and block 32 can leave
    machine.online("block 32", zone="kernel")
    problem = refused(machine.write, "memory/memory32/state", "online_movable")
    assert problem.name == "EINVAL"
    machine.write("memory/memory32/online", "0")
    machine.write("memory/memory32/online", "1")
    assert machine.read("memory/memory32/valid_zones") == "Movable\n"

    machine.write("memory/memory32/online", "0")
    machine.write("memory/memory32/online", "1")  # that was once
    assert machine.read("memory/memory32/valid_zones") == "Normal\n"


def test_auto_onlining_stops_at_the_first_that_fails(boot: Boot) -> None:
    """The add succeeds; later blocks are not tried."""
    machine = boot(kernel="linux-6.12", cmdline=f"{ON} memhp_default_state=online_movable")
    machine.add_memory(driver="acpi", name="a", size="256M")
    machine.add_memory(driver="acpi", name="b", size="256M", veto={"event": "MEM_GOING_ONLINE", "errno": "ENOMEM"})

    blocks: list[dict[str, Any]] = machine.to_dict()["blocks"]  # type: ignore[assignment]  # plain JSON
    assert [(block["state"], block["zone"]) for block in blocks if block["device"]] == [
        ("online", "Movable"),
        ("online", "Movable"),
        ("offline", None),
        ("offline", None),
    ]


def test_a_node_is_there_from_the_add_to_the_removal(boot: Boot) -> None:
    """has_memory follows the first online and the last offline."""
    machine = boot(kernel="linux-6.12", cmdline=ON)

    def nodes() -> tuple[str, str]:
        return machine.read("node/online").strip(), machine.read("node/has_memory").strip()

    seen = [nodes()]
    machine.add_memory(driver="acpi", name="d", size="256M", node=2)
    seen.append(nodes())
    for operation in (machine.online, machine.offline, machine.remove):
        operation("d")
        seen.append(nodes())

    assert seen == [("0", "0"), ("0,2", "0"), ("0,2", "0,2"), ("0,2", "0"), ("0", "0")]


@pytest.mark.parametrize(("keys", "block", "device"), [({}, 4, 4), ({"rzm": "64M"}, 4, 16), ({"rzm": "1G"}, 3, 3)])
def test_phys_device_of_s390_counts_increments(boot: Boot, keys: dict[str, str], block: int, device: int) -> None:
    """Blocks have 256 MiB, or the size of an increment if that is more."""
    machine = boot(arch="s390", kernel="linux-6.12", **keys)

    assert machine.read(f"memory/memory{block}/phys_device") == f"{device}\n"
    assert boot(kernel="linux-6.12").read("memory/memory4/phys_device") == "0\n"


@pytest.mark.parametrize(("bits", "kept"), [(46, 1), (52, 0)])
def test_upper_page_tables_of_x86_64_leave_with_five_levels(boot: Boot, bits: int, kept: int) -> None:
    """Memory at 1 TiB needs a PUD table for the direct map, which four levels never give back."""
    machine = boot(kernel="linux-6.12", cmdline=ON, physical_address_bits=bits)
    machine.add_memory(driver="acpi", name="d", size="1G", address="1T")
    machine.remove("d")

    assert machine.kernel.state.page_tables["direct-pud"].total == 1 + kept
