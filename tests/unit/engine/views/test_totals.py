"""What the memmap of hot-added memory costs: the parts add up, also of memory that is gone."""

from __future__ import annotations

import pytest

from memhotplug import Machine
from memhotplug.engine.views.document import memmap_totals


@pytest.mark.parametrize("flags", ["device", "none"])
@pytest.mark.parametrize(("arch", "left"), [("arm64", True), ("x86_64", False)])
def test_memmap_that_a_removal_leaves_behind_lies_on_a_node(arch: str, left: bool, flags: str) -> None:
    """The arm64 of 2019 cannot take memmap away with its memory; by node it counts all the same."""
    machine = Machine.boot(arch=arch, kernel="v2-2019", memory="4G")
    dimm = machine.add_memory(driver="acpi", size="1G", mhp_flags=flags)
    whole = memmap_totals(machine.kernel)
    machine.remove(dimm)
    after = memmap_totals(machine.kernel)

    for totals in (whole, after):
        by_node, own, allocated = (totals[key] for key in ("by_node", "self_hosted_pages", "allocated_pages"))
        assert isinstance(by_node, dict)
        assert isinstance(own, int)
        assert isinstance(allocated, int)
        assert sum(by_node.values()) == own + allocated
    assert bool(after["by_node"]) is left
