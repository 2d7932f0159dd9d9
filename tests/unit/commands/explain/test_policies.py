"""A policy in the drivers' stead, and drivers that pass the flag for some adds only."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from memhotplug import InputError
from memhotplug.cli import main
from memhotplug.commands.explain.answer import explain
from memhotplug.commands.explain.question import Question
from memhotplug.manager import using
from memhotplug.plugin_file import load

EXAMPLES = Path(__file__).parents[4] / "examples" / "policies"
IMPORT = "from memhotplug.plugin import KeySpec, MemoryHotplugError, PhysRange, hookimpl\n"
POLICY = IMPORT + "@hookimpl\ndef policy_mhp_flags(kernel, request, phys_range, driver_flags):\n"
DRIVER = IMPORT + (
    "@hookimpl\ndef driver_keys(): return {{{keys}}}\n"
    "@hookimpl\ndef driver_ranges(kernel, request):\n"
    "    {refuse}\n"
    "    start = kernel.state.first_free_address()\n"
    "    return [PhysRange(start=start, size=request.size, nid=request.nid or 0)]\n"
    "@hookimpl\ndef mhp_flags(kernel, request, phys_range):\n"
    "    return kernel.flag('on_memory') if {when} else 0\n"
)
BLOCKS = IMPORT + (
    "@hookimpl\ndef driver_keys(): return {{}}\n"
    "@hookimpl\ndef driver_ranges(kernel, request):\n"
    "    start, block = kernel.state.first_free_address(), kernel.geometry.memory_block_size\n"
    "    count = request.size // block\n"
    "    return [PhysRange(start=start + i * block, size=block, nid=0, withheld={withheld}) for i in range(count)]\n"
    "@hookimpl\ndef mhp_flags(kernel, request, phys_range):\n"
    "    return kernel.flag('on_memory') if phys_range.withheld == phys_range.size // 2 else 0\n"
)


def write(folder: Path, text: str, name: str = "mine") -> str:
    """Return the path of a plugin file."""
    path = folder / f"{name}.py"
    path.write_text(text, encoding="utf-8")
    return str(path)


def rows(path: str, **question: Any) -> list[dict[str, Any]]:
    """Return the drivers' rows of an answer with one plugin file."""
    with using([load(path)]):
        document: Mapping[str, Any] = explain(Question(**{"arch": "x86_64", "kernel": "linux-6.12", **question}))
    return list(document["drivers"])


def rule(path: str, **question: Any) -> str | None:
    """Return what the only row says of memmap_on_memory=Y."""
    (row,) = rows(path, **question)
    (found,) = [setting["rule"] for setting in row["settings"] if setting["setting"] == "Y"]
    assert found is None or isinstance(found, str)
    return found


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("True", None),
        ("False", "the policy mine does not pass the flag"),
        ("size >= 1 << 30", "the policy mine passes the flag, but not for less than 1G"),
        ("size >= 5 << 27", "the policy mine passes the flag, but not for less than 640M"),
        ("size < 3 << 30", "the policy mine passes the flag, but not for 3G and more"),
        ("size <= 1 << 39", "the policy mine passes the flag, but not for 524416M and more"),
        ("size not in (1 << 28, 1 << 30)", "the policy mine passes the flag, but not for 256M, 1G"),
        ("phys_range.nid == 1", "the policy mine passes the flag, but only for a node without CPU"),
        ("phys_range.nid != 1", "the policy mine passes the flag, but not for a node without CPU"),
        (
            "size < 1 << 30 and not phys_range.nid",
            "the policy mine passes the flag, but not for 1G and more, not for a node without CPU",
        ),
    ],
)
def test_what_a_policy_decides_by_is_said(condition: str, expected: str | None, tmp_path: Path) -> None:
    """Sizes are found to the block, and a node that the add brings is tried."""
    body = f"    size = phys_range.size\n    return kernel.flag('on_memory') if {condition} else 0\n"
    assert rule(write(tmp_path, POLICY + body), driver="acpi", policy="mine") == expected


@pytest.mark.parametrize(
    ("keys", "refuse", "when", "expected"),
    [
        ("", "", "request.size > 1 << 30", "the driver passes the flag, but not for less than 1152M"),
        (
            "'far': KeySpec(kind='bool', help='.')",
            "",
            "request.options.get('far')",
            "the driver passes the flag, but only with far=true",
        ),
        (
            "'how': KeySpec(kind='word', help='.', choices=('a', 'b', 'c'))",
            "",
            "request.options.get('how') not in ('a', 'c')",
            "the driver passes the flag, but not with how=a/c",
        ),
        ("", "if request.nid: raise MemoryHotplugError(22, 'no')", "True", None),
        ("", "if request.size > 1 << 30: raise MemoryHotplugError(28, 'no')", "True", None),
        ("", "if request.nid: raise MemoryHotplugError(22, 'no')", "False", "the driver does not pass the flag"),
    ],
    ids=["size", "switch", "words", "no other node", "no large ones", "never"],
)
def test_so_is_what_a_driver_decides_by(
    keys: str, refuse: str, when: str, expected: str | None, tmp_path: Path
) -> None:
    """What it refuses is no difference in the flags."""
    path = write(tmp_path, DRIVER.format(keys=keys, refuse=refuse or "pass", when=when))
    assert rule(path, driver="mine") == expected


@pytest.mark.parametrize(
    ("withheld", "expected"),
    [
        ("block // 2 if i >= 10 else 0", "not for less than 1408M"),
        ("0 if i < 20 else block // (2 if i < count - 5 else 4)", "not for less than 3328M"),
        (
            "block // 2 if i == 40 and count == 64 else 0",
            "not for 128M, 256M, 512M, 1G, 2G, 4G, 16G, 32G, 64G, 128G, 256G, 512G, 1T",
        ),
    ],
    ids=["from the eleventh on", "three kinds", "one of sixty-four"],
)
def test_ranges_behind_the_first_ones_count(withheld: str, expected: str, tmp_path: Path) -> None:
    """Of small adds each is asked about, of large ones those on both sides of every border between unlike ones."""
    path = write(tmp_path, BLOCKS.format(withheld=withheld))
    assert rule(path, driver="mine") == f"the driver passes the flag, but {expected}"


def test_flags_are_those_of_all_sizes() -> None:
    """The series of 2019 has two flags, and the policy uses both."""
    (row,) = rows(str(EXAMPLES / "by_size.py"), driver="acpi", policy="by_size", kernel="v2-2019")
    assert (row["driver"], row["policy"]) == ("acpi", "by_size")
    assert row["flags"] == ["MHP_MEMMAP_DEVICE", "MHP_MEMMAP_MEMBLOCK"]


def test_a_policy_counts_for_every_driver_that_exists_there() -> None:
    """One row each, as without it."""
    path = str(EXAMPLES / "cpuless_node.py")
    found, plain = rows(path, policy="cpuless_node"), rows(path)
    assert [(row["driver"], row["options"]) for row in found] == [(row["driver"], row["options"]) for row in plain]
    assert {row["policy"] for row in found} == {"cpuless_node"}
    assert {row["policy"] for row in plain} == {None}


def test_default_is_the_drivers_own() -> None:
    """As everywhere."""
    question: dict[str, Any] = {"driver": "acpi", "arch": "x86_64", "kernel": "linux-6.12"}
    assert explain(Question(**question, policy="default")) == explain(Question(**question))


@pytest.mark.parametrize(
    ("files", "word", "error"),
    [
        ([], "nobody", "--policy: got nobody, expected an installed policy, or one from a file (--plugin FILE)"),
        (["by_size"], "by_sise", "--policy: got by_sise, expected one of by_size; did you mean 'by_size'?"),
    ],
)
def test_a_policy_that_there_is_not(files: list[str], word: str, error: str) -> None:
    """The nearest one is named."""
    with using([load(str(EXAMPLES / f"{name}.py")) for name in files]), pytest.raises(InputError) as caught:
        explain(Question(driver="acpi", policy=word))
    assert str(caught.value) == error


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ("'device'", "answered 'device', which is no int"),
        ("1 // 0", "raised ZeroDivisionError: "),
        ("1 << 30", "answered 0x40000000, which is not of linux-6.12"),
    ],
)
def test_a_policy_that_lies_ends_it(
    answer: str, problem: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It was asked for by name, so it is not left out."""
    path = write(tmp_path, POLICY + f"    return {answer}\n")
    question = ["--driver", "acpi", "--kernel", "6.12", "--policy", "mine"]
    assert main(["explain", "--plugin", path, *question]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"mhp: plugin mine ({path}): hook policy_mhp_flags {problem}")
    assert printed.err.count("\n") == 1


def test_the_table_names_the_policy(capsys: pytest.CaptureFixture[str]) -> None:
    """Behind the driver that it decides for."""
    path = str(EXAMPLES / "cpuless_node.py")
    question = ["--driver", "acpi", "--kernel", "6.12", "--arch", "x86_64", "--policy", "cpuless_node"]
    assert main(["explain", "--plugin", path, *question]) == 0
    row, more = capsys.readouterr().out.splitlines()[2:4]
    columns = "acpi under cpuless_node linux-6.12 x86_64   4K  128M memmap_on_memory,nid_is_mgid no no    no "
    assert row == f"{columns}the policy cpuless_node passes the flag,"
    assert more == f"{' ' * len(columns)}but only for a node without CPU"
