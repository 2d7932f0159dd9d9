"""Assertions: which hold, and what is said of those that do not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from memhotplug.commands.run.runner import RunResult

Run = Callable[..., RunResult]

ADD = "add: {driver: acpi, name: dimm0, size: 1G, mhp_flags: device}"
ONLINE = "online: {range: dimm0, zone: movable}"


@pytest.mark.parametrize(
    "expectation",
    [
        "zone: Movable, managed: 258048, present: 262144, spanned: 262144, free: 258048, start_pfn: 1048576",
        "zone: Movable, node: 0, managed: 258048",
        "zone: Movable, node: 7, managed: 0",
        "zone: Normal, present: 0",
        "block: 32, state: online, zone: Movable, node: 0, device: dimm0, valid_zones: [Movable]",
        "block: 32, vmemmap_pages: 4096, usable_pages: 28672",
        "range: dimm0, state: online, vmemmap_pages: 4096, usable_pages: 258048",
        "range: block 32-39, device: dimm0",
        "range: 0x100000000+1G, zone: Movable",
        "range: block 40-41, state: absent",
        "range: 0x200000000+1G, state: absent",
        "block: 99, state: absent",
        "head: 1048576, nr_pages: 4096, refcount: 8, private: 4096",
        "self_hosted_pages: 4096, allocated_pages: 0",
        "memmap_pages: 4096",
        "memmap_pages: 0, node: 1",
        "path: memory/memory32/state, value: online",
        'path: memory/memory32/state, value: "online\\n"',
        "path: /sys/devices/system/memory/memory32/state, value: online",
        "violations: 0, warnings: 0",
        "violations: [], warnings: []",
    ],
)
def test_what_is_true_holds(run: Run, expectation: str) -> None:
    """A dimm of 1 GiB with its memmap at its beginning, all of it movable."""
    assert run(ADD, ONLINE, f"expect: {{{expectation}}}").failure is None


@pytest.mark.parametrize(
    ("expectation", "message"),
    [
        ("zone: Movable, managed: 1", "zone Movable of node 0: managed is 258048, expected 1"),
        (
            "zone: Movable, managed: 1, free: 2",
            "zone Movable of node 0: managed is 258048, expected 1; zone Movable of node 0: free is 258048, expected 2",
        ),
        ("zone: Movable, node: 3, managed: 1", "there is no node 3: managed is 0, expected 1"),
        ("block: 33, state: offline", "memory block 33: state is online, expected offline"),
        ("range: dimm0, zone: Normal", "memory block 32: zone is Movable, expected Normal"),
        ("range: dimm0, node: 1", "memory block 32: node is 0, expected 1"),
        ("block: 1, device: dimm0", "memory block 1: device is none, expected dimm0"),
        ("range: dimm0, usable_pages: 1", "dimm0: usable_pages is 258048, expected 1"),
        ("range: block 32-33, vmemmap_pages: 1", "block 32-33: vmemmap_pages is 4096, expected 1"),
        (
            "block: 32, valid_zones: [Normal, Movable]",
            "memory block 32: valid_zones is Movable, expected Normal/Movable",
        ),
        ("block: 0, valid_zones: [DMA32]", "memory block 0: valid_zones is none, expected DMA32"),
        ("block: 99, state: online", "block 99: there is no such memory block"),
        ("range: block 38-41, state: online", "block 38-41: there is no memory block 40"),
        ("range: block 0-999999999999999, state: online", "block 0-999999999999999: there is no memory block 40"),
        ("range: block 39-45, state: absent", "block 39-45: memory block 39 exists, expected none"),
        (
            "range: 0x100001000+128M, state: online",
            "0x100001000+128M: this is not made of whole memory blocks of 0x8000000 bytes",
        ),
        ("head: 1048576, refcount: 1", "the memmap at pfn 1048576: refcount is 8, expected 1"),
        ("head: 5, refcount: 1", "no self-hosted memmap begins at pfn 5"),
        ("self_hosted_pages: 1", "self_hosted_pages is 4096, expected 1"),
        ("memmap_pages: 1, node: 0", "memmap_pages is 4096, expected 1"),
        ("path: memory/memory32/state, value: offline", "memory/memory32/state is 'online', expected 'offline'"),
        (
            "path: memory/memory99/state, value: online",
            "memory/memory99/state cannot be read (ENOENT: there is no memory block 99), expected 'online'",
        ),
        (
            "path: memory/memory99/state, fails: EACCES",
            "reading memory/memory99/state failed with ENOENT (there is no memory block 99), expected EACCES",
        ),
        (
            "path: memory/memory32/state, fails: ENOENT",
            "memory/memory32/state reads 'online', expected it to fail with ENOENT",
        ),
        ("violations: 1", "the number of violations is 0, expected 1"),
        ("violations: [I11]", "the violations are not as expected (I11): there are none"),
    ],
)
def test_what_is_not_true_is_said_with_what_is(run: Run, expectation: str, message: str) -> None:
    """Got and expected, in words; no errno."""
    record = run(ADD, ONLINE, f"expect: {{{expectation}}}").steps[-1]

    assert (record["ok"], record["errno"], record["message"]) == (False, None, message)


def test_reading_that_fails_as_expected_keeps_its_errno(run: Run) -> None:
    """An expected failure is ok, as for every step."""
    record = run("expect: {path: memory/probe, fails: EACCES}").steps[0]

    assert (record["ok"], record["errno"]) == (True, "EACCES")
    assert record["message"] == "/sys/devices/system/memory/probe is write-only"


def test_memory_that_was_removed_is_absent(run: Run) -> None:
    """By the name that it had."""
    assert run(ADD, "remove: {range: dimm0}", "expect: {range: dimm0, state: absent}").failure is None
    assert run(ADD, "expect: {range: dimm0, state: absent}").steps[-1]["message"] == (
        "dimm0: memory block 32 exists, expected none"
    )


def test_memory_that_was_removed_has_no_attributes(run: Run) -> None:
    """An expectation about nothing does not hold."""
    record = run(ADD, "remove: {range: dimm0}", "expect: {range: dimm0, state: offline}").steps[-1]

    assert record["message"] == "dimm0: there is no such memory"


def test_warnings_can_be_counted_and_quoted(run: Run) -> None:
    """A word of the command line that the kernel ignores is one warning."""
    head = (
        "schema: 1\nmachine: {arch: x86_64, kernel: v2-2019, memory: 4G, cmdline: memhp_default_state=maybe}\nsteps:\n"
    )
    text = "memhp_default_state=maybe is not known to v2-2019 and ignored"

    assert run("expect: {warnings: 1}", f"expect: {{warnings: ['{text}']}}", head=head).failure is None
    assert run("expect: {warnings: [other]}", head=head).steps[0]["message"] == (
        f"the warnings are not as expected (other): {text}"
    )
    assert (
        run("expect: {warnings: 0}", head=head).steps[0]["message"]
        == f"the number of warnings is 1, expected 0: {text}"
    )


def test_broken_invariants_can_be_named(run: Run) -> None:
    """By their short names, which stand at the beginning of each sentence."""
    from memhotplug.catalog import Installed
    from memhotplug.commands.run.expect import judge
    from memhotplug.formats.scenario import parse_args

    machine = run(ADD, ONLINE).machine.copy()
    zone = next(zone for zone in machine.kernel.state.zones() if zone.kind.label == "Movable")
    zone.managed += 1
    names = [text.partition(":")[0] for text in machine.violations()]

    assert names
    assert judge(machine, parse_args("expect", {"violations": names}, Installed())).problems == ()
    assert judge(machine, parse_args("expect", {"violations": names[1:]}, Installed())).problems != ()


def test_a_block_that_there_can_never_be_is_absent(run: Run) -> None:
    """Whatever its number is, as long as it is one that a range may have."""
    assert run("expect: {block: 999999999999999, state: absent}").failure is None
    assert run("expect: {range: block 0-999999999999999, node: 0}").failure is not None
