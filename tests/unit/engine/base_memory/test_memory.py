"""The simulated /sys/devices/system: what attributes read, and what writes do."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import pytest

from memhotplug import Machine, MemoryHotplugError

Boot = Callable[..., Machine]
Refused = Callable[..., MemoryHotplugError]


@pytest.fixture
def machine(boot: Boot) -> Machine:
    """Return a machine with eight offline blocks, 32-39."""
    machine = boot()
    machine.add_memory(driver="acpi", name="dimm0", size="1G", mhp_flags="memblock")
    return machine


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("memory/block_size_bytes", "8000000\n"),
        ("memory/auto_online_blocks", "offline\n"),
        ("memory/vmemmap_hotplug", "enabled\n"),
        ("node/online", "0\n"),
        ("node/has_memory", "0\n"),
        ("memory/memory0/state", "online\n"),
        ("memory/memory0/online", "1\n"),
        ("memory/memory32/state", "offline\n"),
        ("memory/memory32/online", "0\n"),
        ("memory/memory32/phys_index", "00000020\n"),
        ("memory/memory32/phys_device", "0\n"),
        ("memory/memory32/removable", "1\n"),
        ("memory/memory32/valid_zones", "Normal Movable\n"),
        ("/sys/devices/system/memory/memory31/valid_zones", "DMA32\n"),
    ],
)
def test_attributes_read_as_in_the_kernel(machine: Machine, path: str, text: str) -> None:
    """With the trailing newline, below /sys/devices/system or from /sys/ on."""
    assert machine.read(path) == text


@pytest.mark.parametrize(
    "path", ["memory/nonsense", "memory/memory99/state", "memory/memory032/state", "memory/memory32/nonsense", "x"]
)
def test_missing_files_are_enoent(machine: Machine, refused: Refused, path: str) -> None:
    """For reading and for writing."""
    assert refused(machine.read, path).name == "ENOENT"
    assert refused(machine.write, path, "1").name == "ENOENT"


def test_probe_is_write_only(machine: Machine, refused: Refused) -> None:
    """Its mode is 0200."""
    problem = refused(machine.read, "memory/probe")

    assert str(problem) == "EACCES: /sys/devices/system/memory/probe is write-only"


@pytest.mark.parametrize("path", ["memory/block_size_bytes", "memory/memory32/removable", "node/online"])
def test_read_only_files_are_eacces(machine: Machine, refused: Refused, path: str) -> None:
    """Whatever is written."""
    assert str(refused(machine.write, path, "1")) == f"EACCES: /sys/devices/system/{path} is read-only"


@pytest.mark.parametrize(
    ("word", "zone"), [("online", "Normal"), ("online_kernel\n", "Normal"), ("online_movable", "Movable")]
)
def test_state_takes_the_kernel_s_words(machine: Machine, word: str, zone: str) -> None:
    """A trailing newline is fine."""
    machine.write("memory/memory33/state", "online_kernel")  # the kernel's first slab lies there
    machine.write("memory/memory32/state", word)

    assert machine.read("memory/memory32/state") == "online\n"
    assert machine.read("memory/memory32/valid_zones") == zone + "\n"
    machine.write("memory/memory32/state", "offline\n")
    assert machine.read("memory/memory32/state") == "offline\n"


@pytest.mark.parametrize("word", ["", "Online", "online ", "on", "going-offline", "online\n\n"])
def test_state_refuses_other_words(machine: Machine, refused: Refused, word: str) -> None:
    """EINVAL, with what it takes."""
    problem = refused(machine.write, "memory/memory32/state", word)

    assert str(problem) == f"EINVAL: state takes online, online_kernel, online_movable or offline, not {word!r}"


def test_state_is_not_idempotent_but_online_is(machine: Machine, refused: Refused) -> None:
    """The state file says EINVAL for the state it is in; the online file succeeds."""
    assert refused(machine.write, "memory/memory32/state", "offline").name == "EINVAL"
    machine.write("memory/memory32/online", "0")
    machine.write("memory/memory32/online", "1\n")
    machine.write("memory/memory32/online", "1\n")

    assert refused(machine.write, "memory/memory32/state", "online_movable").name == "EINVAL"
    assert machine.read("memory/memory32/online") == "1\n"


@pytest.mark.parametrize(
    ("value", "state"), [("y", 1), ("Y", 1), ("on", 1), ("ON", 1), ("n", 0), ("off", 0), ("oF", 0)]
)
def test_online_reads_booleans_as_kstrtobool(machine: Machine, value: str, state: int) -> None:
    """The first letter counts, after an o the second one too."""
    machine.write("memory/memory33/state", "online_kernel")  # the kernel's first slab lies there
    machine.write("memory/memory32/online", "0" if state else "1")

    machine.write("memory/memory32/online", value)

    assert machine.read("memory/memory32/online") == f"{state}\n"


@pytest.mark.parametrize("value", ["", "2", "o", "ox", "maybe"])
def test_online_refuses_other_text(machine: Machine, refused: Refused, value: str) -> None:
    """EINVAL."""
    assert str(refused(machine.write, "memory/memory32/online", value)) == f"EINVAL: online takes 0 or 1, not {value!r}"


@pytest.mark.parametrize(
    "value", ["0x140000000", "0x140000000\n", "5368709120", "050000000000", "+5368709120", "0X140000000"]
)
def test_probe_adds_the_one_block_at_an_address(machine: Machine, value: str) -> None:
    """In any base that kstrtoull() knows; without a flag."""
    machine.write("memory/probe", value)

    assert machine.read("memory/memory40/state") == "offline\n"
    heads = cast("list[dict[str, object]]", machine.to_dict()["vmemmap"])
    assert all(head["device"] == "dimm0" for head in heads)


@pytest.mark.parametrize(
    ("value", "errno"),
    [
        ("", "EINVAL"),
        ("here", "EINVAL"),
        ("-1", "EINVAL"),
        ("1_000", "EINVAL"),
        ("0b1", "EINVAL"),
        ("089", "EINVAL"),
        (" 0x140000000", "EINVAL"),
        ("0x140000001", "EINVAL"),
        ("0x144000000", "EINVAL"),
        ("0x100000000", "EEXIST"),
        ("0x10000000000000000", "ERANGE"),
        ("0xfffffffff8000000", "E2BIG"),
    ],
)
def test_probe_refuses_what_the_kernel_refuses(machine: Machine, refused: Refused, value: str, errno: str) -> None:
    """No number, not aligned to a block, occupied, or out of reach; nothing changes."""
    before = machine.to_dict()

    assert refused(machine.write, "memory/probe", value).name == errno
    assert machine.to_dict() == before


def test_has_memory_follows_present_pages(boot: Boot) -> None:
    """A node whose blocks are all offline is online without memory."""
    machine = boot()
    machine.add_memory(driver="acpi", name="dimm0", size="128M", node=2, mhp_flags="none")
    assert (machine.read("node/online"), machine.read("node/has_memory")) == ("0,2\n", "0\n")

    machine.online("dimm0")

    assert machine.read("node/has_memory") == "0,2\n"


@pytest.mark.parametrize("path", ["/sys/kernel/mm/hugepages", "/sys/devices/system/memory/none"])
def test_a_missing_file_is_named_as_it_was_asked_for(machine: Machine, refused: Refused, path: str) -> None:
    """Below /sys as well, where the model has next to nothing."""
    for problem in (refused(machine.read, path), refused(machine.write, path, "1")):
        assert str(problem) == f"ENOENT: there is no {path}"


@pytest.mark.parametrize("path", ["memory/probe", "memory/memory0/state", "memory/vmemmap_hotplug"])
def test_a_message_repeats_only_the_beginning_of_what_was_written(
    machine: Machine, refused: Refused, path: str
) -> None:
    """Megabytes of it help nobody."""
    problem = refused(machine.write, path, "9" * 100_000)

    assert problem.name == "EINVAL"
    assert len(problem.reason) < 200


@pytest.mark.parametrize(
    ("arch", "kernel", "cmdline", "name"),
    [
        ("s390", "linux-6.1", "", "ENOENT"),
        ("s390", "linux-6.12", "", "EACCES"),
        ("powerpc", "linux-6.1", "", "ENOENT"),
        ("powerpc", "linux-6.6", "disable_radix", "EACCES"),
        ("arm64", "linux-6.1", "", "EACCES"),
        ("x86_64", "linux-5.13", "", "EACCES"),
        ("x86_64", "v2-2019", "", "ENOENT"),
    ],
)
def test_memmap_on_memory_is_a_file_only_where_the_architecture_takes_part(
    refused: Refused, arch: str, kernel: str, cmdline: str, name: str
) -> None:
    """Its mode is 0444; where it is not built in, there is no file that could be opened."""
    machine = Machine.boot(arch=arch, kernel=kernel, memory="2G", cmdline=cmdline)

    assert refused(machine.write, "/sys/module/memory_hotplug/parameters/memmap_on_memory", "1").name == name
