"""Architectures with one bug each: the engine or the contract notices every one, and names the plugin."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import pytest
from tests.plugins.rig import Bad, changed, check, example, failures, plugged

from memhotplug import Machine
from memhotplug.plugin import Geometry, Restrictions, ZoneKind, ZoneLimit, hookimpl
from memhotplug.testing import ArchContract

GOOD = example("riscv64", "memhotplug_riscv64")
_ON = "no5lvl memory_hotplug.memmap_on_memory=1"
_TWO_NODES = [{"node": 0, "size": "1G"}, {"node": 1, "size": "1G"}]


def contract(plugin: str) -> type[ArchContract]:
    """Return the contract for a plugin on two machines."""

    class Subject(ArchContract):
        name = plugin
        kernel = "linux-6.12"
        machines: ClassVar[Sequence[dict[str, object]]] = (
            {"memory": "1G", "cmdline": _ON},
            {"memory": _TWO_NODES, "cmdline": _ON},
        )

    return Subject


def answer(value: object) -> Callable[..., object]:
    """Return a hook that always answers the same."""
    return hookimpl(lambda: value)


def hook(**hooks: Callable[..., object]) -> dict[str, object]:
    """Return hooks as plugins have them."""
    return {name: hookimpl(function) for name, function in hooks.items()}


def sized(**changes: Any) -> dict[str, object]:
    """Return a page_sizing whose answer differs in some sizes."""
    return hook(page_sizing=lambda request: replace(GOOD.page_sizing(request), **changes))


def _zones(*limits: tuple[object, object]) -> dict[str, object]:
    found = [ZoneLimit(kind=kind, end_pfn=end) for kind, end in limits]  # type: ignore[arg-type]
    return {"zone_limits": answer(found)}


_END = 1 << 44
_BOOT = "test_boot_breaks_no_invariant"
AT_BOOT = [
    Bad("no Normal zone", _BOOT, _zones((ZoneKind.DMA32, _END)), "hook zone_limits answered DMA32 to pfn"),
    Bad(
        "zones in another order",
        _BOOT,
        _zones((ZoneKind.DMA32, 1), (ZoneKind.DMA, 2), (ZoneKind.NORMAL, _END)),
        "do not ascend",
    ),
    Bad("one zone twice", _BOOT, _zones((ZoneKind.NORMAL, 1), (ZoneKind.NORMAL, _END)), "zones which do not ascend"),
    Bad(
        "limits that descend",
        _BOOT,
        _zones((ZoneKind.DMA32, _END), (ZoneKind.NORMAL, 1 << 20)),
        "zones whose ends do not ascend",
    ),
    Bad(
        "a negative limit",
        _BOOT,
        _zones((ZoneKind.DMA32, -1), (ZoneKind.NORMAL, _END)),
        "zones whose ends do not ascend",
    ),
    Bad("limits in bytes as text", _BOOT, _zones((ZoneKind.NORMAL, "4G")), "which is no ZoneLimit"),
    Bad("tuples for limits", _BOOT, {"zone_limits": answer([(ZoneKind.NORMAL, _END)])}, "which is no ZoneLimit"),
    Bad("no limits", _BOOT, {"zone_limits": answer([])}, "hook zone_limits answered nothing"),
    Bad(
        "None for limits", _BOOT, {"zone_limits": answer(None)}, "hook zone_limits answered None, which is no Sequence"
    ),
    Bad("an unaligned base", _BOOT, {"boot_base": answer(4096)}, "hook boot_base answered 0x1000"),
    Bad("a negative base", _BOOT, {"boot_base": answer(-(2 << 30))}, "hook boot_base answered -0x80000000"),
    Bad("a base as text", _BOOT, {"boot_base": answer("2G")}, "hook boot_base answered '2G', which is no int"),
    Bad("True for a base", _BOOT, {"boot_base": answer(True)}, "hook boot_base answered True, which is no int"),
    Bad("a dict for sizes", _BOOT, {"page_sizing": answer({"page_size": 4096})}, "which is no Geometry"),
    Bad("a page of 5000 bytes", _BOOT, sized(page_size=5000), "hook page_sizing raised ValueError"),
    Bad("blocks below a section", _BOOT, sized(memory_block_size=64 << 20), "is less than a section"),
    Bad("a max_order beyond a section", _BOOT, sized(max_order=16), "exceeds a section"),
    Bad("a pageblock above max_order", _BOOT, sized(pageblock_order=11), "pageblock_order 11"),
    Bad("a huge struct page", _BOOT, sized(struct_page_size=8192), "is larger than a page"),
    Bad("a PMD below a page", _BOOT, sized(pmd_size=2048), "pmd_size 2048"),
    Bad("too few address bits", _BOOT, sized(physical_address_bits=27), "hold no memory block"),
    Bad("a populate that does nothing", _BOOT, {"vmemmap_populate": answer(None)}, "vmemmap_populate left pfn 0x80000"),
    Bad(
        "a hook that divides by zero",
        _BOOT,
        hook(create_mapping=lambda: 1 // 0),
        "hook create_mapping raised ZeroDivisionError",
    ),
]


class _Stop(BaseException):
    """Something that except Exception does not catch."""


def _raises(problem: BaseException) -> Callable[..., object]:
    def hook_of_a_plugin() -> None:
        raise problem

    return hook_of_a_plugin


AT_BOOT += [
    Bad("a BaseException", _BOOT, hook(vmemmap_populate=_raises(_Stop("x"))), "hook vmemmap_populate raised _Stop: x"),
    Bad("an exit", _BOOT, hook(zone_limits=_raises(SystemExit(3))), "hook zone_limits raised SystemExit: 3"),
    Bad("a GeneratorExit", _BOOT, hook(boot_base=_raises(GeneratorExit())), "hook boot_base raised GeneratorExit"),
]


# ---- what arch_add_memory() and arch_remove_memory() do ----


def _adds(pages: Callable[[Geometry, int], int]) -> dict[str, object]:
    def arch_add_memory(kernel: Any, start_pfn: int, nr_pages: int, nid: int, restrictions: Restrictions) -> None:
        GOOD.arch_add_memory(kernel, start_pfn, pages(kernel.geometry, nr_pages), nid, Restrictions())

    return hook(arch_add_memory=arch_add_memory)


def _removes(where: Callable[[Geometry, int, int], tuple[int, int]]) -> dict[str, object]:
    def arch_remove_memory(kernel: Any, start_pfn: int, nr_pages: int) -> None:
        GOOD.arch_remove_memory(kernel, *where(kernel.geometry, start_pfn, nr_pages))

    return hook(arch_remove_memory=arch_remove_memory)


def _first(write: Callable[[Any], None]) -> dict[str, object]:
    """Return an arch_add_memory() that does something to the kernel first."""

    def arch_add_memory(kernel: Any, start_pfn: int, nr_pages: int, nid: int, restrictions: Restrictions) -> None:
        write(kernel)
        GOOD.arch_add_memory(kernel, start_pfn, nr_pages, nid, restrictions)

    return hook(arch_add_memory=arch_add_memory)


def _write_blocks(kernel: Any) -> None:
    kernel.state.blocks.state[:] = 1


def _write_sections(kernel: Any) -> None:
    kernel.state.sections.starts[0] = 0


def _write_runs(kernel: Any) -> None:
    kernel.state.vmemmap.runs.backing[:] += 1


def _write_notes(kernel: Any) -> None:
    kernel.state.driver_state.setdefault("riscv", {})["adds"] = 1


_LIFE = "test_add_and_remove_leave_the_zones_as_before"
IN_USE = [
    Bad(
        "an add that does nothing", _LIFE, {"arch_add_memory": answer(None)}, "arch_add_memory did not add all sections"
    ),
    Bad(
        "an add of a half",
        _LIFE,
        _adds(lambda sizes, pages: pages - sizes.pages_per_section),
        "arch_add_memory did not add all sections",
    ),
    Bad(
        "an add of more",
        _LIFE,
        _adds(lambda sizes, pages: pages + sizes.pages_per_section),
        "arch_add_memory added sections outside",
    ),
    Bad(
        "a removal of nothing",
        _LIFE,
        {"arch_remove_memory": answer(None)},
        "arch_remove_memory left the section at pfn",
    ),
    Bad(
        "a removal of a half",
        _LIFE,
        _removes(lambda sizes, start, pages: (start, pages - sizes.pages_per_section)),
        "arch_remove_memory left the section",
    ),
    Bad(
        "a removal of more",
        _LIFE,
        _removes(lambda sizes, start, pages: (start - sizes.pages_per_section, pages + sizes.pages_per_section)),
        "arch_remove_memory removed sections outside",
    ),
    Bad(
        "restrictions changed in place",
        _LIFE,
        hook(arch_add_memory=lambda restrictions: setattr(restrictions, "flags", 0)),
        "hook arch_add_memory raised FrozenInstanceError",
    ),
    Bad(
        "blocks written in place",
        _LIFE,
        _first(_write_blocks),
        "hook arch_add_memory raised ValueError: assignment destination is read-only",
    ),
    Bad(
        "sections written in place",
        _LIFE,
        _first(_write_sections),
        "hook arch_add_memory raised ValueError: assignment destination is read-only",
    ),
    Bad(
        "mappings written in place",
        _LIFE,
        _first(_write_runs),
        "hook arch_add_memory raised ValueError: output array is read-only",
    ),
    Bad("notes written in place", _LIFE, _first(_write_notes), "hook arch_add_memory raised TypeError"),
    Bad("1 for yes", "test_memmap_on_memory_is_answered", hook(supports_memmap_on_memory=lambda: 1), "assert False"),
    Bad("a word for no", _LIFE, hook(altmap_serves=lambda: "no"), "hook altmap_serves answered 'no', which is no bool"),
    Bad(
        "a notifier that breaks",
        _LIFE,
        hook(memory_notify=lambda notify: notify.pages),
        "hook memory_notify raised AttributeError",
    ),
]
# ---- what depends on more than the question ----

_seen: dict[int, int] = {}


def _random_leaves(kernel: Any, start_pfn: int, nr_pages: int, nid: int, altmap: Any) -> None:
    if altmap is None and random.random() < 0.5:
        kernel.memmap.populate_basepages(start_pfn, start_pfn + nr_pages, window=1 << 15, nid=nid, altmap=None)
    GOOD.vmemmap_populate(kernel, start_pfn, nr_pages, nid, altmap)


def _tosses(kernel: Any, start_pfn: int, nr_pages: int) -> None:
    random.random()  # and does nothing with it
    GOOD.vmemmap_free(kernel, start_pfn, nr_pages)


def _every_third(kernel: Any, start_pfn: int, nr_pages: int, nid: int, altmap: Any) -> None:
    _seen[0] = _seen.get(0, 0) + 1
    if altmap is None and not _seen[0] % 3:
        kernel.memmap.populate_basepages(start_pfn, start_pfn + nr_pages, window=1 << 15, nid=nid, altmap=None)
    GOOD.vmemmap_populate(kernel, start_pfn, nr_pages, nid, altmap)


def _only_once(kernel: Any, start_pfn: int, nr_pages: int, nid: int, altmap: Any) -> None:
    if kernel.tables.boot_altmap is None and _seen.setdefault(start_pfn, id(kernel.state)) != id(kernel.state):
        return
    GOOD.vmemmap_populate(kernel, start_pfn, nr_pages, nid, altmap)


def _nested_notes(kernel: Any, start_pfn: int, nr_pages: int) -> None:
    if "riscv" not in kernel.state.driver_state:
        kernel.state.driver_state["riscv"] = {"freed": []}
    kernel.state.driver_state["riscv"]["freed"].append(start_pfn)
    GOOD.vmemmap_free(kernel, start_pfn, nr_pages)


def _prints(kernel: Any, start_pfn: int, nr_pages: int) -> None:
    print("freeing", start_pfn)
    GOOD.vmemmap_free(kernel, start_pfn, nr_pages)


def _prints_sizes(request: Any) -> Geometry:
    print(request)
    sizes: Geometry = GOOD.page_sizing(request)
    return sizes


_SAME = "test_the_same_steps_give_the_same_machine"
_OWN = "test_the_life_of_a_copy_is_its_own"
_SILENT = "test_nothing_is_printed"
ALONE = [
    Bad("leaves of random size", _SAME, hook(vmemmap_populate=_random_leaves)),
    Bad("random numbers for nothing", _SAME, hook(vmemmap_free=_tosses), "the plugin takes random numbers"),
    Bad("a counter in the module", _SAME, hook(vmemmap_populate=_every_third)),
    Bad("addresses remembered in the module", _SAME, hook(vmemmap_populate=_only_once), "vmemmap_populate left pfn"),
    Bad("a list in the notes", _OWN, hook(vmemmap_free=_nested_notes)),
    Bad("print() in use", _SILENT, hook(vmemmap_free=_prints)),
    Bad("print() at boot", _SILENT, hook(page_sizing=_prints_sizes)),
]


# ---- sizes that the user asks for ----


def _crashes_on_sizes(request: Any) -> Geometry:
    {None: 0, 128 << 20: 1}[request.memory_block_size]
    sizes: Geometry = GOOD.page_sizing(request)
    return sizes


def _ignores_sizes(request: Any) -> Geometry:
    sizes: Geometry = GOOD.page_sizing(replace(request, memory_block_size=None, page_size=None))
    return sizes


_SIZES = "test_sizes_that_cannot_be_are_refused"
ASKED = [
    Bad("a KeyError for a size", _SIZES, hook(page_sizing=_crashes_on_sizes), "hook page_sizing raised KeyError"),
    Bad(
        "a size that is ignored",
        _SIZES,
        hook(page_sizing=_ignores_sizes),
        "hook page_sizing was asked for a page_size of 3",
    ),
]


@pytest.mark.parametrize("bad", [*AT_BOOT, *IN_USE, *ALONE, *ASKED], ids=lambda bad: bad.what)
def test_bug_is_noticed(bad: Bad) -> None:
    """The good plugin passes the test, the one with the bug does not."""
    _seen.clear()
    check("arch", GOOD, bad, contract)


def test_broken_hook_leaves_the_machine_as_it_was() -> None:
    """What the engine blames on a plugin is undone."""
    bad = next(bad for bad in IN_USE if bad.what == "an add of more")
    with plugged("arch", changed(GOOD, bad.changes)) as name:
        machine = Machine.boot(arch=name, kernel="linux-6.12", memory="1G")
        before = machine.to_dict()
        with pytest.raises(Exception, match="added sections outside of the range"):
            machine.add_memory(driver="dax", size="128M")
        assert machine.to_dict() == before


def test_good_one_keeps_the_whole_contract() -> None:
    """Every test of the contract passes for the plugin that the bad ones are made from."""
    with plugged("arch", changed(GOOD, {})) as name:
        tests = [test for test in dir(ArchContract) if test.startswith("test_")]
        assert len(tests) > 20
        assert {test: found for test in tests if (found := failures(contract(name), test))} == {}
