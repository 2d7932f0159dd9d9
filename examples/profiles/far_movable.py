"""Linux 6.12, in which a plain online puts memory of a node without CPU into its Movable zone, wherever it lies."""

from memhotplug.plugin import Kernel, KernelProfile, OnlineType, Zone, hookimpl, profile_of, zone_for_run


class FarMovable(profile_of("linux-6.12")):  # type: ignore[misc]  # which class, the installed plugin says
    def zone_for_rows(self, kernel: Kernel, rows: slice, online_type: OnlineType) -> tuple[Zone, int]:
        far = not kernel.state.nodes[kernel.state.blocks.value("nid", rows.start)].has_cpu
        if far and online_type is OnlineType.ONLINE:
            return zone_for_run(kernel.state, rows, OnlineType.ONLINE_MOVABLE, movable_node=False)
        return super().zone_for_rows(kernel, rows, online_type)  # type: ignore[no-any-return]


@hookimpl
def kernel_profile() -> KernelProfile:
    return FarMovable()
