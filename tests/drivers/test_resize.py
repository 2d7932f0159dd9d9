"""The step ``resize``: a virtio-mem device grows and shrinks, stops half-way and says so; others refuse."""

from __future__ import annotations

import pytest

from memhotplug import InputError, Machine, MemoryHotplugError
from memhotplug.catalog import Installed
from memhotplug.commands.run.runner import RunResult, run_scenario
from memhotplug.formats.scenario import loads_scenario

HEAD = (
    "schema: 1\n"
    "machine: {arch: x86_64, kernel: linux-6.12, memory: 2G, cmdline: memhp_default_state=online_movable}\n"
    "steps:\n"
    "  - add: {driver: virtio_mem, name: vm0, size: 512M, device_size: 4G}\n"
)


def run(*steps: str, check: bool = True) -> RunResult:
    """Return what becomes of a device of 512 MiB."""
    text = HEAD + "".join(f"  - {step}\n" for step in steps)
    return run_scenario(loads_scenario(text, catalog=Installed()), check=check)


def test_a_device_grows_shrinks_and_goes() -> None:
    """``blocks`` are those that it has then, ``blocks_done`` those that came or went."""
    result = run(
        "resize: {range: vm0, size: 1G}",
        "resize: {range: vm0, size: 130M}",
        "resize: {range: vm0, size: 0}",
        "resize: {range: vm0, size: 128M}",
    )
    assert result.failure is None
    shown = [(step["blocks"], step["blocks_done"], step["driver_result"]) for step in result.steps[1:]]
    assert shown == [
        ([32, 33, 34, 35, 36, 37, 38, 39], [36, 37, 38, 39], "requested 1G, plugged 1G"),
        ([32, 33], [34, 35, 36, 37, 38, 39], "requested 130M, plugged 130M"),
        ([], [32, 33], "requested 0B, plugged 0B"),
        ([32], [32], "requested 128M, plugged 128M"),
    ]
    assert [step["size"] for step in result.steps[1:]] == [1 << 30, 130 << 20, 0, 128 << 20]


def test_it_does_what_an_add_with_resize_does() -> None:
    """The step is the same request in fewer words."""
    one, other = (Machine.boot(arch="x86_64", kernel="linux-6.12", memory="2G") for _ in range(2))
    for machine in (one, other):
        machine.add_memory(driver="virtio_mem", name="vm0", size="256M", device_size="4G")
    one.resize("vm0", "384M")
    other.add_memory(driver="virtio_mem", resize="vm0", size="384M")
    assert one.to_dict() == other.to_dict()


def test_a_resize_that_stops_half_way_keeps_what_came() -> None:
    """Offline blocks are limited: eight of 128 MiB come, the ninth is refused, and no invariant breaks."""
    text = HEAD.replace("memhp_default_state=online_movable", "''").replace("cmdline: '', ", "")
    text += "  - resize: {range: vm0, size: 4G, fails: ENOSPC}\n"
    result = run_scenario(loads_scenario(text, catalog=Installed()), check=True)
    assert result.failure is None
    step = result.steps[1]
    assert step["errno"] == "ENOSPC"
    assert step["blocks_done"] == [36, 37, 38, 39]
    assert step["blocks"] == [32, 33, 34, 35, 36, 37, 38, 39]


@pytest.mark.parametrize(
    ("step", "errno", "message"),
    [
        ("resize: {range: vm0, size: 5G}", "EINVAL", "requested size 0x140000000 exceeds the device size 0x100000000"),
        (
            "resize: {range: vm0, size: 1M}",
            "EINVAL",
            "requested size 0x100000 is not a multiple of the device block size 0x200000",
        ),
        ("resize: {range: block 32, size: 1G}", "ENODEV", "resize takes a device's name, not block 32"),
    ],
)
def test_what_the_hypervisor_refuses(step: str, errno: str, message: str) -> None:
    """Nothing has changed then."""
    record = run(step).steps[-1]
    assert (record["ok"], record["errno"], record["message"], record["blocks_done"]) == (False, errno, message, [])


@pytest.mark.parametrize("driver", ["acpi", "dax", "xen", "hv_balloon"])
def test_other_devices_keep_their_size(driver: str) -> None:
    """Their drivers have no such request."""
    machine = Machine.boot(arch="x86_64", kernel="linux-6.12", memory="2G")
    machine.add_memory(driver=driver, name="d", size="256M")
    with pytest.raises(MemoryHotplugError) as caught:
        machine.resize("d", "128M")
    assert str(caught.value) == f"EOPNOTSUPP: a device of {driver} keeps the size that it came with"


def test_a_device_that_is_not_there_is_none() -> None:
    """Neither is one that never came to be."""
    machine = Machine.boot(arch="x86_64", kernel="linux-6.12", memory="2G")
    with pytest.raises(InputError, match="got vm0, expected the name of memory that was added"):
        machine.resize("vm0", 0)


def test_mhp_check_tries_it() -> None:
    """Every size of a device, as one of the operations that may happen next."""
    from memhotplug.commands.check.moves import Moves
    from memhotplug.formats.scenario.explore import ExploreSpec

    machine = run().machine
    moves = Moves(machine.kernel, ExploreSpec(operations=("resize",), blocks=6), ("virtio_mem",), Installed())
    assert [move.text for move in moves.all(machine.kernel)] == [
        "resize vm0 size 0",
        "resize vm0 size 64M",
        "resize vm0 size 128M",
        "resize vm0 size 256M",
    ]
