"""What a driver is asked to add, the ranges that it makes of it, and what comes with one on its way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Generic, TypeVar, overload

if TYPE_CHECKING:
    from memhotplug.model.altmap import Altmap

__all__ = ["AddRequest", "LazyRanges", "PhysRange", "Restrictions"]


@dataclass(frozen=True, kw_only=True, slots=True)
class PhysRange:
    """A physical range that a driver adds.

    Attributes:
        start, size: bytes.
        nid: node id; None leaves it to the address (memory_add_physaddr_to_nid()).
        backed: bytes from the start behind which there is real memory; None means all.
        withheld: bytes at the end that the driver keeps from the page allocator.
    """

    start: int
    size: int
    nid: int | None = None
    backed: int | None = None
    withheld: int = 0


_S = TypeVar("_S")


class LazyRanges(Sequence[PhysRange], Generic[_S]):
    """Ranges that are made when their turn comes: a driver may add millions of chunks.

    Args:
        source: what the ranges are made from, such as a ``range`` of addresses.
        make: returns the range for one item of it.
    """

    def __init__(self, source: Sequence[_S], make: Callable[[_S], PhysRange]) -> None:
        self._source = source
        self._make = make

    def __len__(self) -> int:
        return len(self._source)

    def __iter__(self) -> Iterator[PhysRange]:
        return map(self._make, self._source)

    @overload
    def __getitem__(self, index: int) -> PhysRange: ...
    @overload
    def __getitem__(self, index: slice) -> list[PhysRange]: ...
    def __getitem__(self, index: int | slice) -> PhysRange | list[PhysRange]:
        if isinstance(index, slice):
            return [self._make(item) for item in self._source[index]]
        return self._make(self._source[index])


@dataclass(frozen=True, kw_only=True, slots=True)
class AddRequest:
    """One hot-add as a scenario or a caller asks for it.

    Attributes:
        driver: the driver's plugin name.
        name: the device's name.
        size: bytes asked for.
        address: first byte, None to take the first legal one above all memory.
        nid: node asked for, None for the driver's own choice.
        options: the driver's own keys, checked against ``driver_keys``; read-only.
    """

    driver: str
    name: str
    size: int
    address: int | None = None
    nid: int | None = None
    options: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", MappingProxyType(dict(self.options)))


@dataclass(frozen=True, slots=True)
class Restrictions:
    """What travels with a range from add_memory() to the architecture.

    Models: include/linux/memory_hotplug.h:struct mhp_restrictions (v5.2), mhp_params (v5.7 and later).

    Attributes:
        flags: the MHP flags that are left after filtering.
        altmap: where the memmap comes from, None for the page allocator.
        step: pages that this kernel adds at once where it goes through the range in steps; 0 for all.
    """

    flags: int = 0
    altmap: Altmap | None = None
    step: int = 0
