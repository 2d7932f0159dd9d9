"""The ranges of a recorded machine: which are somebody's."""

from __future__ import annotations

import re

from memhotplug.engine.boot.recorded_iomem import opened
from memhotplug.model.resources import Resource


def _range(start: int, end: int, name: str, *inner: Resource) -> Resource:
    return Resource(start=start, end=end, name=name, children=inner)


def test_a_range_that_is_only_described_is_looked_into() -> None:
    """Memory in a region of a window is somebody's; the window and the region are not."""
    memory = _range(0x2000, 0x2FFF, "System RAM (kmem)")
    window = _range(0x1000, 0x4FFF, "CXL Window 0", _range(0x2000, 0x3FFF, "region0", memory))
    ram = _range(0, 0xFFF, "System RAM", _range(0x100, 0x1FF, "Kernel code"))

    taken, described = opened([ram, window], re.compile(r"CXL Window|region\d+$"))

    assert taken == [ram, memory]
    assert [(entry.name, entry.children) for entry in described] == [("CXL Window 0", ()), ("region0", ())]


def test_what_lies_in_a_range_of_somebody_stays_there() -> None:
    """Nothing is opened below a range that is taken."""
    ram = _range(0, 0xFFF, "System RAM", _range(0x100, 0x1FF, "region0"))

    assert opened([ram], re.compile(r"region\d+$")) == ([ram], [])
