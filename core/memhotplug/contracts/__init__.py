"""The records that cross the border between the core and a plugin."""

from memhotplug.contracts.events import MemoryEvent, MemoryNotify, PageFlag
from memhotplug.contracts.files import Ids, SysfsFile, Write
from memhotplug.contracts.requests import AddRequest, LazyRanges, PhysRange, Restrictions
from memhotplug.contracts.sizes import BootRange, SizesAsked, SizingRequest, ZoneLimit, sizes_of
from memhotplug.contracts.traits import ArchTraits, DriverTraits, RecordedDevice

__all__ = [
    "AddRequest",
    "ArchTraits",
    "BootRange",
    "DriverTraits",
    "Ids",
    "LazyRanges",
    "MemoryEvent",
    "MemoryNotify",
    "PageFlag",
    "PhysRange",
    "RecordedDevice",
    "Restrictions",
    "SizesAsked",
    "SizingRequest",
    "SysfsFile",
    "Write",
    "ZoneLimit",
    "sizes_of",
]
