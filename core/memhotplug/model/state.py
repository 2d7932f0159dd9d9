"""Everything that a modelled machine is at one moment, in one copyable object."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, Protocol

from memhotplug.lazy import np
from memhotplug.model.blocks import BlockTable, OnlineType
from memhotplug.model.driver_state import DriverState
from memhotplug.model.extents import Array, ExtentSet
from memhotplug.model.geometry import Geometry
from memhotplug.model.resources import PCI_WINDOW, Resource, ResourceTable
from memhotplug.model.runs import FEW
from memhotplug.model.vm_sysctls import HugePages, VmSysctls
from memhotplug.model.vmemmap import VmemmapTable
from memhotplug.model.zones import Node, Zone, ZoneKey, ZoneKind
from memhotplug.units import round_up

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["Allocation", "Device", "MachineState", "Owner", "ProfileState", "Use"]


class ProfileState(Protocol):
    """What a profile remembers between operations; opaque to the core.

    A method ``deciding(groups)`` may return what of it decides what happens next, memory groups in the order of
    ``groups``, without what is only bookkeeping; else all of it counts where machines are compared.
    """

    def copy(self) -> ProfileState:
        """Return an independent copy."""
        ...


class Use(Enum):
    """What the kernel itself holds pages for; the value is the word for messages."""

    EARLY_BOOT = "early boot"
    PAGE_TABLES = "page tables"
    SECTION_ROOTS = "section roots"
    BLOCK_DEVICES = "block devices"
    SLAB = "slab"
    RECORDED = "recorded"
    GUEST = "recorded guest"

    __hash__ = object.__hash__  # members are one of a kind; allocations are looked up by them all the time


class Owner(NamedTuple):
    """A part of the kernel that holds pages; no workload can have its name.

    Attributes:
        use: what for.
        name: which of several with that use, such as the level of the page tables.
    """

    use: Use
    name: str = ""

    def __str__(self) -> str:
        return f"{self.use.value} {self.name}".rstrip()


class Allocation(NamedTuple):
    """Pages that one owner holds.

    Attributes:
        owner: a workload by its name, or a part of the kernel.
        movable: whether migration may move the pages.
        pinned: whether a movable page is pinned, so that migration fails for now.
        order: order that the pages were allocated with.
        pages: the pfns; never changed in place.
    """

    owner: str | Owner
    movable: bool = False
    pinned: bool = False
    order: int = 0
    pages: ExtentSet = ExtentSet()

    @property
    def name(self) -> str:
        """The owner, for messages."""
        return str(self.owner)

    @property
    def kernel(self) -> bool:
        """Whether the owner is the kernel itself rather than a workload."""
        return isinstance(self.owner, Owner)

    def is_for(self, use: Use) -> bool:
        """Return whether the kernel holds these pages for some use."""
        return isinstance(self.owner, Owner) and self.owner.use is use


class Device(NamedTuple):
    """A device that a driver brought memory for.

    Attributes:
        name: the name that scenario steps use.
        driver: the driver's plugin name.
        nid: node id of its memory.
        ranges: what it added and still has: (first byte, bytes), ascending.
        enabled: what its driver takes for added because there are sections already, left by an add that failed.
        waiting: what its driver could not add, and tries again as soon as it looks.
        group: id of its memory group, -1 for none.
        options: the driver's own keys of the add.
        closed: whether the step that brought it is over.
        slot: which of its driver's slots it is plugged into, the lowest that was empty; -1 where none is counted.
    """

    name: str
    driver: str
    nid: int = 0
    ranges: tuple[tuple[int, int], ...] = ()
    enabled: tuple[tuple[int, int], ...] = ()
    waiting: tuple[tuple[int, int], ...] = ()
    group: int = -1
    options: Mapping[str, object] = MappingProxyType({})
    closed: bool = False
    slot: int = -1

    @property
    def size(self) -> int:
        """Bytes that the device has now."""
        return sum(size for _, size in self.ranges)


def _common(a: ExtentSet, b: ExtentSet, start_pfn: int, end_pfn: int) -> int:
    return a.within(start_pfn, end_pfn).covered_by(b)


class MachineState:
    """The state of one machine.

    Attributes:
        geometry: the fixed sizes.
        nodes: by id, ascending.
        blocks: memory block devices.
        sections: pfns whose section has a memmap; ``early`` those since boot.
        vmemmap: what backs the memmap.
        resources: physical address space.
        claims: ranges that others may put memory into, by driver and device, or the PLATFORM's: a device's
            region, a CXL window; nameless ones are not in /proc/iomem. Values are replaced, never changed.
        allocations: who holds allocated pages, by owner: a workload's name, or a part of the kernel; memmap pages
            are in ``vmemmap`` instead.
        page_tables: by kind of table, which windows have one (in units of a window); ``boot_tables`` those of
            them that were made at boot, outside of the page allocator's books; sets are replaced, never changed.
        driver_state: what drivers remember between operations, by driver; values are replaced, never changed.
        devices: by the index that the block table uses; a removed one has no ranges.
        reserved: boot pfns that never reached the page allocator, the boot memmap apart.
        holes: pfns inside boot blocks where there is no memory.
        auto_online: what happens to blocks right after they were added.
        withheld: present pfns that a driver keeps from the page allocator (PG_offline).
        poisoned: pfns of pages that were given up as broken.
        unbacked: pfns of hot-added ranges behind which the hypervisor has put no memory.
        block_objects: hot-added memory blocks whose kernel objects are charged to this machine.
        boot_pages: pages that the page allocator managed when boot had finished.
        fail_allocation: fault injection: the number of allocations that still succeed, None for all.
        failed_devices_stay: whether a device whose add failed stays plugged in, as in a recorded machine;
            a scenario's step that fails takes its device back.
        huge_pages: for whom there are transparent huge pages, which raise the watermarks; None: as boot memory has it.
        min_free_kbytes: vm.min_free_kbytes as it is in force.
        vm: what the files below /proc/sys/vm ask for.
        movable_shares_marks: whether a Movable zone has its share of min_free_kbytes, as kernel zones have.
        profile: the profile's own memory.
    """

    __slots__ = (
        "allocations", "auto_online", "block_objects", "blocks", "boot_pages", "boot_tables", "claims", "devices",
        "driver_state", "early", "fail_allocation", "failed_devices_stay", "geometry", "holes", "huge_pages",
        "min_free_kbytes", "movable_shares_marks", "nodes", "page_tables", "poisoned", "profile", "reserved",
        "resources", "sections", "unbacked", "vm", "vmemmap", "withheld",
    )  # fmt: skip

    def __init__(self, geometry: Geometry, profile: ProfileState) -> None:
        self.geometry = geometry
        self.nodes: dict[int, Node] = {}
        self.blocks = BlockTable()
        self.sections = ExtentSet()
        self.early = ExtentSet()
        self.vmemmap = VmemmapTable(geometry.described_per_page)
        self.resources = ResourceTable()
        self.allocations: dict[str | Owner, Allocation] = {}
        self.page_tables: dict[str, ExtentSet] = {}
        self.boot_tables: dict[str, ExtentSet] = {}
        self.claims: dict[tuple[str, str], tuple[Resource, ...]] = {}
        self.devices: list[Device] = []
        self.driver_state = DriverState()
        self.reserved = ExtentSet()
        self.holes = ExtentSet()
        self.auto_online = OnlineType.OFFLINE
        self.withheld = ExtentSet()
        self.unbacked = ExtentSet()
        self.poisoned = ExtentSet()
        self.block_objects = 0
        self.boot_pages = 0
        self.fail_allocation: int | None = None
        self.failed_devices_stay = False
        self.huge_pages: HugePages | None = None
        self.min_free_kbytes = 0
        self.movable_shares_marks = False
        self.vm = VmSysctls()
        self.profile = profile

    def copy(self) -> MachineState:
        """Return an independent state; the arrays are shared, so the cost does not grow with memory."""
        # Spelled out: every operation begins with a copy.
        twin = MachineState.__new__(MachineState)
        twin.geometry, twin.auto_online = self.geometry, self.auto_online
        twin.block_objects, twin.boot_pages = self.block_objects, self.boot_pages
        twin.fail_allocation, twin.failed_devices_stay = self.fail_allocation, self.failed_devices_stay
        twin.huge_pages, twin.movable_shares_marks = self.huge_pages, self.movable_shares_marks
        twin.min_free_kbytes, twin.vm = self.min_free_kbytes, self.vm
        twin.nodes = {nid: node.copy() for nid, node in self.nodes.items()}
        twin.allocations = self.allocations.copy()
        twin.page_tables, twin.boot_tables = self.page_tables.copy(), self.boot_tables.copy()
        twin.claims, twin.devices, twin.driver_state = self.claims.copy(), self.devices.copy(), self.driver_state.copy()
        twin.blocks, twin.resources = self.blocks.copy(), self.resources.copy()
        twin.vmemmap, twin.sections, twin.early = self.vmemmap.copy(), self.sections.copy(), self.early.copy()
        twin.reserved, twin.holes, twin.withheld = self.reserved.copy(), self.holes.copy(), self.withheld.copy()
        twin.unbacked, twin.poisoned, twin.profile = self.unbacked.copy(), self.poisoned.copy(), self.profile.copy()
        return twin

    def zones(self) -> Iterator[Zone]:
        """Yield every zone, by node and type."""
        return iter([zone for node in self.nodes.values() for zone in node.zones.values()])

    def zone(self, key: ZoneKey) -> Zone:
        """Return a zone of an existing node."""
        return self.nodes[key[0]].zones[key[1]]

    def zone_of(self, pfn: int) -> Zone | None:
        """Return the zone that the struct page of ``pfn`` names, None if it names none yet."""
        return next((zone for zone in self.zones() if zone.linked.intersects(pfn, pfn + 1)), None)

    def asking_node(self) -> int:
        """Return the node of the CPU that asks for memory of no certain node: the lowest that has one."""
        return next((nid for nid, node in self.nodes.items() if node.has_cpu), min(self.nodes))

    def zonelist(self, nid: int, highest: ZoneKind) -> Iterator[Zone]:
        """Yield the zones that an allocation may use, in the order in which they are tried.

        All zones of the nearest node first, highest type first, then those of the next node; all other nodes are
        equally far. Nodes without a CPU come before those with one, and the next higher id before lower ones.

        Models: mm/page_alloc.c:build_zonelists(), find_next_best_node() (v5.2 to v6.12). Simplified: nodes that are
        equally good (three others at least) come by their ids, not in turn (node_load).
        """
        for node in self._by_distance(nid):
            for zone in reversed(node.zones.values()):
                if zone.managed and zone.kind <= highest:
                    yield zone

    def _by_distance(self, nid: int) -> Iterator[Node]:
        """Yield the nodes in the order of a node's zonelist; most of whoever asks goes no further than the node."""
        if nid in self.nodes:
            yield self.nodes[nid]
        others = [node for node in self.nodes.values() if node.nid != nid]
        yield from sorted(others, key=lambda node: ((node.nid < nid) + node.has_cpu, node.nid))

    def block_bounds(self, rows: slice) -> tuple[Array, Array]:
        """Return first pfn and end pfn of some blocks; int64, shape (n,)."""
        starts = self.blocks.id[rows] * self.geometry.pages_per_block
        return starts, starts + self.geometry.pages_per_block

    def pages_of(self, chosen: npt.NDArray[np.bool_] | None = None) -> ExtentSet:
        """Return all pages of all blocks, or of the chosen ones; ``chosen`` has shape (blocks,)."""
        return self.blocks.id_runs(chosen).times(self.geometry.pages_per_block)

    def pages_with(self, name: str, value: int) -> ExtentSet:
        """Return all pages of the blocks that have a value in a column of the block table."""
        return self.blocks.runs_with(name, value).times(self.geometry.pages_per_block)

    def span_of(self, rows: slice) -> tuple[int, int]:
        """Return first pfn and end pfn of some neighbouring blocks."""
        start, block = self.blocks.value("id", rows.start), self.geometry.pages_per_block
        return start * block, (start + rows.stop - rows.start) * block

    def behind_memmap(self, rows: slice) -> ExtentSet:
        """Return the pages of some neighbouring blocks, without those that blocks reserve for their own memmap."""
        start_pfn, end_pfn = self.span_of(rows)
        reserved = self.blocks.common("altmap_pages", rows)
        if reserved == 0:
            return ExtentSet.of_few([start_pfn], [end_pfn])
        block, count = self.geometry.pages_per_block, rows.stop - rows.start
        if reserved is None or count > FEW:
            starts, ends = self.block_bounds(rows)
            return ExtentSet(starts + self.blocks.altmap_pages[rows], ends)
        return ExtentSet.of_few(
            list(range(start_pfn + reserved, end_pfn + reserved, block)),
            list(range(start_pfn + block, end_pfn + 1, block)),
        )

    def put_device(self, index: int, **changes: object) -> None:
        """Replace fields of a device."""
        self.devices[index] = self.devices[index]._replace(**changes)  # type: ignore[arg-type]  # checked by callers

    def device_index(self, name: str) -> int | None:
        """Return the index of the youngest device of that name which still has memory, or None."""
        return self.youngest(name, lambda device: bool(device.ranges))

    def plugged_index(self, name: str) -> int | None:
        """Return the index of the youngest device of that name that its driver holds, if without memory, or None."""
        return self.youngest(name, lambda device: bool(device.ranges or device.enabled or device.waiting))

    def free_slot(self, driver: str) -> int:
        """Return the slot that a driver's next device is plugged into, -1 where what failed is taken back anyway."""
        if not self.failed_devices_stay:
            return -1
        plugged = [device for device in self.devices if device.ranges or device.enabled or device.waiting]
        taken = {device.slot for device in plugged if device.driver == driver}
        return next(slot for slot in range(len(taken) + 1) if slot not in taken)

    def youngest(self, name: str, counts: Callable[[Device], bool]) -> int | None:
        """Return the index of the youngest device of that name which counts, or None."""
        for index in range(len(self.devices) - 1, -1, -1):
            if self.devices[index].name == name and counts(self.devices[index]):
                return index
        return None

    def vmemmap_pages_by_block(self) -> Array:
        """Return for each block how many of its pages hold memmap; int64, shape (blocks,)."""
        starts, ends = self.block_bounds(slice(None))
        return self.vmemmap.backing().covered_many(starts, ends)

    def withheld_by_block(self) -> Array:
        """Return for each block how many of its pages a driver withholds; int64, shape (blocks,)."""
        starts, ends = self.block_bounds(slice(None))
        return self.withheld.covered_many(starts, ends)

    def early_pages(self, start_pfn: int, end_pfn: int) -> int:
        """Return how many pages of a range were there at boot, holes apart."""
        early = self.early.covered(start_pfn, end_pfn)
        return early - _common(self.early, self.holes, start_pfn, end_pfn) if early else 0

    def total_managed(self) -> int:
        """Return the pages that the page allocator manages (MemTotal in pages)."""
        return sum([zone.managed for zone in self.zones()])

    def block_of(self, pfn: int) -> int:
        """Return the id of the block that holds a pfn, whether it exists or not."""
        return pfn // self.geometry.pages_per_block

    def merge_system_ram(self, start: int) -> None:
        """Let the System RAM that begins at ``start`` (bytes) merge with its neighbours within a device's region.

        Models: kernel/resource.c:merge_system_ram_resource() (v5.10).
        """
        named = [claim for claims in self.claims.values() for claim in claims if claim.name]
        self.resources.merge(start, {edge for claim in named for edge in (claim.start, claim.end + 1)})

    def first_free_address(self, size: int = 1, *, align: int = 1, besides: tuple[str, str] | None = None) -> int:
        """Return the first block-aligned byte above all memory from which ``size`` bytes are nobody's.

        What is a device's or reserved is passed over. A PCI window is not: the room for memory ends there, and the
        address is one that the add is refused at.

        Args:
            size: bytes. align: what the address is a multiple of beside blocks, a power of two; in bytes.
            besides: driver and name of a device of which the claims do not count: it is to be made anew.
        """
        block = self.geometry.memory_block_size
        align = max(align, block)
        count = len(self.blocks)
        top = (self.blocks.value("id", count - 1) + 1) * block if count else 0
        address = round_up(max(top, self.resources.end(), self.geometry.hotplug_base), align)
        while taken := self._taken_until(address, max(size, 1), besides):
            address = round_up(taken, align)
        return address

    def _taken_until(self, start: int, size: int, besides: tuple[str, str] | None) -> int:
        """Return the first byte behind all that overlaps a range before a PCI window does, 0 if nothing does."""
        found = self.resources.overlapping(start, size)
        window = next((entry.start for entry in found if entry.name.startswith(PCI_WINDOW)), start + size)
        ends = [entry.end + 1 for entry in found if entry.start < window]
        for owner, claims in self.claims.items():
            if owner != besides:
                ends += (claim.end + 1 for claim in claims if claim.start < window and start <= claim.end)
        return max(ends, default=0)
