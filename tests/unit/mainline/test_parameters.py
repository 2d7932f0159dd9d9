"""The module parameters of memory_hotplug: on the command line, and as files."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from memhotplug import InputError, Machine, MemoryHotplugError

Boot = Callable[..., Machine]
Refused = Callable[..., MemoryHotplugError]

FOLDER = "/sys/module/memory_hotplug/parameters/"


@pytest.mark.parametrize(
    ("kernel", "word", "mode"),
    [
        ("linux-6.12", "=force", "force"), ("linux-6.12", "=FORCE", "force"), ("linux-6.12", "=Force", "N"),
        ("linux-6.12", "=yes", "Y"), ("linux-6.12", "=True", "Y"), ("linux-6.12", "=on", "Y"),
        ("linux-6.12", "=of", "N"), ("linux-6.12", "=0", "N"), ("linux-6.12", "=off", "N"),
        ("linux-6.2", "=force", "N"), ("linux-6.2", "", "Y"), ("linux-6.2", "=1", "Y"),
    ],
)  # fmt: skip
def test_memmap_on_memory_reads_as_the_kernel_took_it(boot: Boot, kernel: str, word: str, mode: str) -> None:
    """A word of kstrtobool(), or exactly force; up to 6.5 that is just an f."""
    machine = boot(kernel=kernel, cmdline=f"memory_hotplug.memmap_on_memory{word}")

    assert machine.read(FOLDER + "memmap_on_memory") == f"{mode}\n"


@pytest.mark.parametrize("word", ["", "=", "=maybe", "=o", "=2"])
def test_what_the_kernel_would_refuse_is_bad_input(boot: Boot, word: str) -> None:
    """Since 6.6 the parameter wants a value."""
    with pytest.raises(InputError, match=r"expected Y, N or force for memory_hotplug\.memmap_on_memory"):
        boot(kernel="linux-6.12", cmdline=f"memory_hotplug.memmap_on_memory{word}")


@pytest.mark.parametrize(
    ("name", "value", "reads"),
    [
        ("online_policy", "auto-movable\n", "auto-movable\n"), ("online_policy", "auto", "EINVAL"),
        ("auto_movable_ratio", "0x12d\n", "301\n"), ("auto_movable_ratio", "010", "8\n"),
        ("auto_movable_ratio", "4294967296", "ERANGE"), ("auto_movable_ratio", "-1", "EINVAL"),
        ("auto_movable_ratio", "", "EINVAL"), ("auto_movable_numa_aware", "off", "N\n"),
        ("auto_movable_numa_aware", "", "EINVAL"), ("memmap_on_memory", "Y", "EACCES"), ("nothing", "1", "ENOENT"),
    ],
)  # fmt: skip
def test_writing_a_parameter(boot: Boot, refused: Refused, name: str, value: str, reads: str) -> None:
    """memmap_on_memory is for boot only, whatever the admin guide says."""
    machine = boot(kernel="linux-6.12")
    if not reads.endswith("\n"):
        assert refused(machine.write, FOLDER + name, value).name == reads
        return
    machine.write(FOLDER + name, value)
    assert machine.read(FOLDER + name) == reads


def test_a_boolean_without_a_value_is_true(boot: Boot) -> None:
    """As for every boolean parameter of a module."""
    machine = boot(kernel="linux-6.12", cmdline="memory_hotplug.auto_movable_numa_aware")

    assert machine.read(FOLDER + "auto_movable_numa_aware") == "Y\n"
