"""A comparison as text, as JSON and as a tidy table."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable

from tests.unit.commands.compare.conftest import STEPS

from memhotplug.commands.compare.answer import Compared
from memhotplug.commands.compare.text import compare_lines, to_csv, to_document

Compare = Callable[..., list[Compared]]

FLAGS = "drivers.acpi.mhp_flags=none,device,memblock"
KERNELS = "machine.kernel=v2-2019,linux-6.12"


def test_the_table_has_one_column_a_variation(compared: Compare) -> None:
    """What does not fit into a cell stands below it."""
    assert list(compare_lines(compared(FLAGS))) == [
        "                                  1           2            3",
        "drivers.acpi.mhp_flags         none      device     memblock",
        "result                           ok          ok           ok",
        "memmap, self-hosted              0B         32M          32M",
        "memmap, allocated               32M          0B           0B",
        "page tables                      0B          0B           0B",
        "memmap on node 0                32M         32M          32M",
        "usable, node 0 DMA              15M         15M          15M",
        "usable, node 0 DMA32          3936M       3968M        3968M",
        "usable, node 0 Movable           2G       2016M        2016M",
        "largest free run            3903.9M     3935.9M      3935.9M",
        "1G pages formable                 4           3            2",
        "dimm0 removable by     block (128M) device (2G) block (128M)",
        "broken invariants                 0           0            0",
        "",
        "Measured after step 1 (online)",
        "",
        "Notes:",
        "  2: dimm0 can be removed only as a whole device: I11: the memmap of blocks 33-47 lies in removed memory "
        "(8192 pages)",
    ]


def test_refusals_and_failures_stand_below_the_table(compared: Compare) -> None:
    """A column that did not run has dashes."""
    lines = list(compare_lines(compared("drivers.acpi.mhp_flags=device", KERNELS, "steps.0.add.size=1G,100M")))

    assert lines[3].split() == ["steps.0.add.size", "1G", "100M", "1G", "100M"]
    assert lines[4].split() == ["result", "ok", "add", "(step", "0):", "EINVAL", "refused", "refused"]
    assert next(line for line in lines if line.startswith("1G pages")).split()[-2:] == ["-", "-"]
    assert [line.split(":")[0].strip() for line in lines[lines.index("Notes:") + 1 :]] == ["1", "2", "2", "3", "4"]
    assert any(
        line.startswith("  2: steps[0].add: EINVAL: Block size [0x8000000] unaligned hotplug range:") for line in lines
    )
    assert any(line.startswith("  3: refused: drivers.acpi.mhp_flags: got device, expected an MHP") for line in lines)


def test_a_device_that_stays_says_why(compared: Compare) -> None:
    """In a sentence below the table."""
    pinned = ("allocate: {name: app, size: 5000M, zone: movable, pinned: true}",)
    lines = list(compare_lines(compared("drivers.acpi.mhp_flags=none", steps=(*STEPS, *pinned))))
    assert next(line for line in lines if line.startswith("dimm0 removable by")).split()[-1] == "nothing"
    assert any(line.startswith("  1: dimm0 cannot be removed: EINTR: ") for line in lines)


def test_a_comparison_of_one_has_nothing_to_vary(compared: Compare) -> None:
    """Still a table."""
    lines = list(compare_lines(compared("drivers.acpi.mhp_flags=none")))

    assert lines[2].split() == ["result", "ok"]
    assert "Notes:" not in lines


def test_json_has_every_key_for_every_variation(compared: Compare) -> None:
    """Null and empty where a variation could not run."""
    document = to_document(compared("drivers.acpi.mhp_flags=device", KERNELS), scenario="s.yaml")
    plain = json.loads(json.dumps(document))
    good, refused = plain["variants"]

    assert list(plain) == ["schema", "scenario", "ok", "vary", "variants"]
    assert (plain["ok"], plain["vary"]) == (False, ["drivers.acpi.mhp_flags", "machine.kernel"])
    assert list(good) == list(refused) == [
        "values", "arch", "kernel", "ok", "refused", "failures", "violations", "measured_after_step", "page_size",
        "memory_block_size", "memmap", "zones", "largest_free_run_bytes", "huge_pages_1g", "removable",
    ]  # fmt: skip
    assert good["memmap"] == {
        "self_hosted_pages": 8192,
        "allocated_pages": 0,
        "page_table_pages": 0,
        "by_node": {"0": 8192},
        "bytes": 32 << 20,
    }
    assert good["removable"] == [
        {
            "device": "dimm0",
            "unit": "device",
            "bytes": 2 << 30,
            "sampled": False,
            "problem": "I11: the memmap of blocks 33-47 lies in removed memory (8192 pages)",
        }
    ]
    assert (refused["memmap"], refused["zones"], refused["removable"]) == (None, [], [])


def test_the_tidy_table_has_one_value_a_line(compared: Compare) -> None:
    """Sizes in bytes, every line with its unit and its variation."""
    text = to_csv(compared(FLAGS, KERNELS))
    rows = list(csv.DictReader(io.StringIO(text)))
    hosted = {
        (row["drivers.acpi.mhp_flags"], row["machine.kernel"]): row["value"]
        for row in rows
        if row["measure"] == "memmap_self_hosted"
    }

    assert list(rows[0]) == [
        "variant", "drivers.acpi.mhp_flags", "machine.kernel", "arch", "kernel", "page_size", "measure", "node",
        "zone", "device", "value", "unit",
    ]  # fmt: skip
    assert hosted == {
        ("none", "v2-2019"): "0",
        ("none", "linux-6.12"): "0",
        ("device", "v2-2019"): str(32 << 20),
        ("memblock", "v2-2019"): str(32 << 20),
    }
    assert {row["unit"] for row in rows} == {"bytes", "count", "text"}
    results = [row["value"] for row in rows if row["measure"] == "result"]
    assert results == ["ok", "ok", "ok", "refused", "ok", "refused"]


def test_the_same_comparison_gives_the_same_text(compared: Compare) -> None:
    """Nothing depends on time or chance."""
    assert to_csv(compared(FLAGS)) == to_csv(compared(FLAGS))


def test_variations_that_do_not_fit_beside_one_another_stand_below(compared: Compare) -> None:
    """Each table has the names of the rows, and as many columns as there is room for."""
    whole = list(compare_lines(compared(FLAGS)))
    lines = list(compare_lines(compared(FLAGS), width=50))
    assert max(len(line) for line in lines[: lines.index("Notes:")]) <= 50
    assert [line.split() for line in lines if line.strip() in ("1 2", "1           2", "3")] == [["1", "2"], ["3"]]
    assert [line for line in lines if line.startswith("memmap, self-hosted")] == [
        "memmap, self-hosted              0B         32M",
        "memmap, self-hosted             32M",
    ]
    assert list(compare_lines(compared(FLAGS), width=len(whole[0]))) == whole


def test_long_values_are_told_apart(compared: Compare) -> None:
    """They begin alike: the table has a number for each, the lines below it all of them."""
    one, other = "memory_hotplug.memmap_on_memory=force memhp_default_state=", "online_movable"
    axis = f"machine.cmdline={one}online,{one}{other}"
    lines = list(compare_lines(compared("machine.kernel=linux-6.12", axis)))
    assert next(line for line in lines if line.startswith("machine.cmdline")).split()[1:] == ["[1]", "[2]"]
    assert f"[1] machine.cmdline={one}online" in lines
    assert f"[2] machine.cmdline={one}{other}" in lines
