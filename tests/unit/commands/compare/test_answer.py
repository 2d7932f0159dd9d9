"""What comes of the variations: costs, zones, huge pages, what can be removed, and what failed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from memhotplug.commands.compare.answer import Compared, Failure
from memhotplug.commands.compare.measure import Measures, ZoneMeasure
from memhotplug.errors import InputError

Compare = Callable[..., list[Compared]]

MIB = 1 << 20
PAGES_2G = 524288
ADD = "add: {driver: acpi, name: dimm0, size: 2G}"
FLAGS = "drivers.acpi.mhp_flags=none,device,memblock"


def _measures(entry: Compared) -> Measures:
    assert entry.measures is not None
    return entry.measures


def _zone(entry: Compared, name: str) -> ZoneMeasure:
    return next(zone for zone in _measures(entry).zones if zone.zone == name)


def test_the_three_policies_of_the_series_cost_the_same_in_different_places(compared: Compare) -> None:
    """2 GiB need 8192 pages of memmap: from boot memory, or out of the DIMM."""
    none, device, memblock = compared(FLAGS)

    assert [(_measures(e).self_hosted, _measures(e).allocated) for e in (none, device, memblock)] == [
        (0, 8192),
        (8192, 0),
        (8192, 0),
    ]
    assert [_zone(entry, "Movable").usable for entry in (none, device, memblock)] == [
        PAGES_2G,
        PAGES_2G - 8192,
        PAGES_2G - 8192,
    ]
    assert _zone(device, "DMA32").usable - _zone(none, "DMA32").usable == 8192
    assert all(entry.ok and not entry.violations for entry in (none, device, memblock))


def test_huge_pages_are_lost_where_blocks_begin_with_memmap(compared: Compare) -> None:
    """Of the two GiB, both remain, one, or none."""
    found = compared(FLAGS)

    assert [_zone(entry, "Movable").huge_pages for entry in found] == [2, 1, 0]
    assert [_zone(entry, "Movable").largest_free_run for entry in found] == [PAGES_2G, PAGES_2G - 8192, 32768 - 512]


def test_what_can_be_removed_is_tried_out(compared: Compare) -> None:
    """A device-wide memmap lies in its first block: without it, the others would have none."""
    found = [entry.removable[0] for entry in compared(FLAGS)]

    assert [(entry.device, entry.unit, entry.size, entry.sampled) for entry in found] == [
        ("dimm0", "block", 128 * MIB, False),
        ("dimm0", "device", 2048 * MIB, False),
        ("dimm0", "block", 128 * MIB, False),
    ]
    assert [entry.problem for entry in found] == [
        None,
        "I11: the memmap of blocks 33-47 lies in removed memory (8192 pages)",
        None,
    ]


def test_ranges_of_a_device_may_be_the_unit(compared: Compare) -> None:
    """Two resources, each with a memmap of its own."""
    steps = ("add: {driver: acpi, name: dimm0, resources: [1G, 512M]}",)
    found = compared("drivers.acpi.mhp_flags=device", steps=steps)[0].removable[0]

    assert (found.unit, found.size) == ("range", 1024 * MIB)


def test_pinned_memory_cannot_be_removed_at_all(compared: Compare) -> None:
    """The reason is that of the kernel."""
    pinned = "allocate: {name: app, size: 1920M, zone: movable, pinned: true}"
    steps = (ADD, "online: {range: dimm0, zone: movable}", pinned)
    found = compared(steps=steps)[0].removable[0]

    assert (found.unit, found.size) == (None, None)
    assert found.problem is not None
    assert found.problem.startswith("EINTR: ")


def test_what_migrates_does_not_stand_in_the_way_of_a_huge_page(compared: Compare) -> None:
    """Movable pages can be moved away, pinned ones cannot."""
    steps = (ADD, "online: {range: dimm0, zone: movable}", "allocate: {name: app, size: 2G, zone: movable}")
    free, pinned = compared("steps.2.allocate.pinned=false,true", "steps.0.add.mhp_flags=none", steps=steps)

    assert (_zone(free, "Movable").huge_pages, _zone(pinned, "Movable").huge_pages) == (2, 0)
    assert _zone(free, "Movable").usable == _zone(pinned, "Movable").usable == PAGES_2G


def test_a_large_device_is_sampled(compared: Compare) -> None:
    """1024 blocks: the first and the last are among those tried."""
    found = compared("drivers.acpi.mhp_flags=none,device", steps=("add: {driver: acpi, name: dimm0, size: 128G}",))

    assert [(entry.removable[0].unit, entry.removable[0].sampled) for entry in found] == [
        ("block", True),
        ("device", False),
    ]


def test_a_kernel_that_lacks_a_flag_refuses_and_the_others_run(compared: Compare) -> None:
    """Mainline knows no MHP_MEMMAP_DEVICE: that column says so, without a place in the file."""
    series, mainline = compared("machine.kernel=v2-2019,linux-6.12", "drivers.acpi.mhp_flags=device")

    assert series.ok
    assert (mainline.ok, mainline.outcome, mainline.measures) == (False, "refused", None)
    assert mainline.refused is not None
    assert mainline.refused.startswith("drivers.acpi.mhp_flags: got device, expected an MHP flag of linux-6.12: none")


def test_if_nothing_can_be_run_that_is_an_error(compared: Compare) -> None:
    """The one of the first."""
    with pytest.raises(InputError) as caught:
        compared("machine.kernel=linux-6.1,linux-6.12", "drivers.acpi.mhp_flags=device")

    assert "an MHP flag of linux-6.1:" in str(caught.value)


def test_a_step_that_is_refused_is_an_outcome_and_the_next_follows(compared: Compare) -> None:
    """All are measured at the same moment, whatever became of the steps before."""
    good, bad = compared("steps.0.add.address=0x100000000,0x100200000")

    assert (good.outcome, good.failures) == ("ok", ())
    online = Failure(step=1, op="online", errno="ENOENT", message="there is no memory block of 'dimm0'")
    assert bad.failures == (
        Failure(
            step=0,
            op="add",
            errno="EINVAL",
            message="Block size [0x8000000] unaligned hotplug range: start 0x100200000, size 0x80000000",
        ),
        online,
    )
    assert good.measured_after == bad.measured_after == (1, "online")
    assert bad.outcome == "add (step 0): EINVAL"
    assert (_measures(bad).self_hosted, bad.removable) == (0, ())


def test_a_step_that_should_have_failed_is_a_failure_too(compared: Compare) -> None:
    """Without an errno of its own."""
    entry = compared(steps=(ADD, "remove: {range: dimm0, fails: EBUSY}"))[0]

    assert entry.outcome == "remove (step 1): not as expected"
    assert entry.failures[0].message == "succeeded, expected to fail with EBUSY"


def test_expectations_are_left_out(compared: Compare) -> None:
    """They say what one variation gives; the numbers of the steps stay."""
    steps = (ADD, "expect: {zone: Movable, managed: 1}", "online: {range: block 99}")
    entry = compared(steps=steps)[0]

    assert [(failure.step, failure.op) for failure in entry.failures] == [(2, "online")]


def test_broken_invariants_are_told(compared: Compare) -> None:
    """The first block of a DEVICE memmap goes away, all others are left without."""
    entry = compared("drivers.acpi.mhp_flags=device", steps=(ADD, "remove: {range: block 32}"))[0]

    assert entry.violations[0] == "I11: the memmap of blocks 33-47 lies in removed memory (8192 pages)"


def test_architectures_compare_too(compared: Compare) -> None:
    """Each with its own block size."""
    found = compared("machine.arch=x86_64,arm64,s390", "machine.kernel=linux-6.12", steps=(ADD.replace("acpi", "dax"),))

    assert [(entry.arch, entry.kernel, entry.ok) for entry in found] == [
        ("x86_64", "linux-6.12", True),
        ("arm64", "linux-6.12", True),
        ("s390", "linux-6.12", True),
    ]
    assert [_measures(entry).memory_block_size // MIB for entry in found] == [128, 128, 256]


def test_memory_that_is_taken_out_again_is_measured_while_it_was_there(compared: Compare) -> None:
    """A scenario that ends as it began has its costs at the last moment at which most memory was online."""
    steps = (ADD, "online: {range: dimm0, zone: movable}", "offline: {range: dimm0}", "remove: {range: dimm0}")

    found = compared("drivers.acpi.mhp_flags=none,device", steps=steps)

    assert [entry.measured_after for entry in found] == [(1, "online")] * 2
    assert [(_measures(entry).self_hosted, _measures(entry).allocated) for entry in found] == [(0, 8192), (8192, 0)]
    assert [entry.removable[0].unit for entry in found] == ["block", "device"]
    assert all(entry.violations == () for entry in found)


def test_without_hot_added_memory_the_end_is_measured(compared: Compare) -> None:
    """A workload alone: after the last step; and boot itself where the very first step fails."""
    last = compared("machine.kernel=v2-2019", steps=("allocate: {name: a, size: 1M}", "release: {name: a}"))
    first = compared("machine.kernel=v2-2019", steps=("add: {driver: acpi, size: 100M}",))

    assert [entry.measured_after for entry in (*last, *first)] == [(1, "release"), (0, "add")]
