"""``mhp compare``: what people type, and what comes back."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.kernels import MAINLINE_LIST

Mhp = Callable[..., Any]
Write = Callable[..., Any]

STEPS = ("add: {driver: acpi, name: dimm0, size: 1G}", "online: {range: dimm0, zone: movable}")


def test_a_table_with_a_column_for_each_combination(mhp: Mhp, scenario: Write) -> None:
    """Status 0 whatever is in it."""
    path = scenario(*STEPS)
    done = mhp(
        "compare", path, "--vary", "drivers.acpi.mhp_flags=none,device", "--vary", "machine.kernel=v2-2019,linux-6.12"
    )
    lines = done.out.splitlines()

    assert (done.status, done.err) == (0, "")
    assert lines[0].split() == ["1", "2", "3", "4"]
    assert lines[1].split() == ["drivers.acpi.mhp_flags", "none", "none", "device", "device"]
    assert lines[2].split() == ["machine.kernel", "v2-2019", "linux-6.12", "v2-2019", "linux-6.12"]
    assert lines[3].split() == ["result", "ok", "ok", "ok", "refused"]


def test_json_is_one_object(mhp: Mhp, scenario: Write) -> None:
    """With the scenario's name."""
    done = mhp("compare", scenario(*STEPS), "--vary", "steps.0.add.size=1G,2G", "--json")
    document = json.loads(done.out)

    assert (done.status, document["scenario"], document["ok"]) == (0, "s.yaml", True)
    assert [entry["memmap"]["self_hosted_pages"] for entry in document["variants"]] == [4096, 8192]


def test_csv_is_tidy(mhp: Mhp, scenario: Write) -> None:
    """Quoted where a value has a comma."""
    done = mhp("compare", scenario(*STEPS), "--vary", "drivers.acpi.mhp_flags=[device, memblock],none", "--csv")
    lines = done.out.splitlines()

    assert done.status == 0
    assert lines[0] == ("variant,drivers.acpi.mhp_flags,arch,kernel,page_size,measure,node,zone,device,value,unit")
    assert lines[1] == '1,"[device, memblock]",x86_64,v2-2019,4096,result,,,,ok,text'


def test_without_vary_the_scenario_is_measured_as_it_is(mhp: Mhp, scenario: Write) -> None:
    """One column."""
    done = mhp("compare", scenario(*STEPS))

    assert done.status == 0
    assert [line.split() for line in done.out.splitlines()[:2]] == [["1"], ["result", "ok"]]


@pytest.mark.parametrize(
    ("args", "error"),
    [
        (
            ["--vary", "machine.kernel=linux-9"],
            "--vary machine.kernel=linux-9: got linux-9, expected an installed kernel, one of: "
            f"{MAINLINE_LIST}, v2-2019",
        ),
        (
            ["--vary", "steps.0.add.size=1G,1.5G"],
            "--vary steps.0.add.size=1.5G: got 1.5G, expected a size such as 128M, 1GiB or 0x8000000; "
            "fractions are not accepted, write the next smaller unit",
        ),
        (["--vary", "x"], "--vary: got x, expected KEY=VALUE,VALUE… such as machine.kernel=v2-2019,linux-6.12"),
        (["--json", "--csv"], "give one of --json and --csv; see 'mhp compare --help'"),
    ],
)
def test_a_value_that_is_refused_ends_with_status_2(mhp: Mhp, scenario: Write, args: list[str], error: str) -> None:
    """Naming --vary, not a line of the file."""
    done = mhp("compare", scenario(*STEPS), *args)

    assert done.status == 2
    assert done.err.startswith(f"mhp: {error}")


def test_a_scenario_that_is_not_there_is_refused(mhp: Mhp) -> None:
    """As run says it."""
    done = mhp("compare", "nowhere.yaml", "--vary", "machine.kernel=v2-2019")

    assert done.status == 2
    assert done.err == ("mhp: nowhere.yaml: got No such file or directory, expected a scenario file that can be read\n")


def test_the_help_has_the_exit_statuses(mhp: Mhp) -> None:
    """Of all three commands."""
    for name in ("align", "compare", "snapshot"):
        done = mhp(name, "--help")
        assert done.status == 0
        assert "Exit status:" in done.out
