"""Where the kernel has what a function models, kept as a value.

Docstrings say it to whoever reads the code; Python drops them under ``-OO``, and answers must not change by that.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, TypeVar

__all__ = ["citation_of", "models"]

_F = TypeVar("_F", bound=Callable[..., Any])
_FORM: Final = re.compile(r"[\w./-]+(:\w+\(\)|/Kconfig:\w+|\.[ch])( \(v[\d.]+[^()]*\))?")
_ATTRIBUTE: Final = "__models__"


def models(source: str) -> Callable[[_F], _F]:
    """Return a decorator that says which kernel function a hook or a profile's step models.

    ``explain`` cites it where the hook decides. It stands above or below ``hookimpl``.

    >>> @models("drivers/dax/kmem.c:dev_dax_kmem_probe() (v6.8)")
    ... def mhp_flags() -> int: ...

    Args:
        source: ``file:function()``, or a symbol of a Kconfig, and the versions in parentheses; without versions, it
            is said of the kernel in question.

    Raises:
        ValueError: it has another form.
    """
    if not isinstance(source, str) or _FORM.fullmatch(source) is None:
        raise ValueError(f"a citation is written path/file.c:function() (v6.1 to v6.12), not {source!r}")

    def decorate(function: _F) -> _F:
        setattr(function, _ATTRIBUTE, source)
        return function

    return decorate


def citation_of(function: object, version: tuple[int, int]) -> str | None:
    """Return what a function models, with its versions; None if nothing says.

    Args:
        version: added where the citation names none.
    """
    source = getattr(function, _ATTRIBUTE, None)
    if not isinstance(source, str):
        return None
    return source if source.endswith(")") and "(v" in source else f"{source} (v{version[0]}.{version[1]})"
