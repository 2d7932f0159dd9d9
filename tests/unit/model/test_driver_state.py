"""What drivers remember: replaced as a whole, shared by copies, read-only."""

from __future__ import annotations

import pytest

from memhotplug.model.driver_state import DriverState


def test_what_a_driver_remembers_is_replaced_and_never_changed() -> None:
    """Whoever reads it cannot write into it, and whoever wrote it cannot any more."""
    given: dict[str, object] = {"a": 1}
    notes = DriverState({"old": {"x": 0}})
    notes["acpi"] = given
    given["a"] = 2
    assert (dict(notes["acpi"]), list(notes), len(notes)) == ({"a": 1}, ["old", "acpi"], 2)
    with pytest.raises(TypeError):
        notes["acpi"]["a"] = 3  # type: ignore[index]  # that it cannot be is what is tested
    twin = notes.copy()
    twin["acpi"] = {"a": 9}
    del twin["old"]
    assert (dict(notes["acpi"]), "old" in notes, "old" in twin, len(twin)) == ({"a": 1}, True, False, 1)


def test_a_driver_without_notes_gets_those_that_are_given() -> None:
    """Read-only ones; what it has already stays, and with nothing given it has none."""
    notes = DriverState()
    assert dict(notes.setdefault("xen", {"a": 1})) == {"a": 1}
    assert dict(notes.setdefault("xen", {"a": 2})) == {"a": 1}
    assert dict(notes.setdefault("dax")) == {}
    assert list(notes) == ["xen", "dax"]
    with pytest.raises(TypeError):
        notes.setdefault("xen", {})["a"] = 3  # type: ignore[index]  # that it cannot be is what is tested
