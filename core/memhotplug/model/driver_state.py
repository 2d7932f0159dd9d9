"""What drivers remember of a machine between operations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from types import MappingProxyType

__all__ = ["DriverState"]


class DriverState(MutableMapping[str, Mapping[str, object]]):
    """What drivers remember, by driver: values are read-only, so that copies of a machine can share them."""

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, Mapping[str, object]] | None = None) -> None:
        self._values: dict[str, Mapping[str, object]] = dict(values or {})

    def __getitem__(self, driver: str) -> Mapping[str, object]:
        return self._values[driver]

    def __setitem__(self, driver: str, value: Mapping[str, object]) -> None:
        self._values[driver] = MappingProxyType(dict(value))

    def __delitem__(self, driver: str) -> None:
        del self._values[driver]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def setdefault(self, driver: str, default: Mapping[str, object] | None = None) -> Mapping[str, object]:
        """Return a driver's notes, which are those given if it has none; read-only either way."""
        if driver not in self._values:
            self[driver] = default or {}
        return self._values[driver]

    def copy(self) -> DriverState:
        """Return an independent mapping that shares the (read-only) values."""
        twin = DriverState.__new__(DriverState)
        twin._values = self._values.copy()
        return twin
