"""Changing single values of a scenario before it is checked."""

from __future__ import annotations

import pytest

from memhotplug.catalog import Installed
from memhotplug.errors import InputError
from memhotplug.formats.scenario import AddStep, Scenario
from memhotplug.formats.scenario.loader import Known, scenario_from_tree
from memhotplug.formats.scenario.override import changed, parse_override, parse_where
from memhotplug.formats.scenario.yamltree import parse_tree

TEXT = """\
schema: 1
machine: {arch: x86_64, kernel: v2-2019, memory: 4G, cmdline: "quiet"}
steps:
  - add: {driver: acpi, name: dimm0, size: 1G}
  - online: {range: dimm0}
"""
TREE = parse_tree(TEXT)


def _load(*pairs: tuple[str, str]) -> Scenario:
    tree = changed(TREE, [parse_override(parse_where(path), text) for path, text in pairs])
    return scenario_from_tree(tree, catalog=Installed())


def test_values_of_the_machine_and_of_steps_are_changed() -> None:
    """Both ways to write a number in a list."""
    scenario = _load(("machine.kernel", "linux-6.12"), ("steps.0.add.size", "2G"), ("steps[1].online.zone", "movable"))
    add = scenario.steps[0].args

    assert scenario.machine.kernel == "linux-6.12"
    assert isinstance(add, AddStep)
    assert add.size == 2 << 30
    assert scenario.steps[1].args.zone == "movable"  # type: ignore[attr-defined]  # an online step


def test_missing_mappings_are_made_on_the_way() -> None:
    """The scenario has no drivers."""
    assert _load(("drivers.acpi.mhp_flags", "[device, memblock]")).drivers["acpi"].mhp_flags == ("device", "memblock")


def test_an_empty_value_leaves_the_key_out() -> None:
    """What is not there cannot be left out either, and that is no error."""
    assert _load(("machine.cmdline", "")).machine.cmdline == ""
    assert _load(("machine.page_size", "")).machine.page_size is None
    assert len(_load(("steps.1", "")).steps) == 1


def test_a_whole_step_may_be_replaced() -> None:
    """By any YAML value."""
    assert _load(("steps.1", "{remove: {range: dimm0}}")).steps[1].op == "remove"


def test_the_original_is_not_touched() -> None:
    """Many variations are made of one tree."""
    _load(("machine.kernel", "linux-6.12"), ("steps.0.add.size", "2G"), ("machine.cmdline", ""), ("steps.1", ""))

    assert repr(changed(TREE, [])) == repr(TREE) == repr(parse_tree(TEXT))


def test_what_is_not_changed_is_shared() -> None:
    """Only what lies on the way to a changed value is made anew."""
    tree = changed(TREE, [parse_override(parse_where("steps.0.add.size"), "2G")])

    assert tree["machine"] is TREE["machine"]
    assert tree["steps"] is not TREE["steps"]
    assert tree["steps"][1] is TREE["steps"][1]  # type: ignore[index]  # a sequence


def test_records_of_shared_nodes_are_read_once() -> None:
    """Variants come out as if each were read by itself, and what is shared is the same record."""
    known = Known(TREE)
    found, alone = [], []
    for size in ("2G", "3G", "1T", "0"):
        tree = changed(TREE, [parse_override(parse_where("steps.0.add.size"), size)])
        try:
            alone.append(scenario_from_tree(tree, catalog=Installed()))
            found.append(scenario_from_tree(tree, catalog=Installed(), known=known))
        except InputError:
            with pytest.raises(InputError):
                scenario_from_tree(tree, catalog=Installed(), known=known)

    assert [(one.machine, one.drivers, one.steps) for one in found] == [
        (one.machine, one.drivers, one.steps) for one in alone
    ]
    assert len({id(one.machine) for one in found}) == len({id(one.steps[1].args) for one in found}) == 1
    assert [one.steps[0].args.size for one in found] == [2 << 30, 3 << 30, 1 << 40]  # type: ignore[attr-defined]


def test_what_is_wrong_with_a_shared_node_is_said_each_time() -> None:
    """Nothing is remembered of it."""
    tree = parse_tree(TEXT.replace("memory: 4G", "memory: 0"))
    known = Known(tree)
    for _ in range(2):
        with pytest.raises(InputError, match="a size"):
            scenario_from_tree(tree, catalog=Installed(), known=known)


def test_what_was_changed_to_the_same_is_read_once() -> None:
    """By the nodes that it is made of, whatever else changes; another order of them, or a list of them, is another."""
    known = Known(TREE)
    size, more = (
        parse_override(parse_where("steps.0.add.size"), "2G"),
        parse_override(parse_where("steps.0.add.size"), "3G"),
    )
    flags = [parse_override(parse_where("steps.0.add.mhp_flags"), text) for text in ("none", "[none]")]
    found = [
        scenario_from_tree(changed(TREE, chosen), catalog=Installed(), known=known).steps[0].args
        for chosen in ([size], [more], [size], [size, flags[0]], [size, flags[1]], [size, flags[0]])
    ]

    assert found[0] is found[2]
    assert found[3] is found[5]
    assert len({id(args) for args in found}) == 4
    alone = scenario_from_tree(changed(TREE, [size, flags[1]]), catalog=Installed()).steps[0].args
    assert found[4] == alone


def test_only_so_many_changes_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """And those that are forgotten are read again."""
    monkeypatch.setattr("memhotplug.formats.scenario.loader._REMEMBERED", 2)
    known = Known(TREE)
    for text in ("1G", "2G", "3G", "4G", "1G"):
        tree = changed(TREE, [parse_override(parse_where("steps.0.add.size"), text)])
        args = scenario_from_tree(tree, catalog=Installed(), known=known).steps[0].args
        assert args.size == int(text[0]) << 30  # type: ignore[attr-defined]
        assert len(known._changed) <= 2


@pytest.mark.parametrize("text", ["0", "007", "4G", "12345678901234567890K"])
def test_plain_numbers_are_the_nodes_that_the_parser_makes(text: str) -> None:
    """Without the parser."""
    found = parse_override(("steps", 0), text)

    assert (found.text, repr(found.node)) == (text, repr(parse_tree(f"value: {text}\n")["value"]))


@pytest.mark.parametrize(
    "path", ["", "machine", "machine..kernel", "machine.ker nel", "steps.-1.add", ".".join("a" * 20)]
)
def test_no_path_is_refused(path: str) -> None:
    """With an example of one."""
    with pytest.raises(InputError) as caught:
        parse_where(path)

    assert str(caught.value) == (
        f"got {path or 'nothing'}, expected a path such as machine.kernel, drivers.acpi.mhp_flags or steps.0.add.size"
    )


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("steps.7.add.size", "steps[7]"),
        ("steps.7", "steps[7]"),
        ("steps.first.add", "steps.first"),
        ("machine.kernel.name", "machine.kernel.name"),
        ("machine.0", "machine[0]"),
    ],
)
def test_a_path_that_leads_nowhere_is_refused(path: str, shown: str) -> None:
    """Through a plain value, or beyond the end of a list."""
    with pytest.raises(InputError) as caught:
        _load((path, "1G"))

    assert str(caught.value) == f"got {shown}, expected the path of a value that the scenario has"


@pytest.mark.parametrize("text", ["[", "{a: b", "a\nb: c", '"'])
def test_text_that_is_no_yaml_is_refused(text: str) -> None:
    """Before the scenario is looked at."""
    with pytest.raises(InputError) as caught:
        parse_override(parse_where("machine.kernel"), text)

    assert caught.value.path == "machine.kernel"
