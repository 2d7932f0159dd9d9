"""/sys/module/memory_hotplug/parameters: a file for each parameter that the kernel has."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from memhotplug import Machine, MemoryHotplugError
from memhotplug.engine.base_memory.parameters import files

Boot = Callable[..., Machine]
Refused = Callable[..., MemoryHotplugError]
PARAMETERS = "/sys/module/memory_hotplug/parameters/"


def _names(machine: Machine) -> set[str]:
    return {file.path.rpartition("/")[2] for file in files(machine.kernel)}


@pytest.mark.parametrize(
    ("kernel", "names"),
    [
        ("v2-2019", set()),
        ("linux-5.13", {"memmap_on_memory"}),
        ("linux-6.12", {"memmap_on_memory", "online_policy", "auto_movable_ratio", "auto_movable_numa_aware"}),
    ],
)
def test_kernels_have_their_parameters(kernel: str, names: set[str], boot: Boot) -> None:
    """The series has none of its own."""
    assert _names(boot(kernel=kernel)) == names


@pytest.mark.parametrize(
    ("name", "written", "read"),
    [
        ("online_policy", "auto-movable", "auto-movable\n"),
        ("auto_movable_ratio", "150", "150\n"),
        ("auto_movable_numa_aware", "n", "N\n"),
    ],
)
def test_a_file_reads_what_was_written(name: str, written: str, read: str, boot: Boot) -> None:
    """In the kernel's own form."""
    machine = boot(kernel="linux-6.12")
    machine.write(PARAMETERS + name, written)
    assert machine.read(PARAMETERS + name) == read


@pytest.mark.parametrize(
    ("name", "written"),
    [("online_policy", "sometimes"), ("auto_movable_ratio", "much"), ("auto_movable_numa_aware", "maybe")],
)
def test_what_the_kernel_does_not_take_is_refused(name: str, written: str, boot: Boot, refused: Refused) -> None:
    """And nothing changes."""
    machine = boot(kernel="linux-6.12")
    before = machine.read(PARAMETERS + name)
    assert refused(machine.write, PARAMETERS + name, written).name == "EINVAL"
    assert machine.read(PARAMETERS + name) == before


def test_memmap_on_memory_is_for_the_command_line_alone(boot: Boot, refused: Refused) -> None:
    """0444: it is decided at boot."""
    machine = boot(kernel="linux-6.12", cmdline="memory_hotplug.memmap_on_memory=1")
    assert machine.read(PARAMETERS + "memmap_on_memory") == "Y\n"
    assert refused(machine.write, PARAMETERS + "memmap_on_memory", "0").name == "EACCES"


def test_a_parameter_that_is_not_there_cannot_be_read(boot: Boot, refused: Refused) -> None:
    """Neither by this kernel, nor one that nobody has."""
    assert refused(boot(kernel="linux-5.13").read, PARAMETERS + "online_policy").name == "ENOENT"
    assert refused(boot(kernel="linux-6.12").read, PARAMETERS + "nonsense").name == "ENOENT"
