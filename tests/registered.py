"""What this project registers as plugins, as its entry points say: tests list none, or they would have to know all."""

from __future__ import annotations

from importlib.metadata import distribution

__all__ = ["ARCHES", "DRIVERS", "built_in"]


def built_in(kind: str) -> tuple[str, ...]:
    """Return the names of one kind (arch, drivers, profiles, policies), in the order of the alphabet."""
    entries = distribution("memhotplug").entry_points
    return tuple(sorted(entry.name for entry in entries if entry.group == f"memhotplug.{kind}"))


ARCHES = ", ".join(built_in("arch"))
DRIVERS = ", ".join(built_in("drivers"))
"""As messages list them."""
