"""The columns of the table of memory blocks as its users see them: arrays of all rows, made when asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar, overload

from memhotplug.lazy import np

if TYPE_CHECKING:
    import numpy.typing as npt

    from memhotplug.model.blocks import BlockTable

__all__ = ["Column"]

_T = TypeVar("_T", bound="np.generic")


class Column(Generic[_T]):
    """A column of a table, with the rows that are not in arrays yet; shape (n,), read-only.

    Args:
        dtype: of its values, by name: nothing is made of it before there is a table.
    """

    def __init__(self, dtype: str) -> None:
        self.dtype = dtype

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, table: None, owner: type) -> Column[_T]: ...
    @overload
    def __get__(self, table: BlockTable, owner: type) -> npt.NDArray[_T]: ...
    def __get__(self, table: BlockTable | None, owner: type) -> Column[_T] | npt.NDArray[_T]:
        if table is None:
            return self
        found = table._whole.get(self.name)  # as column(), which is asked a hundred times by the invariants
        return table.column(self.name) if found is None else found
