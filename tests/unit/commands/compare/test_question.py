"""The variations of a scenario."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.kernels import MAINLINE_LIST

from memhotplug.catalog import Installed
from memhotplug.commands.compare.question import MAX_VARIANTS, Variant, parse_axis, split_values, variants
from memhotplug.errors import InputError
from memhotplug.formats.scenario.yamltree import parse_tree

TEXT = """\
schema: 1
machine: {arch: x86_64, kernel: v2-2019, memory: 4G}
steps:
  - add: {driver: acpi, name: dimm0, size: 1G}
"""


def _variants(*axes: str, text: str = TEXT) -> list[Variant]:
    return variants(parse_tree(text), [parse_axis(axis) for axis in axes], catalog=Installed(), file="s.yaml")


def _error(*axes: str, text: str = TEXT) -> str:
    with pytest.raises(InputError) as caught:
        _variants(*axes, text=text)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("", [""]),
        ("a", ["a"]),
        ("a,b", ["a", "b"]),
        (" a , b ", ["a", "b"]),
        (",a", ["", "a"]),
        ("[a, b],c", ["[a, b]", "c"]),
        ('"a,b",c', ['"a,b"', "c"]),
        ("'[',b", ["'['", "b"]),
        ("{a: [1, 2]},b", ["{a: [1, 2]}", "b"]),
    ],
)
def test_commas_part_values_outside_of_quotes_and_brackets(text: str, values: list[str]) -> None:
    """As in a YAML list."""
    assert split_values(text) == values


@given(st.lists(st.text(alphabet="abc019.=-", max_size=5), min_size=1, max_size=5))
def test_plain_values_come_back(values: list[str]) -> None:
    """Whatever is joined by commas is parted by them."""
    assert split_values(",".join(values)) == values


def test_every_combination_in_the_order_given() -> None:
    """The last one changes fastest."""
    found = _variants("drivers.acpi.mhp_flags=none,[device, memblock]", "machine.kernel=v2-2019,linux-6.12")

    assert [variant.label for variant in found] == [
        "none, v2-2019",
        "none, linux-6.12",
        "[device, memblock], v2-2019",
        "[device, memblock], linux-6.12",
    ]
    assert found[3].values == {"drivers.acpi.mhp_flags": "[device, memblock]", "machine.kernel": "linux-6.12"}
    assert found[3].scenario.drivers["acpi"].mhp_flags == ("device", "memblock")


def test_without_anything_to_vary_there_is_one() -> None:
    """The scenario as it is."""
    assert [variant.values for variant in _variants()] == [{}]


def test_an_empty_value_is_called_none() -> None:
    """The key is left out."""
    assert [variant.label for variant in _variants("machine.cmdline=,quiet")] == ["(none)", "quiet"]


@pytest.mark.parametrize(
    ("axis", "error"),
    [
        (
            "machine.kernel=v2-2019,v3",
            f"--vary machine.kernel=v3: got v3, expected an installed kernel, one of: {MAINLINE_LIST}, v2-2019",
        ),
        (
            "drivers.acpi.mhp_flags=[device, bogus]",
            "--vary drivers.acpi.mhp_flags=[device, bogus]: got bogus, expected one of: none, device, memblock, "
            "on_memory, a kernel name such as MHP_MEMMAP_DEVICE, or a list of them; or default, the driver's own",
        ),
        (
            "steps.0.add.size=0",
            "--vary steps.0.add.size=0: got 0, expected a size such as 128M, 1GiB or 0x8000000, greater than 0",
        ),
        (
            "steps.1.online.range=dimm0",
            "--vary steps.1.online.range=dimm0: got steps[1], expected the path of a value that the scenario has",
        ),
        (
            "foo",
            "--vary: got foo, expected KEY=VALUE,VALUE… such as machine.kernel=v2-2019,linux-6.12",
        ),
        (
            "machine=x",
            "--vary: got machine, expected a path such as machine.kernel, drivers.acpi.mhp_flags or steps.0.add.size",
        ),
    ],
)
def test_a_value_that_the_format_refuses_names_the_option(axis: str, error: str) -> None:
    """No line of the file is at fault."""
    assert _error(axis) == error


def test_an_error_elsewhere_names_every_variation() -> None:
    """The driver dax has no key resources, so the file is wrong for that value only."""
    text = TEXT.replace("size: 1G", "resources: [1G]")

    assert _error("steps.0.add.driver=acpi,dax", "machine.memory=4G", text=text).startswith(
        "--vary steps.0.add.driver=dax, machine.memory=4G: steps[0].add.resources: got resources, expected one of"
    )


def test_a_scenario_that_is_wrong_by_itself_is_reported_with_its_line() -> None:
    """Not blamed on any variation."""
    assert _error("machine.kernel=v2-2019", text=TEXT.replace("1G", "1X")).startswith("s.yaml:4:44: steps[0].add.size")


def test_too_many_and_repeated_keys_are_refused() -> None:
    """Before anything is built."""
    sizes = ",".join(f"{number + 1}G" for number in range(MAX_VARIANTS + 1))

    assert _error(f"steps.0.add.size={sizes}") == "--vary: got 257, expected at most 256 combinations"
    assert _error("machine.kernel=v2-2019", "machine.kernel=linux-6.12") == (
        "--vary: got machine.kernel, expected each key once"
    )


@pytest.mark.parametrize(
    ("axis", "decided"),
    [
        ("drivers.acpi.policy=default", {"mhp_flags": None, "policy": "default"}),
        ("drivers.acpi.mhp_flags=default", {"mhp_flags": ("default",), "policy": None}),
        ("drivers.acpi.mhp_flags=none", {"mhp_flags": ("none",), "policy": None}),
    ],
)
@pytest.mark.parametrize("before", ["{mhp_flags: device}", "{policy: default}"])
def test_the_drivers_own_policy_is_a_variant(axis: str, decided: dict[str, object], before: str) -> None:
    """Whoever decides takes the place of who decided before: flags, or a policy."""
    text = TEXT.replace("steps:", f"drivers: {{acpi: {before}}}\nsteps:")
    only = _variants(axis, text=text)[0].scenario.drivers["acpi"]
    assert {"mhp_flags": only.mhp_flags, "policy": only.policy} == decided
