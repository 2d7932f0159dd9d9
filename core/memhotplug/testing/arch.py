"""The contract of an architecture plugin."""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from typing import ClassVar

import pytest

from memhotplug.contracts import SizingRequest
from memhotplug.engine.boot.answers import page_sizing
from memhotplug.engine.memory_hotplug.presence import window_driver
from memhotplug.errors import InputError, MemoryHotplugError, PluginError
from memhotplug.machine import Machine, Memory
from memhotplug.model.altmap import Altmap
from memhotplug.model.vmemmap import Source
from memhotplug.model.zones import ZoneKind
from memhotplug.naming import assumed_kernel
from memhotplug.testing.lives import Lives
from memhotplug.testing.support import BOTH_WAYS, balance, boot, failure_points, whole_cycle
from memhotplug.testing.tables import Tables

__all__ = ["ArchContract"]


class ArchContract(Tables, Lives):
    """Subclass this, name it ``Test…`` and set ``name`` and ``machines``.

    Class attributes:
        kernel: the profile to run under; empty for the one that commands assume.
        driver: the driver that adds memory in these tests; None for one that adds a range whole.
        frees_memmap: whether this kernel gives the memmap of removed memory and its page tables back.
        table_kinds: how names of page table kinds begin, for each map that has tables; empty for an MMU without.
        tables_stay: patterns of the kinds that this kernel never frees, mostly the upper levels.
        failure_leaves: patterns of the kinds that this kernel leaves behind when an add fails.
        add_errnos: errnos that an add may end in when memory runs out.
    """

    kernel: ClassVar[str] = ""
    driver: ClassVar[str | None] = None
    add_errnos: ClassVar[frozenset[int]] = frozenset({errno.ENOMEM})

    def fixed(self) -> Mapping[str, object]:
        return {"arch": self.name, "kernel": self.kernel or assumed_kernel()}

    def cases(self, parameter: str) -> Sequence[object] | None:
        if parameter in ("flag", "way"):
            return list(boot({**self.fixed(), **self.machines[0]}).kernel.profile.short_flags)
        if parameter == "nr_blocks":
            return BOTH_WAYS
        return super().cases(parameter)

    def size(self, machine: Machine, nr_blocks: int) -> str:
        """Return the size of some memory blocks, for a step."""
        return str(nr_blocks * machine.kernel.geometry.memory_block_size)

    def add(self, machine: Machine, flag: str, nr_blocks: int, **keys: object) -> Memory | None:
        """Add some memory blocks; None if this kernel refuses the flag (EINVAL), which may change nothing."""
        before = balance(machine)
        try:
            return machine.add_memory(
                driver=self.driver or window_driver(self.name),
                size=self.size(machine, nr_blocks),
                mhp_flags=flag,
                **{"name": "contract", **keys},
            )
        except MemoryHotplugError as refused:
            if flag == "none" or refused.errno != errno.EINVAL:
                raise
        assert balance(machine) == before
        return None

    def live(self, machine: Machine, way: object) -> None:
        """Add, online, offline and remove three blocks, after one that stays."""
        for memory in (
            self.add(machine, "none", 1, name=f"stays{len(machine.kernel.state.devices)}"),
            self.add(machine, str(way), 3),
        ):
            if memory is not None:
                machine.online(memory)
        if memory is not None:
            machine.offline(memory)
            machine.remove(memory)

    def fresh(self, machine: Machine) -> tuple[int, int]:
        """Return first pfn and length of one memory block's range behind all memory."""
        geometry = machine.kernel.geometry
        return geometry.pfn(machine.kernel.state.first_free_address()), geometry.pages_per_block

    def test_sizes_are_consistent(self, machine: Machine) -> None:
        """Orders, blocks and addresses fit into each other."""
        geometry = machine.kernel.geometry
        assert geometry.pageblock_order <= geometry.max_order
        assert geometry.sections_per_block >= 1
        assert geometry.pages_per_subsection >= 1
        assert geometry.hotplug_base % geometry.memory_block_size == 0
        assert geometry.memory_block_size < 1 << geometry.physical_address_bits
        assert geometry.struct_page_size <= geometry.page_size

    def test_zones_ascend_up_to_normal(self, machine: Machine) -> None:
        """Zone limits never go down, no zone comes twice, and Normal reaches to the last address."""
        plugins, geometry = machine.kernel.plugins, machine.kernel.geometry
        limits = plugins.ask(plugins.arch, "zone_limits", Sequence, geometry=geometry)
        kinds, ends = [limit.kind for limit in limits], [limit.end_pfn for limit in limits]
        assert kinds == sorted(set(kinds))
        assert ends == sorted(ends)
        assert (kinds[-1], ends[-1]) == (ZoneKind.NORMAL, geometry.end_pfn)

    def test_boot_memory_begins_at_a_whole_block(self, machine: Machine) -> None:
        """No block has a hole in front of boot memory."""
        plugins, geometry = machine.kernel.plugins, machine.kernel.geometry
        base = plugins.ask(plugins.arch, "boot_base", int, geometry=geometry)
        assert base % geometry.memory_block_size == 0

    @pytest.mark.parametrize(
        "asked",
        [
            {"page_size": 3},
            {"page_size": 1 << 30},
            {"memory_block_size": 4096},
            {"memory_block_size": (128 << 20) + 4096},
            {"memory_block_size": 1 << 60},
            {"physical_address_bits": 1},
            {"physical_address_bits": 64},
        ],
        ids=lambda asked: " ".join(f"{key}={value}" for key, value in asked.items()),
    )
    def test_sizes_that_cannot_be_are_refused(self, machine: Machine, asked: Mapping[str, int]) -> None:
        """What the user asked for and the architecture does not have is an InputError that names the key."""
        kernel = machine.kernel
        request = SizingRequest(version=kernel.version, memory=((0, 4 << 30),), **asked)  # type: ignore[arg-type]
        with pytest.raises(InputError) as caught:
            page_sizing(kernel.plugins, request)
        assert not isinstance(caught.value, PluginError), caught.value
        assert caught.value.path == f"machine.{next(iter(asked))}"

    def test_boot_breaks_no_invariant(self, machine: Machine) -> None:
        """A machine that has just booted is sound."""
        assert machine.violations() == []

    def test_memmap_on_memory_is_answered(self, machine: Machine) -> None:
        """The answer is yes or no for any size of memmap."""
        plugins = machine.kernel.plugins
        for memmap_bytes in (0, 64, 4096, 2 << 20, (2 << 20) + 64, 512 << 20):
            answer = plugins.call(
                plugins.arch, "supports_memmap_on_memory", kernel=machine.kernel, memmap_bytes=memmap_bytes
            )
            assert isinstance(answer, bool)

    def test_populate_and_free_give_every_page_back(self, machine: Machine) -> None:
        """Populating a range and freeing it leaves nothing mapped there and no page lost."""
        kernel, (start_pfn, nr_pages) = machine.kernel, self.fresh(machine)
        before = balance(machine).pages
        mapped = kernel.state.vmemmap.mapped.copy()
        kernel.vmemmap_populate(start_pfn, nr_pages, 0, None)
        assert kernel.memmap.first_unmapped(start_pfn, nr_pages) is None
        assert balance(machine).pages == before
        kernel.vmemmap_free(start_pfn, nr_pages)
        assert balance(machine).pages == before
        if self.frees_memmap:
            assert kernel.state.vmemmap.mapped == mapped

    def test_second_populate_takes_nothing(self, machine: Machine) -> None:
        """What is mapped already is left alone, altmap or not."""
        kernel, (start_pfn, nr_pages) = machine.kernel, self.fresh(machine)
        kernel.vmemmap_populate(start_pfn, nr_pages, 0, None)
        runs = kernel.state.vmemmap.runs
        free = [zone.nr_free for zone in kernel.state.zones()]
        altmap = Altmap(start_pfn, nr_pages)
        kernel.vmemmap_populate(start_pfn, nr_pages, 0, None)
        kernel.vmemmap_populate(start_pfn, nr_pages, 0, altmap)
        assert kernel.state.vmemmap.runs is runs
        assert [zone.nr_free for zone in kernel.state.zones()] == free
        assert altmap.total_alloc == 0

    def test_pages_of_an_altmap_are_counted(self, machine: Machine) -> None:
        """Self-hosted pages lie in the altmap's range, and as many as it says it handed out."""
        kernel, (start_pfn, nr_pages) = machine.kernel, self.fresh(machine)
        altmap = Altmap(start_pfn, nr_pages)
        kernel.vmemmap_populate(start_pfn, nr_pages, 0, altmap)
        hosted = kernel.state.vmemmap.backing_from(Source.ALTMAP)
        assert hosted.total == hosted.covered(start_pfn, start_pfn + nr_pages) == altmap.total_alloc

    def test_add_and_remove_leave_the_zones_as_before(self, machine: Machine, flag: str, nr_blocks: int) -> None:
        """Whatever the flag, a whole life of some blocks loses no page and breaks no invariant."""
        before = balance(machine)
        memory = self.add(machine, flag, nr_blocks)
        if memory is None:
            return
        assert len(memory.blocks) == nr_blocks
        whole_cycle(machine, memory)
        assert machine.violations() == []
        assert balance(machine) == before
        if self.frees_memmap:
            assert {int(source) for source in machine.kernel.state.vmemmap.runs.source} <= {Source.BOOT}

    def test_memory_comes_back_after_removal(self, machine: Machine, flag: str) -> None:
        """A range that was removed can be added again, online and all."""
        for _ in range(2):
            memory = self.add(machine, flag, 1)
            if memory is None:
                return
            machine.online(memory, zone="movable")
            machine.offline(memory)
            machine.remove(memory)
        assert self.unexpected(machine) == []

    def test_add_without_memory_is_refused_cleanly(self, machine: Machine, flag: str) -> None:
        """An add for which an allocation fails ends in an errno, and leaves no block and no zone changed."""
        before = balance(machine)
        for copy, problem in failure_points(machine, lambda copy: self.add(copy, flag, 3)):
            assert problem.errno in self.add_errnos
            assert copy.violations() == []
            assert balance(copy) == before

    def test_copies_are_independent(self, machine: Machine) -> None:
        """What happens to a copy does not happen to the original."""
        before = machine.to_dict()
        copy = machine.copy()
        copy.online(copy.add_memory(driver=self.driver or window_driver(self.name), size=self.size(copy, 1)))
        assert machine.to_dict() == before
        assert copy.to_dict() != before

    def test_plugin_is_named_when_a_hook_breaks(self, machine: Machine) -> None:
        """Whoever sees a broken hook learns whose it is."""
        plugins = machine.kernel.plugins
        with pytest.raises((PluginError, MemoryHotplugError)) as caught:
            plugins.call(plugins.arch, "vmemmap_populate", kernel=None, start_pfn=0, nr_pages=1, nid=0, altmap=None)
        assert f"{self.name} (" in str(caught.value)
        assert "vmemmap_populate" in str(caught.value)
