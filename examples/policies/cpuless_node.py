"""Memory of a node without CPU hosts its own memmap; that of any other node takes it from the page allocator.

The question: the memmap of a DIMM is touched by every CPU of its node, so it is best kept in memory that is there
already; memory that is far from every CPU (CXL, persistent memory) should not eat the near memory for it.
"""

from memhotplug.plugin import AddRequest, Kernel, PhysRange, hookimpl


@hookimpl
def policy_mhp_flags(kernel: Kernel, request: AddRequest, phys_range: PhysRange, driver_flags: int) -> int:
    """Self-host where nobody computes."""
    nid = phys_range.nid if phys_range.nid is not None else kernel.node_of_address(phys_range.start)
    node = kernel.state.nodes.get(nid)  # None: the range brings the node, which has no CPU then
    hosting = kernel.flag("on_memory") or kernel.flag("memblock")
    return driver_flags & ~hosting if node is not None and node.has_cpu else driver_flags | hosting
