"""Whether a block may host its own memmap: the first rule that forbids it, in the order of each kernel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import pytest

from memhotplug import Machine

Boot: TypeAlias = Callable[..., Machine]
_MIB, _GIB = 1 << 20, 1 << 30
_ON = "memory_hotplug.memmap_on_memory=1"
_FORCE = "memory_hotplug.memmap_on_memory=force"


def rule(machine: Machine, size: int | None = None) -> str | None:
    """Return what forbids it, for a range or for one block."""
    kernel = machine.kernel
    return kernel.profile.memmap_on_memory_refusal(kernel, size)


@pytest.mark.parametrize(
    ("kernel", "cmdline", "size", "said"),
    [
        ("linux-6.12", "", None, "memory_hotplug.memmap_on_memory is off"),
        ("linux-6.12", "memory_hotplug.memmap_on_memory=0", None, "memory_hotplug.memmap_on_memory is off"),
        ("linux-6.12", _ON, None, None),
        ("linux-6.12", _ON, 128 * _MIB, None),
        ("linux-6.12", _ON, 256 * _MIB, None),
        ("linux-6.12", _FORCE, None, None),
        ("linux-6.6", _ON, 128 * _MIB, None),
        ("linux-6.6", _ON, 256 * _MIB, "the range is not exactly one memory block of 128M"),
        ("linux-6.6", _ON, 64 * _MIB, "the range is not exactly one memory block of 128M"),
        ("linux-5.15", _ON, 128 * _MIB, None),
        ("linux-5.15", _ON, 1 * _GIB, "the range is not exactly one memory block of 128M"),
        ("linux-5.15", "", 1 * _GIB, "memory_hotplug.memmap_on_memory is off"),
    ],
)
def test_x86_64_hosts_what_the_parameter_and_the_size_allow(
    boot: Boot, kernel: str, cmdline: str, size: int | None, said: str | None
) -> None:
    """Since 6.8 a range of several blocks is split; before, it must be exactly one."""
    assert rule(boot(kernel=kernel, cmdline=cmdline), size) == said


@pytest.mark.parametrize(
    ("keywords", "kernel", "cmdline", "said"),
    [
        ({"arch": "arm64"}, "linux-6.12", _ON, None),
        ({"arch": "arm64"}, "linux-6.1", _ON, None),
        (
            {"arch": "arm64", "page_size": "64K"}, "linux-6.12", _ON,
            "8 pages of memmap are not a multiple of a pageblock of 8192 pages",
        ),
        ({"arch": "arm64", "page_size": "64K"}, "linux-6.12", _FORCE, "the memmap would take the whole block"),
        (
            {"arch": "arm64", "page_size": "64K"}, "linux-6.1", _ON,
            "the architecture refuses 512K of memmap a block",
        ),
        (
            {"arch": "powerpc", "memory_block_size": "256M"}, "linux-6.12", _ON,
            "4 pages of memmap are not a multiple of a pageblock of 32 pages",
        ),
        ({"arch": "powerpc", "memory_block_size": "256M"}, "linux-6.12", _FORCE, None),
        ({"arch": "s390"}, "linux-6.1", _ON, "the architecture refuses 4M of memmap a block"),
        ({"arch": "s390"}, "linux-6.12", _ON, None),
        (
            {"arch": "x86_64", "memory_block_size": "128M", "page_size": "4K"}, "linux-6.12", _ON, None,
        ),
    ],
)  # fmt: skip
def test_pages_and_architecture_have_their_say(
    boot: Boot, keywords: dict[str, Any], kernel: str, cmdline: str, said: str | None
) -> None:
    """Whole pages, whole pageblocks, less than the block; up to 6.5 the architecture is asked first, then last."""
    assert rule(boot(**keywords, kernel=kernel, cmdline=cmdline)) == said


def test_without_vmemmap_nothing_is_hosted(boot: Boot) -> None:
    """The configuration is asked before the parameter."""
    for cmdline in ("", _ON):
        machine = boot(kernel="linux-6.12", cmdline=cmdline)
        machine.kernel.sparsemem_vmemmap = False
        assert rule(machine) == "CONFIG_SPARSEMEM_VMEMMAP is not set"


@pytest.mark.parametrize(
    ("block", "kernel", "cmdline", "usable"),
    [("128M", "linux-6.12", _ON, 32256), ("128M", "linux-6.12", _FORCE, 32256), ("1G", "linux-6.12", _ON, 258048)],
)
def test_a_block_keeps_as_many_pages_as_its_memmap_needs(
    boot: Boot, block: str, kernel: str, cmdline: str, usable: int
) -> None:
    """A 64th of it with 4 KiB pages; with force in whole pageblocks, which it is already."""
    machine = boot(kernel=kernel, cmdline=cmdline, memory_block_size=block)
    machine.add_memory(driver="acpi", size=block)
    blocks: list[dict[str, Any]] = machine.to_dict()["blocks"]  # type: ignore[assignment]  # plain JSON
    assert [entry["usable_pages"] for entry in blocks if entry["device"]] == [usable]


def test_force_keeps_whole_pageblocks(boot: Boot) -> None:
    """powerpc: 4 pages of memmap take a pageblock of 32, of which 28 are wasted."""
    machine = boot(arch="powerpc", kernel="linux-6.12", memory_block_size="256M", cmdline=_FORCE)
    machine.add_memory(driver="pseries", size="256M")
    blocks: list[dict[str, Any]] = machine.to_dict()["blocks"]  # type: ignore[assignment]  # plain JSON
    assert [(entry["usable_pages"], entry["vmemmap_pages"]) for entry in blocks if entry["device"]] == [(4064, 4)]
