"""What a mainline profile remembers and shows: groups, parameters, pages that hold memmap."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import pytest

from memhotplug import InputError, Machine, MemoryHotplugError
from memhotplug.plugin import PageFlag
from memhotplug_profiles.mainline.params import (
    Group,
    MainlineState,
    Mode,
    Policy,
    parse_mode,
    parse_policy,
    parse_ratio,
    state_of,
)

Boot: TypeAlias = Callable[..., Machine]
Refused: TypeAlias = Callable[..., MemoryHotplugError]
_BLOCK = 32768
_FIRST = 32 * _BLOCK
_ON = "memory_hotplug.memmap_on_memory=1"


@pytest.mark.parametrize(
    ("max_pages", "unit_pages", "said"),
    [
        (_BLOCK, 0, None), (1, 0, None), (0, _BLOCK, None), (0, 4 * _BLOCK, None),
        (0, 0, 0), (_BLOCK, _BLOCK, _BLOCK), (0, _BLOCK // 2, _BLOCK // 2), (0, 3 * _BLOCK, 3 * _BLOCK),
        (0, _BLOCK + 1, _BLOCK + 1),
    ],
)  # fmt: skip
def test_a_group_is_static_or_dynamic(
    boot: Boot, refused: Refused, max_pages: int, unit_pages: int, said: int | None
) -> None:
    """A size or a unit, not both; a unit is a power of two of at least a block. EINVAL, and no group is made."""
    kernel = boot(kernel="linux-6.12").kernel

    def register() -> int:
        return kernel.profile.register_group(kernel, 0, max_pages=max_pages, unit_pages=unit_pages)

    if said is None:
        assert register() == 0
        assert state_of(kernel).groups == (Group(nid=0, max_pages=max_pages, unit_pages=unit_pages),)
    else:
        assert str(refused(register)) == f"EINVAL: a memory group of {said} pages"
        assert state_of(kernel).groups == ()


def test_groups_are_numbered_in_order_and_counted_apart(boot: Boot) -> None:
    """What is online of each in kernel zones and in Movable; a block of no group counts nowhere."""
    kernel = boot(kernel="linux-6.12").kernel
    numbers = [
        kernel.profile.register_group(kernel, nid, max_pages=10 * (nid + 1), present_kernel=nid, present_movable=5)
        for nid in (0, 1, 2)
    ]
    state = state_of(kernel)
    twin = state.copy()
    state.adjust_group(1, kernel=7)
    state.adjust_group(1, movable=-2)
    state.adjust_group(-1, kernel=99, movable=99)
    assert numbers == [0, 1, 2]
    assert [(group.nid, group.max_pages, group.present_kernel, group.present_movable) for group in state.groups] == [
        (0, 10, 0, 5),
        (1, 20, 8, 3),
        (2, 30, 2, 5),
    ]
    assert [(group.present_kernel, group.present_movable) for group in twin.groups] == [(0, 5), (1, 5), (2, 5)]
    assert state.deciding([2, 1]) == (Mode.OFF, Policy.CONTIG, 301, True, (state.groups[2], state.groups[1]))


def test_a_copy_of_the_state_has_all_of_it() -> None:
    """Every parameter and the groups."""
    state = MainlineState()
    state.mode, state.policy, state.ratio, state.numa_aware = Mode.FORCE, Policy.AUTO, 7, False
    state.groups = (Group(nid=3),)
    twin = state.copy()
    assert {name: getattr(twin, name) for name in MainlineState.__slots__} == {
        "mode": Mode.FORCE,
        "policy": Policy.AUTO,
        "ratio": 7,
        "numa_aware": False,
        "groups": (Group(nid=3),),
    }


@pytest.mark.parametrize(
    ("text", "force", "mode"),
    [
        ("force", True, Mode.FORCE), ("FORCE", True, Mode.FORCE), ("y", True, Mode.ON), ("n", True, Mode.OFF),
        ("force", False, Mode.OFF), ("", False, Mode.ON), ("1", False, Mode.ON), ("off", False, Mode.OFF),
    ],
)  # fmt: skip
def test_modes_are_words_of_the_kernel(text: str, force: bool, mode: Mode) -> None:
    """Before 6.6 the parameter is a boolean, for which 'force' begins with an f."""
    assert parse_mode(text, force=force) is mode


@pytest.mark.parametrize(
    ("read", "text", "message"),
    [
        (lambda text: parse_mode(text, force=True), "", "expected Y, N or force for memory_hotplug.memmap_on_memory"),
        (lambda text: parse_mode(text, force=False), "x", "expected Y or N for memory_hotplug.memmap_on_memory"),
        (parse_policy, "auto", "expected contig-zones or auto-movable for memory_hotplug.online_policy"),
        (parse_policy, "", "expected contig-zones or auto-movable for memory_hotplug.online_policy"),
        (parse_ratio, "many", "expected a percentage for memory_hotplug.auto_movable_ratio"),
        (parse_ratio, "-1", "expected a percentage for memory_hotplug.auto_movable_ratio"),
        (parse_ratio, "4294967296", "expected a percentage for memory_hotplug.auto_movable_ratio"),
    ],
)
def test_what_the_command_line_cannot_say(read: Callable[[str], object], text: str, message: str) -> None:
    """At the command line, with the parameter's name."""
    with pytest.raises(InputError) as caught:
        read(text)
    assert str(caught.value) == f"machine.cmdline: got {text or 'nothing'}, {message}"


@pytest.mark.parametrize(("text", "ratio"), [("0", 0), ("301", 301), ("0x10", 16), ("4294967295", 4294967295)])
def test_a_ratio_is_an_unsigned_number(text: str, ratio: int) -> None:
    """Of 32 bits, as the kernel reads it."""
    assert parse_ratio(text) == ratio


@pytest.mark.parametrize(
    ("kernel", "cmdline", "reads"),
    [
        ("linux-5.13", "memory_hotplug.online_policy=auto-movable", {"memmap_on_memory": "N\n"}),
        (
            "linux-5.15", "memory_hotplug.online_policy=auto-movable memory_hotplug.auto_movable_ratio=50",
            {
                "memmap_on_memory": "N\n", "online_policy": "auto-movable\n", "auto_movable_ratio": "50\n",
                "auto_movable_numa_aware": "Y\n",
            },
        ),
        (
            "linux-6.12", f"{_ON} memory_hotplug.auto_movable_numa_aware=n",
            {
                "memmap_on_memory": "Y\n", "online_policy": "contig-zones\n", "auto_movable_ratio": "301\n",
                "auto_movable_numa_aware": "N\n",
            },
        ),
    ],
)  # fmt: skip
def test_parameters_are_those_that_the_release_has(
    boot: Boot, kernel: str, cmdline: str, reads: dict[str, str]
) -> None:
    """A word for one that came later is ignored, as the kernel does; memmap_on_memory is read-only."""
    machine = boot(kernel=kernel, cmdline=cmdline)
    profile = machine.kernel.profile
    assert dict(profile.module_parameters(machine.kernel)) == reads
    assert dict(profile.parameter_files(machine.kernel)) == {
        name: 0o444 if name == "memmap_on_memory" else 0o644 for name in reads
    }


def test_where_it_is_not_built_in_the_file_is_missing(boot: Boot) -> None:
    """s390 before 6.8."""
    kernel = boot(arch="s390", kernel="linux-6.1").kernel
    assert "memmap_on_memory" not in kernel.profile.parameter_files(kernel)
    assert "memmap_on_memory" in boot(arch="s390", kernel="linux-6.12").kernel.profile.parameter_files(
        boot(arch="s390", kernel="linux-6.12").kernel
    )


@pytest.mark.parametrize(
    ("kernel", "policy", "words"),
    [
        ("linux-5.13", "contig-zones", None),
        ("linux-6.12", "contig-zones", ("auto-movable",)),
        ("linux-6.12", "auto-movable", ("contig-zones",)),
    ],
)
def test_the_policy_can_be_switched_to_the_other_one(
    boot: Boot, kernel: str, policy: str, words: tuple[str, ...] | None
) -> None:
    """While the kernel runs, where there is one."""
    machine = boot(kernel=kernel, cmdline=f"memory_hotplug.online_policy={policy}")
    path = "/sys/module/memory_hotplug/parameters/online_policy"
    assert dict(machine.kernel.profile.switches(machine.kernel)) == ({} if words is None else {path: words})


@pytest.fixture
def hosting(boot: Boot) -> Machine:
    """Three self-hosted blocks, of which 32 and 34 are online."""
    machine = boot(kernel="linux-6.12", cmdline=_ON)
    machine.add_memory(driver="acpi", name="d", size="384M")
    machine.online("block 32", zone="movable")
    machine.online("block 34", zone="movable")
    return machine


def test_each_block_that_hosts_has_a_head(hosting: Machine) -> None:
    """Online or not; these kernels keep no counts in the pages."""
    found = list(hosting.kernel.profile.heads(hosting.kernel))
    assert found == [
        {
            "start_pfn": _FIRST + row * _BLOCK,
            "nr_pages": 512,
            "refcount": None,
            "private": None,
            "serves": [_FIRST + row * _BLOCK, _FIRST + (row + 1) * _BLOCK],
            "device": "d",
        }
        for row in range(3)
    ]


@pytest.mark.parametrize(
    ("place", "hosts"), [(0, True), (511, True), (512, False), (2 * _BLOCK, True), (2 * _BLOCK + 512, False)]
)
def test_pages_of_memmap_say_so(hosting: Machine, place: int, hosts: bool) -> None:
    """Of online blocks: owned, and referenced once; the first page behind is free."""
    page = hosting.page(_FIRST + place)
    owned = bool(page.flags & PageFlag.OWNER_PRIVATE)
    assert (owned, page.refcount) == ((True, 1) if hosts else (False, 0))


def test_a_window_in_the_middle_shows_the_same_pages(hosting: Machine) -> None:
    """Whatever part of a block is asked for."""
    whole = hosting.memmap(f"{_FIRST * 4096:#x}+384M")
    for start, count in ((0, 8), (500, 24), (2 * _BLOCK - 4, 600)):
        part = hosting.memmap(f"{(_FIRST + start) * 4096:#x}+{count * 4}K")
        assert part["flags"].tolist() == whole["flags"][start : start + count].tolist()
        assert part["refcount"].tolist() == whole["refcount"][start : start + count].tolist()
