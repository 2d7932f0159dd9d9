"""numpy, imported when something of it is first used.

Half the time of listing the installed plugins went into an import that no list needs. A module that only has to be
there, and not to compute, takes ``np`` from here; it is numpy itself to every type checker.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

__all__ = ["np"]

if TYPE_CHECKING:
    import numpy as np
else:

    class _Numpy:
        """Stands for the module: a name is looked up there once, and is an attribute of this object from then on."""

        def __getattr__(self, name: str) -> object:
            import numpy

            value = getattr(numpy, name)
            setattr(self, name, value)
            return value

    np = _Numpy()
