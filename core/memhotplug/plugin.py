"""What a plugin author imports: hook marker, records, and the parts that plugins are made of.

Everything here is public and stable; nothing else of the core is needed to write an architecture,
a driver or a profile.
"""

from memhotplug.citations import models
from memhotplug.contracts import (
    AddRequest,
    ArchTraits,
    BootRange,
    DriverTraits,
    LazyRanges,
    MemoryEvent,
    MemoryNotify,
    PageFlag,
    PhysRange,
    RecordedDevice,
    Restrictions,
    SizingRequest,
    SysfsFile,
    Write,
    ZoneLimit,
)
from memhotplug.engine.boot.groups import join_group
from memhotplug.engine.event_log import Journal
from memhotplug.engine.kernel import Kernel
from memhotplug.engine.memory_hotplug.add import hot_add
from memhotplug.engine.memory_hotplug.block_devices import (
    create_memory_block_devices,
    remove_memory_block_devices,
)
from memhotplug.engine.memory_hotplug.online import offline_blocks, online_blocks, zone_of_rows
from memhotplug.engine.memory_hotplug.remove import remove_memory, take_range_away, try_offline_node
from memhotplug.engine.memory_hotplug.sections import (
    add_sections,
    arch_add_memory,
    auto_online,
    check_hotplug_memory_range,
    take_down_sections,
    try_online_node,
)
from memhotplug.engine.memory_hotplug.spans import shrink_zone_span
from memhotplug.engine.memory_hotplug.zone import zone_for_run
from memhotplug.engine.page_isolation import isolate, migrate, unisolate, unmovable_pages
from memhotplug.engine.page_tables import PageTables
from memhotplug.engine.profile import KernelProfile
from memhotplug.engine.profile_plugin import profile_of
from memhotplug.engine.sparse_vmemmap import SparseVmemmap
from memhotplug.engine.views.struct_page import PageArray
from memhotplug.errors import EHWPOISON, InputError, MemoryHotplugError, PluginError
from memhotplug.hookspecs import hookimpl
from memhotplug.keyspec import KeySpec
from memhotplug.lazy import np
from memhotplug.model.allocator import free_pages
from memhotplug.model.altmap import Altmap
from memhotplug.model.blocks import NO_ZONE, BlockState, OnlineType
from memhotplug.model.extents import Array, ExtentSet, merge
from memhotplug.model.geometry import Geometry
from memhotplug.model.resources import Resource
from memhotplug.model.state import Device, MachineState, ProfileState
from memhotplug.model.vmemmap import MapRuns, Source
from memhotplug.model.watermarks import settle_watermarks, setup_watermarks
from memhotplug.model.zones import Node, Zone, ZoneKind
from memhotplug.units import (
    div_round_up,
    format_blocks,
    format_range,
    format_size,
    is_aligned,
    is_power_of_two,
    kstrtobool,
    kstrtou,
    parse_size,
    partial_windows,
    round_down,
    round_up,
)

__all__ = [
    "EHWPOISON",
    "NO_ZONE",
    "AddRequest",
    "Altmap",
    "ArchTraits",
    "Array",
    "BlockState",
    "BootRange",
    "Device",
    "DriverTraits",
    "ExtentSet",
    "Geometry",
    "InputError",
    "Journal",
    "Kernel",
    "KernelProfile",
    "KeySpec",
    "LazyRanges",
    "MachineState",
    "MapRuns",
    "MemoryEvent",
    "MemoryHotplugError",
    "MemoryNotify",
    "Node",
    "OnlineType",
    "PageArray",
    "PageFlag",
    "PageTables",
    "PhysRange",
    "PluginError",
    "ProfileState",
    "RecordedDevice",
    "Resource",
    "Restrictions",
    "SizingRequest",
    "Source",
    "SparseVmemmap",
    "SysfsFile",
    "Write",
    "Zone",
    "ZoneKind",
    "ZoneLimit",
    "add_sections",
    "arch_add_memory",
    "auto_online",
    "check_hotplug_memory_range",
    "create_memory_block_devices",
    "div_round_up",
    "format_blocks",
    "format_range",
    "format_size",
    "free_pages",
    "hookimpl",
    "hot_add",
    "is_aligned",
    "is_power_of_two",
    "isolate",
    "join_group",
    "kstrtobool",
    "kstrtou",
    "merge",
    "migrate",
    "models",
    "np",
    "offline_blocks",
    "online_blocks",
    "parse_size",
    "partial_windows",
    "profile_of",
    "remove_memory",
    "remove_memory_block_devices",
    "round_down",
    "round_up",
    "settle_watermarks",
    "setup_watermarks",
    "shrink_zone_span",
    "take_down_sections",
    "take_range_away",
    "try_offline_node",
    "try_online_node",
    "unisolate",
    "unmovable_pages",
    "zone_for_run",
    "zone_of_rows",
]
