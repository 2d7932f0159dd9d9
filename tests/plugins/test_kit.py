"""The contract kit notices what it is there to notice."""

import errno

import pytest

from memhotplug import Machine, MemoryHotplugError
from memhotplug.plugin import Kernel, KernelProfile, OnlineType, Zone, zone_for_run
from memhotplug.testing import (
    ArchContract,
    Contract,
    DriverContract,
    ProfileContract,
    balance,
    boot,
    failure_points,
    free_pages,
    heads,
    memmap_pages,
    page_table_pages,
    populate,
    shatter,
)

_KEYWORDS = {"arch": "x86_64", "kernel": "v2-2019", "memory": "2G"}


class _Arch(ArchContract):
    name = "x86_64"
    kernel = "v2-2019"
    machines = ({"memory": "2G"},)


@pytest.fixture
def machine() -> Machine:
    """A machine that a test may break."""
    return boot(_KEYWORDS)


def test_memmap_that_is_not_freed_is_noticed(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A vmemmap_free that does nothing breaks the contract of a kernel that frees."""
    monkeypatch.setattr(Kernel, "vmemmap_free", lambda *_: None)
    with pytest.raises(AssertionError):
        _Arch().test_populate_and_free_give_every_page_back(machine)
    with pytest.raises(AssertionError):
        _Arch().test_add_and_remove_leave_the_zones_as_before(machine, "none", 1)


def test_lost_page_is_noticed(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages that nobody holds any more show up in the balance."""
    monkeypatch.setattr(Kernel, "vmemmap_free", lambda kernel, *_: kernel.alloc(0, 1, 0))
    with pytest.raises(AssertionError):
        _Arch().test_populate_and_free_give_every_page_back(machine)


def test_second_helping_is_noticed(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A populate that takes pages every time breaks the contract."""
    original = Kernel.vmemmap_populate

    def greedy(kernel: Kernel, *arguments: object) -> None:
        original(kernel, *arguments)  # type: ignore[arg-type]
        kernel.alloc(0, 1, 0)

    monkeypatch.setattr(Kernel, "vmemmap_populate", greedy)
    with pytest.raises(AssertionError):
        _Arch().test_second_populate_takes_nothing(machine)


def test_wrong_errno_is_noticed(machine: Machine) -> None:
    """The errnos of a failing add are the declared ones."""

    class Strict(_Arch):
        add_errnos = frozenset({errno.EFAULT})

    with pytest.raises(AssertionError):
        Strict().test_add_without_memory_is_refused_cleanly(machine, "none")


def test_booted_machines_do_not_share_state() -> None:
    """Each call of boot() gives a machine of its own."""
    first, second = boot(_KEYWORDS), boot(_KEYWORDS)
    first.add_memory(driver="acpi", size="1G")
    assert balance(second) == balance(boot(_KEYWORDS))
    assert balance(first) != balance(second)


def test_failure_points_cover_every_early_allocation(machine: Machine) -> None:
    """The first points are next to each other, and the last copy went through."""
    points = list(failure_points(machine, lambda copy: copy.add_memory(driver="acpi", size="512M", mhp_flags="none")))
    assert len(points) >= 4
    assert all(isinstance(problem, MemoryHotplugError) for _, problem in points)
    assert all(copy.kernel.state.fail_allocation is None for copy, _ in points)
    assert balance(machine) == balance(boot(_KEYWORDS))


def test_known_violations_are_left_out(machine: Machine) -> None:
    """Only sentences that begin as declared are forgiven."""
    dimm = machine.add_memory(driver="acpi", size="256M", mhp_flags="device")
    machine.remove(f"block {dimm.blocks[0]}")

    class Forgiving(Contract):
        known_violations = ("deferred free under way", "I11")

    assert len(Contract().unexpected(machine)) == len(machine.violations()) > 0
    assert Forgiving().unexpected(machine) == []


@pytest.mark.parametrize("contract", [ArchContract, DriverContract, ProfileContract])
def test_contract_itself_has_no_machines(contract: type[Contract]) -> None:
    """An author has to say which machines the plugin is for."""
    assert contract.machines == ()
    assert not contract.__name__.startswith("Test")


def test_shatter_leaves_no_larger_chunk(machine: Machine) -> None:
    """Half of memory is free, and not one chunk of the next order can be had."""
    before = free_pages(machine)
    shatter(machine, 3)
    assert 0.4 * before < free_pages(machine) < 0.6 * before
    low, _ = machine.kernel.alloc(4, 1, 0)
    assert len(low) == 0
    assert machine.violations() == []


def test_probes_agree_with_the_json(machine: Machine) -> None:
    """What the probes say is what the JSON output shows."""
    assert populate(machine, 8 << 30, 256 << 20) == [(65536, 512, "allocator")]
    machine = boot(_KEYWORDS)
    machine.add_memory(driver="acpi", size="256M", mhp_flags="device")
    result = machine.to_dict()
    assert result["memmap"] == {
        "self_hosted_pages": memmap_pages(machine)[0],
        "allocated_pages": 0,
        "page_table_pages": page_table_pages(machine),
        "by_node": {"0": 1024},
    }
    assert heads(machine) == [(1 << 20, 2, 1024)]


def test_a_profile_that_hides_what_its_zones_hang_on_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that says that blocks are alike of which every other one goes elsewhere."""
    machine = boot({**_KEYWORDS, "kernel": "linux-6.12"})
    kind = next(kind for kind in type(machine.kernel.profile).__mro__ if "zone_keys" in vars(kind))

    def by_parity(self: KernelProfile, kernel: Kernel, rows: slice, online_type: OnlineType) -> tuple[Zone, int]:
        word = OnlineType.ONLINE_MOVABLE if kernel.state.blocks.value("id", rows.start) % 2 else online_type
        return zone_for_run(kernel.state, slice(rows.start, rows.start + 1), word, movable_node=False)

    monkeypatch.setattr(kind, "zone_for_rows", by_parity)
    with pytest.raises(AssertionError):
        _Profile().test_all_blocks_tell_what_each_of_them_tells(machine)


class _Profile(ProfileContract):
    name = "linux-6.12"
    machines = ({"arch": "x86_64", "memory": "2G"},)
