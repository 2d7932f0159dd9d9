"""``valid_zones`` of all blocks at once is what the file of each of them reads."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memhotplug import Machine, MemoryHotplugError, PluginError
from memhotplug.engine.base_memory.valid_zones import _few_offline, _many_offline, zone_words

AUTO = "memory_hotplug.online_policy=auto-movable memory_hotplug.auto_movable_ratio=301"
PROFILE = """
from memhotplug.plugin import KernelProfile, OnlineType, hookimpl, np, profile_of, zone_for_run


class Mine(profile_of("linux-6.12")):
    def zone_for_rows(self, kernel, rows, online_type):
        odd = kernel.state.blocks.value("id", rows.start) % 2
        asked = OnlineType.ONLINE_MOVABLE if odd else OnlineType.ONLINE_KERNEL
        return zone_for_run(kernel.state, slice(rows.start, rows.start + 1), asked, movable_node=False)
{keys}

@hookimpl
def kernel_profile():
    return Mine()
"""


def shown(machine: Machine) -> dict[int, list[str]]:
    """Return what the machine's description says, by block, with the file's word for no zone."""
    return {block["id"]: block["valid_zones"] or ["none"] for block in machine.to_dict()["blocks"]}


def read(machine: Machine) -> dict[int, list[str]]:
    """Return what each block's own file reads."""
    ids = machine.kernel.state.blocks.id.tolist()
    return {block: machine.read(f"memory/memory{block}/valid_zones").split() for block in ids}


def mine(tmp_path: Path, keys: str = "") -> Machine:
    """Return a machine under a profile that has a rule of its own for each block, with four blocks offline."""
    path = tmp_path / "mine.py"
    path.write_text(PROFILE.format(keys=keys), encoding="utf-8")
    machine = Machine.boot(arch="x86_64", kernel="mine", memory="1G", plugins=path)
    machine.add_memory(driver="acpi", name="dimm0", size="512M")
    return machine


def test_a_unit_of_a_device_decides_for_its_own_blocks_only() -> None:
    """Where one block of a big block went to the kernel zone, its others follow; those of the next one do not."""
    machine = Machine.boot(arch="x86_64", kernel="linux-6.12", memory="4G", cmdline=AUTO)
    machine.add_memory(driver="virtio_mem", name="vm0", size="1G", device_size="4G", block_size="512M")
    machine.online("block 32", zone="kernel")
    found = shown(machine)
    assert found[32] == ["Normal"]
    assert [found[block] for block in (33, 34, 35)] == [["Normal", "Movable"]] * 3
    assert [found[block] for block in (36, 37, 38, 39)] == [["Movable", "Normal"]] * 4
    assert found == read(machine)


def test_a_profile_that_decides_anew_is_asked_for_each_block(tmp_path: Path) -> None:
    """What the kernel that it is based on says of itself holds no longer."""
    machine = mine(tmp_path)
    found = shown(machine)
    assert [found[block] for block in (32, 33, 34, 35)] == [["Normal"], ["Movable"], ["Normal"], ["Movable"]]
    assert found == read(machine)


def test_a_profile_may_say_what_its_rule_hangs_on(tmp_path: Path) -> None:
    """Then blocks that are alike in that are asked once, and the answers are the same."""
    keys = "    def zone_keys(self, kernel):\n        return (kernel.state.blocks.id % 2,)\n"
    machine = mine(tmp_path, keys)
    assert shown(machine) == read(machine) == shown(mine(tmp_path))


@pytest.mark.parametrize("answer", ["None", "3", "(1,)", "(np.zeros(1, dtype=np.int64),)", "[[0] * 12]"])
def test_an_answer_that_is_no_column_of_blocks_is_the_profiles_fault(tmp_path: Path, answer: str) -> None:
    """It is named, with what it said."""
    machine = mine(tmp_path, f"    def zone_keys(self, kernel):\n        return {answer}\n")
    with pytest.raises(PluginError, match=r"mine.*zone_keys. answered .*, which is no columns of 12 blocks"):
        machine.to_dict()


def test_what_somebody_does_to_a_description_is_in_no_other() -> None:
    """The lists of zones are made for each."""
    machine = Machine.boot(arch="x86_64", kernel="linux-6.12", memory="1G")
    before = shown(machine)
    for block in machine.to_dict()["blocks"]:
        block["valid_zones"].append("mine")
    assert shown(machine) == before


@given(
    st.sampled_from(["", AUTO, f"{AUTO} movable_node", "movable_node"]),
    st.sampled_from(["128M", "256M", "512M"]),
    st.lists(st.tuples(st.integers(32, 47), st.sampled_from(["kernel", "movable", "auto"])), max_size=6),
)
def test_all_at_once_say_what_each_says(cmdline: str, unit: str, onlined: list[tuple[int, str]]) -> None:
    """Whatever is online where, in a device of big blocks and in a DIMM behind it."""
    machine = Machine.boot(arch="x86_64", kernel="linux-6.12", memory="4G", cmdline=cmdline)
    machine.add_memory(driver="virtio_mem", name="vm0", size="1G", device_size="1G", block_size=unit)
    machine.add_memory(driver="acpi", name="dimm0", size="1G", address=6 << 30)
    blocks = machine.kernel.state.blocks.id.tolist()[32:]
    for block, zone in onlined:
        with suppress(MemoryHotplugError):  # it was online already
            machine.online(f"block {blocks[block - 32]}", zone=zone)
    assert shown(machine) == read(machine)
    kernel = machine.kernel
    keys = kernel.profile.zone_keys(kernel)
    assert list(_few_offline(kernel, keys)) == list(_many_offline(kernel, keys))
    assert zone_words(kernel) == [" ".join(words) for words in read(machine).values()]


def test_a_machine_of_many_blocks_says_what_each_says() -> None:
    """Beyond the number up to which they are looked at one by one."""
    machine = Machine.boot(arch="x86_64", kernel="linux-6.12", memory="8G", cmdline=AUTO)
    machine.add_memory(driver="virtio_mem", name="vm0", size="1G", device_size="1G", block_size="512M")
    first, *_, last = machine.memory("vm0").blocks
    machine.online(f"block {first}", zone="kernel")
    machine.online(f"block {last}", zone="movable")
    assert len(machine.kernel.state.blocks) > 64
    assert shown(machine) == read(machine)
