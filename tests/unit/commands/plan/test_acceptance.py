"""Cases from the field, each with the number that its reporter wanted."""

from __future__ import annotations

import pytest
from tests.unit.commands.plan.conftest import Ask, Document, Plan

from memhotplug.commands.plan.answer import answer
from memhotplug.commands.plan.document import to_document
from memhotplug.commands.plan.question import Question
from memhotplug.commands.plan.sources import from_boot

GIB = 1 << 30
MIB = 1 << 20
AUTO_MOVABLE = "memory_hotplug.online_policy=auto-movable memory_hotplug.auto_movable_ratio="


@pytest.mark.parametrize(("ratio", "movable"), [(301, 24), (300, 0)])
def test_8_gib_take_24_gib_movable_at_301_percent_and_not_at_300(ratio: int, movable: int, ask: Ask) -> None:
    """A few absent pages below 1 MiB are why the default is not 300; a DIMM goes as a whole."""
    document = ask(8 * GIB, 24 * GIB, cmdline=f"{AUTO_MOVABLE}{ratio}")

    gained = {zone["zone"]: zone["gained_bytes"] // GIB for zone in document["zones"] if zone["gained_bytes"]}
    assert gained == ({"Movable": movable} if movable else {"Normal": 24})


def test_24_dimms_of_1_gib_at_300_percent_leave_one_in_the_kernel_zone(ask: Ask) -> None:
    """Group by group: the last one does not fit under the ratio any more."""
    document = ask(8 * GIB, *(GIB,) * 24, cmdline=f"{AUTO_MOVABLE}300")

    assert document["policies"][0]["zones"] == {"0 Normal": GIB, "0 Movable": 23 * GIB}


@pytest.mark.parametrize(
    ("mode", "warnings", "lost_pages"),
    [("force", ["Memory hotplug will waste 28 pages in each memory block"], 32), ("Y", [], 0)],
)
def test_a_memmap_that_fills_no_pageblock_wastes_pages_and_the_kernel_says_so(
    mode: str, warnings: list[str], lost_pages: int
) -> None:
    """powerpc with 64K pages and blocks of 256 MiB: 4 pages of memmap in each, 32 kept, and Y refuses that."""
    line = f"memory_hotplug.memmap_on_memory={mode}"
    subject = from_boot(4 * GIB, arch="powerpc", kernel="linux-6.12", profile="lean", cmdline=line, block_size=GIB // 4)
    document: Document = to_document(answer(subject, Question(sizes=(GIB,), driver="pseries")))

    assert document["warnings"] == warnings
    assert document["sizes"]["usable_bytes"] == GIB - 4 * lost_pages * 65536


def test_a_memmap_that_fills_its_pageblocks_wastes_nothing(ask: Ask) -> None:
    """x86_64 with blocks of 128 MiB: 512 pages are one pageblock."""
    document = ask(4 * GIB, GIB, cmdline="memory_hotplug.memmap_on_memory=force")

    assert (document["warnings"], document["sizes"]["usable_bytes"]) == ([], GIB - 16 * MIB)


def test_128_gib_emit_1024_add_events(ask: Ask) -> None:
    """One for each block of 128 MiB; a listener that keeps 256 of them onlines 32 GiB."""
    events = ask(4 * GIB, 128 * GIB, online="none")["uevents"]

    assert events == {"add": 1024, "online": 0, "node": 0, "total": 1024, "kept_online_bytes": 32 * GIB}


def test_boot_memory_of_4_gib_flips_the_verdict_and_the_flip_point_is_named(ask: Ask) -> None:
    """2 GiB cannot take 121 GiB; the report says from where on it would fit, and it is so."""
    small, large = ask(2 * GIB, 121 * GIB), ask(4 * GIB, 121 * GIB)
    flip = small["fits_from_boot_bytes"]

    assert (small["verdict"], large["verdict"]) == ("does-not-fit", "fits")
    assert 2 * GIB < flip <= 4 * GIB
    assert ask(flip, 121 * GIB)["verdict"] != "does-not-fit"
    assert ask(flip - 128 * MIB, 121 * GIB)["verdict"] == "does-not-fit"
    assert large["fits_from_boot_bytes"] is None


def test_12_gib_take_192_mib_in_96_chunks_of_order_9(ask: Ask) -> None:
    """The cost of the case that everybody quotes, to the page."""
    memmap = ask(256 * MIB, 12 * GIB)["memmap"]

    assert memmap["bytes"] == memmap["allocated_bytes"] == 192 * MIB
    assert (memmap["pages"], memmap["order"], memmap["blocks"], memmap["fallback_pages"]) == (49152, 9, 96, 0)
    assert memmap["by_order"] == [{"order": 9, "chunks": 96, "pages": 49152}]
    assert sum(memmap["by_zone"].values()) == 192 * MIB
    assert memmap["block_object_pages"] == 144


def test_15_gib_fail_with_nothing_in_sysfs_and_the_memmap_left_behind(ask: Ask) -> None:
    """0 of 120 blocks; what the failed add leaves allocated is named, and so is what is missing."""
    document = ask(256 * MIB, 15 * GIB)

    assert document["reason"] == {
        "rule": "memmap",
        "node": 0,
        "zone": "DMA32",
        "short_bytes": 240 * MIB - 50814 * 4096,
        "text": (
            "the memmap of 15G takes 240M, kernel zones can give 198.5M above their min watermarks; 0 of 120 blocks "
            "appear (ENOMEM: vmemmap alloc failure: order:0, for pfn 0x419f40; left behind: 99 sections from pfn "
            "0x100000 on with 198M of memmap)"
        ),
    }
    assert document["uevents"]["total"] == 0
    assert document["sizes"] == {
        "requested_bytes": 15 * GIB,
        "added_bytes": 0,
        "online_bytes": 0,
        "usable_bytes": 0,
    }


def test_onlining_movable_makes_a_second_step_useless(ask: Ask) -> None:
    """Memmap cannot come from Movable, so only steps that are onlined into a kernel zone reach 128 GiB."""
    ways = {one["name"]: one for one in ask(GIB, 128 * GIB)["policies"] if one["kind"] == "online"}

    assert sum(ways["kernel"]["safe_steps"]) == 128 * GIB
    assert sum(ways["movable"]["safe_steps"]) < 57 * GIB


def test_self_hosting_lifts_the_limit_and_costs_16_mib_a_gib(ask: Ask) -> None:
    """memmap_on_memory: no page of boot memory but the objects; usable is less by the memmap."""
    modes = {one["name"]: one for one in ask(256 * MIB, 15 * GIB)["policies"] if one["kind"] == "memmap"}

    assert {name: one["verdict"] for name, one in modes.items()} == {
        "memmap_on_memory=N": "does-not-fit",
        "memmap_on_memory=Y": "fits",
        "memmap_on_memory=force": "fits",
    }
    assert modes["memmap_on_memory=Y"]["usable_bytes"] == 15 * GIB - 240 * MIB
    assert modes["memmap_on_memory=N"]["current"] is True


@pytest.mark.parametrize("driver", ["virtio_mem", "hv_balloon", "xen"])
def test_memmap_on_memory_does_nothing_for_drivers_that_never_ask_for_it(driver: str, ask: Ask) -> None:
    """Their documentation says otherwise here and there."""
    document = ask(4 * GIB, 8 * GIB, driver=driver, cmdline="memory_hotplug.memmap_on_memory=1")

    assert document["memmap"]["source"] == "page allocator"
    assert {one["memmap"]["self_hosted_pages"] for one in document["policies"]} == {0}


def test_a_pci_hole_above_memory_is_what_limits_a_large_machine(
    plan: Plan,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """The largest add ends where something else lies in the address space, and says what."""
    import json

    from tests.unit.commands.plan.conftest import capacity_table, write_snapshot

    root = write_snapshot(tmp_path_factory.mktemp("hole"), capacity_table()[2])
    _, out, _ = plan("--from", root, "--add", "300G", "--online", "none", "--json")
    largest = json.loads(out)["largest_single_add"]

    assert largest["clean_bytes"] == 0x6900000000 - 0x100000000
    assert largest["limit"]["rule"] == "occupied"
    assert largest["limit"]["text"] == (
        "EEXIST: 0x0000000100000000-0x0000006907ffffff overlaps PCI Bus 0000:00 at "
        "0x0000006900000000-0x000000697fffffff"
    )
