"""The page of the hooks: those of plugins from their specifications, and the steps of a profile."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Final

from tools.reference.api import signature
from tools.reference.docstrings import render
from tools.reference.markdown import code, fence, made_by, prose, table

from memhotplug import hookspecs
from memhotplug.engine.profile import STEPS, KernelProfile

__all__ = ["page"]

_SPECS: Final = {
    "Architectures": hookspecs.ArchSpec,
    "Kernels": hookspecs.ProfileSpec,
    "Drivers": hookspecs.DriverSpec,
    "Policies": hookspecs.PolicySpec,
    "Any plugin": hookspecs.NotifierSpec,
}


def page() -> str:
    """Return it."""
    lines = [
        made_by("hooks"),
        "# Hook signatures",
        "",
        "Every hook with its exact signature and what its specification says. How hooks are used, and what the kernel",
        "object offers them, is in [Hooks](../hooks.md). An implementation takes the arguments that it needs, by name.",
        "A hook that is not said to be optional is required.",
    ]
    for title, spec in _SPECS.items():
        lines += ["", f"## {title}", "", render(spec.__doc__ or "")]
        lines += _members(spec, [name for name, value in vars(spec).items() if inspect.isfunction(value)])
    lines += [
        "",
        "## Steps of a kernel profile",
        "",
        "Methods of a subclass of `KernelProfile`; see [Kernels](../profiles.md).",
    ]
    lines += ["", *table(("attribute of the class", ""), _class_attributes())]
    lines += _members(KernelProfile, [name for name in vars(KernelProfile) if name in STEPS])
    return "\n".join(lines) + "\n"


def _members(owner: type, names: list[str]) -> Iterator[str]:
    for name in names:
        function = getattr(owner, name)
        yield from ("", f"### {name}", "", fence(signature(name, function)), "", render(function.__doc__ or ""))


def _class_attributes() -> Iterator[tuple[str, str]]:
    lines = inspect.cleandoc(KernelProfile.__doc__ or "").split("Class attributes:\n")[1].splitlines()
    for line in lines:
        name, _, said = line.strip().partition(": ")
        yield code(name), prose(said)
