"""Distributions that cannot be read, and names that several have."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from memhotplug import Machine, manager
from memhotplug.errors import MemoryHotplugError
from memhotplug.output.hooktrace import trace_line


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of distributions."""
    monkeypatch.syspath_prepend(str(tmp_path))
    manager._entry_points.cache_clear()
    yield tmp_path
    manager._entry_points.cache_clear()


@pytest.mark.parametrize(
    "content",
    [b"[memhotplug.drivers]\nacpj = \xff\xfe\n", b"[memhotplug.drivers]\nno equals sign here\n[memhotplug."],
    ids=["no UTF-8", "no equals sign"],
)
def test_a_distribution_that_cannot_be_read_is_left_out_and_named(content: bytes, site: Path) -> None:
    """Even a foreign one; everything else is there."""
    info = site / "broken-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (info / "entry_points.txt").write_bytes(content)
    assert "acpi" in manager.names("drivers")
    named = [line for line in manager.left_out() if str(info) in line]
    assert len(named) <= 1
    if b"\xff" in content:
        assert named


def test_default_names_are_those_of_a_scenario() -> None:
    """A name is given once, whatever became of the add that it was given to."""
    machine = Machine.boot(arch="x86_64", kernel="linux-6.12", memory="1G")
    with pytest.raises(MemoryHotplugError):
        machine.add_memory(driver="acpi", size="1M")
    assert machine.add_memory(driver="acpi", size="128M").name == "acpi1"
    assert machine.copy().add_memory(driver="acpi", size="128M").name == "acpi2"
    assert machine.add_memory(driver="acpi", size="128M").name == "acpi2"


def test_a_traced_call_is_one_line_without_addresses() -> None:
    """Objects lie elsewhere in each process."""
    line = trace_line("p", "h", {"kernel": 1, "a": object(), "b": [1, 2, 3, 4], "c": "x" * 99}, 1 << 20)
    assert line == f"p: h(a=<object object>, b=[1, … 4], c='{'x' * 58}…) -> 0x100000"
