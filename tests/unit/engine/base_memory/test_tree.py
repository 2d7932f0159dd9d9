"""The tree of the modelled /sys and /proc: every file of the table, once, with its mode, and nothing else."""

from __future__ import annotations

import pytest

from memhotplug import Machine, MemoryHotplugError
from memhotplug.contracts import SysfsFile
from memhotplug.engine.base_memory import Entry, Folder, tree_of
from memhotplug.engine.base_memory.tree import Tree

_NODE = "sys/devices/system/node"
_MEMORY = "sys/devices/system/memory"


@pytest.fixture
def machine() -> Machine:
    """Return a machine of two nodes with a DIMM on the second."""
    machine = Machine.boot(
        arch="x86_64", kernel="linux-6.12", memory=[{"node": 0, "size": "1G"}, {"node": 1, "size": "1G"}]
    )
    machine.add_memory(driver="acpi", name="dimm0", size="256M", node=1)
    return machine


def _at(machine: Machine, path: str) -> Entry:
    entry = tree_of(machine.kernel).find(machine.kernel, path)
    assert entry is not None, path
    return entry


def _names(machine: Machine, path: str) -> list[str]:
    return list(tree_of(machine.kernel).names(machine.kernel, _at(machine, path)))


def test_directories_list_what_is_in_them(machine: Machine) -> None:
    """Plain files first, then what there is once for each number; synthetic files are not listed."""
    assert _names(machine, "sys") == ["devices", "module", "kernel"]
    assert _names(machine, f"{_NODE}/node1")[-4:] == ["memory14", "memory15", "memory32", "memory33"]
    assert _names(machine, f"{_MEMORY}/memory32") == [
        "state", "online", "phys_index", "phys_device", "removable", "valid_zones", "uevent", "subsystem", "node1",
    ]  # fmt: skip


def test_links_lead_from_nodes_to_blocks_and_back(machine: Machine) -> None:
    """As lsmem and the kernel's users follow them."""
    for path, target in (
        (f"{_MEMORY}/memory32/node1", "../../node/node1"),
        (f"{_NODE}/node1/memory32", "../../memory/memory32"),
    ):
        file = _at(machine, path).node
        assert isinstance(file, SysfsFile)
        assert file.link is not None
        assert file.link(machine.kernel, _at(machine, path).ids) == target


@pytest.mark.parametrize(
    "path",
    [
        f"{_MEMORY}/memory99", f"{_MEMORY}/memory032", f"{_MEMORY}/memory", f"{_MEMORY}/memory32/node0",
        f"{_MEMORY}/memory32/state/x", f"{_NODE}/node2", f"{_NODE}/node0/memory32", "sys/firmware", "dev",
        f"{_MEMORY}//memory32",
    ],
)  # fmt: skip
def test_what_is_not_there_is_not_found(machine: Machine, path: str) -> None:
    """Other blocks, other nodes' blocks, numbers that are written in another way, files taken for directories."""
    assert tree_of(machine.kernel).find(machine.kernel, path) is None


@pytest.mark.parametrize(
    ("path", "mode"),
    [
        (f"{_MEMORY}/block_size_bytes", 0o444),
        (f"{_MEMORY}/auto_online_blocks", 0o644),
        (f"{_MEMORY}/probe", 0o200),
        (f"{_MEMORY}/hard_offline_page", 0o200),
        (f"{_MEMORY}/memory0/state", 0o644),
        (f"{_MEMORY}/memory0/valid_zones", 0o444),
        ("sys/module/memory_hotplug/parameters/online_policy", 0o644),
        ("sys/module/memory_hotplug/parameters/memmap_on_memory", 0o444),
        ("sys/kernel/debug/notifier-error-inject/memory/actions/MEM_GOING_ONLINE/error", 0o644),
        ("proc/zoneinfo", 0o444),
        ("proc/pagetypeinfo", 0o400),
    ],
)
def test_modes_are_the_kernel_s(machine: Machine, path: str, mode: int) -> None:
    """By what a file can do."""
    file = _at(machine, path).node
    assert isinstance(file, SysfsFile)
    assert file.mode == mode


def test_every_file_can_be_read_or_written_and_is_found_again(machine: Machine) -> None:
    """What a walk meets is what a look-up finds."""
    tree = tree_of(machine.kernel)
    seen = 0
    for path, entry in tree.walk(machine.kernel):
        assert tree.find(machine.kernel, path) == entry
        if isinstance(entry.node, SysfsFile) and entry.node.show is not None:
            text = machine.read("/" + path)
            assert text == "" or text.endswith("\n"), path
        seen += not isinstance(entry.node, Folder)
    assert seen > 100


def test_only_a_driver_with_files_of_its_own_changes_the_tree(machine: Machine) -> None:
    """The Hyper-V balloon has none; those of dax are there with it."""
    plugins, before = machine.kernel.plugins, tree_of(machine.kernel)

    plugins.driver("hv_balloon")
    assert tree_of(machine.kernel) is before
    plugins.driver("dax")
    after = tree_of(machine.kernel)

    own = plugins.having("sysfs_files")
    assert own == ("drivers:dax",)
    assert (before.find(machine.kernel, "sys/bus/dax"), after is before) == (None, False)
    assert after.find(machine.kernel, "sys/bus/dax") is not None


def test_a_removed_block_leaves_every_directory(machine: Machine) -> None:
    """Its own, and its node's."""
    machine.remove("dimm0")

    assert _names(machine, f"{_NODE}/node1")[-2:] == ["memory14", "memory15"]
    assert tree_of(machine.kernel).find(machine.kernel, f"{_MEMORY}/memory32") is None


def test_an_injected_error_refuses_until_it_is_taken_back(machine: Machine) -> None:
    """As notifier-error-inject does; copies of the machine are told apart."""
    path = "/sys/kernel/debug/notifier-error-inject/memory/actions/MEM_GOING_ONLINE/error"
    assert machine.read(path) == "0\n"
    machine.write(path, "-12\n")
    twin = machine.copy()
    twin.write(path, "0")

    assert machine.read(path) == "-12\n"
    with pytest.raises(MemoryHotplugError) as refused:
        machine.online("block 32")
    assert str(refused.value) == "ENOMEM: notifier-error-inject vetoed MEM_GOING_ONLINE"
    twin.online("block 32")
    assert twin.read("memory/memory32/state") == "online\n"


@pytest.mark.parametrize(
    ("value", "reads"), [("5", "0\n"), ("-0x10", "-16\n"), ("-99999", "-4095\n"), (" -1\n", "-1\n")]
)
def test_injected_errors_are_clamped_as_by_the_kernel(machine: Machine, value: str, reads: str) -> None:
    """To an errno, which is negative."""
    path = "/sys/kernel/debug/notifier-error-inject/memory/actions/MEM_GOING_OFFLINE/error"
    machine.write(path, value)
    assert machine.read(path) == reads


@pytest.mark.parametrize("value", ["", "x", "-", "--1", "1 2", "0x"])
def test_injected_errors_are_numbers(machine: Machine, value: str) -> None:
    """EINVAL otherwise."""
    path = "/sys/kernel/debug/notifier-error-inject/memory/actions/MEM_GOING_OFFLINE/error"
    with pytest.raises(MemoryHotplugError) as refused:
        machine.write(path, value)
    assert str(refused.value) == f"EINVAL: error takes 0 or a negative errno such as -12, not {value!r}"


@pytest.mark.parametrize(("path", "errno"), [("memory", "EISDIR"), ("memory/memory0/node0", "EINVAL")])
def test_directories_and_links_are_no_files(machine: Machine, path: str, errno: str) -> None:
    """For reading and for writing."""
    for attempt in (lambda: machine.read(path), lambda: machine.write(path, "1")):
        with pytest.raises(MemoryHotplugError) as refused:
            attempt()
        assert refused.value.name == errno


def test_uevent_takes_the_kernel_s_words(machine: Machine) -> None:
    """Others are EINVAL."""
    machine.write("memory/memory0/uevent", "change\n")
    assert machine.read("memory/memory0/uevent") == ""
    with pytest.raises(MemoryHotplugError) as refused:
        machine.write("memory/memory0/uevent", "dance")
    assert refused.value.name == "EINVAL"


def test_a_file_may_lie_in_the_root_itself(machine: Machine) -> None:
    """A path need not have a directory: the file is in the root, beside the directories."""
    tree = Tree([SysfsFile(path="version"), SysfsFile(path="sys/one")])
    assert [path for path, _ in tree.walk(machine.kernel)] == ["version", "sys", "sys/one"]
