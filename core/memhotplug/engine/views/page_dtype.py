"""How a struct page looks as a row of an array."""

import numpy as np

__all__ = ["PAGE_DTYPE"]

PAGE_DTYPE = np.dtype(
    [
        ("flags", np.uint64),
        ("refcount", np.int32),
        ("private", np.uint64),
        ("head", np.int64),
        ("mapping", np.uint64),
        ("node", np.int16),
        ("zone", np.int8),
        ("backing", np.int64),
    ]
)
"""One row a page: flags (PageFlag bits), refcount, private, head (pfn, -1 for none), mapping, node and zone
(-1 while no zone has the page), backing (pfn of the page that holds this struct page, -1 for none)."""
