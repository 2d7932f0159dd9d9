"""The monitor's commands, one by one: their answers, their errors, and the events that come of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from memhotplug import Machine, MemoryHotplugError
from memhotplug.live.commands import Commands, QmpError
from memhotplug.live.machine import Change, LiveMachine

_GIB, _MIB = 1 << 30, 1 << 20
Monitor = tuple[Commands, LiveMachine]


@pytest.fixture
def monitor() -> Monitor:
    """The commands of a guest with 4 GiB and nothing plugged in."""
    live = LiveMachine(Machine.boot(arch="x86_64", kernel="linux-6.12", memory="4G"))
    return Commands(live), live


def do(monitor: Monitor, name: str, **arguments: object) -> Any:
    """Do a command; dashes in keys are underscores here."""
    return monitor[0].execute(name, {key.replace("_", "-"): value for key, value in arguments.items()})


def backend(monitor: Monitor, name: str = "m0", size: object = _GIB) -> None:
    """Make a memory backend."""
    assert do(monitor, "object-add", qom_type="memory-backend-ram", id=name, size=size) == {}


def dimm(monitor: Monitor, name: str = "d0", memdev: str = "m0", **more: object) -> None:
    """Plug in a DIMM with a backend of that name."""
    backend(monitor, memdev)
    assert do(monitor, "device_add", driver="pc-dimm", id=name, memdev=memdev, **more) == {}


def virtio(monitor: Monitor, requested: int, name: str = "v0", **more: object) -> None:
    """Plug in a virtio-mem device of 2 GiB."""
    backend(monitor, "mv", 2 * _GIB)
    arguments = {"driver": "virtio-mem-pci", "id": name, "memdev": "mv", "requested-size": requested * _MIB, **more}
    assert monitor[0].execute("device_add", arguments) == {}


def test_every_command_is_listed_by_name(monitor: Monitor) -> None:
    """Ascending, those of the model's own among them."""
    names = [entry["name"] for entry in do(monitor, "query-commands")]
    assert names == [
        "device_add", "device_del", "object-add", "object-del", "qom-get", "qom-list", "qom-set", "query-commands",
        "query-hotpluggable-cpus", "query-memdev", "query-memory-devices", "query-memory-size-summary", "query-name",
        "query-status", "query-version", "x-mhp", "x-mhp-blocks",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("query-status", {"status": "running", "singlestep": False, "running": True}),
        ("query-version", {"qemu": {"micro": 0, "minor": 2, "major": 7}, "package": "memhotplug"}),
        ("query-name", {"name": "memhotplug"}),
        ("query-hotpluggable-cpus", []),
        ("query-memdev", []),
        ("query-memory-devices", []),
        ("query-memory-size-summary", {"base-memory": 4 * _GIB, "plugged-memory": 0}),
    ],
)
def test_questions_about_a_machine_without_devices(monitor: Monitor, name: str, answer: object) -> None:
    """They have QEMU's form."""
    assert do(monitor, name) == answer


def test_a_dimm_takes_its_backend_and_the_first_free_slot(monitor: Monitor) -> None:
    """What is taken out leaves its slot to the next."""
    for number in range(3):
        dimm(monitor, f"d{number}", f"m{number}")
    do(monitor, "device_del", id="d1")
    dimm(monitor, "d3", "m3")
    shown = [
        (device["data"]["id"], device["data"]["slot"], device["data"]["addr"])
        for device in do(monitor, "query-memory-devices")
    ]
    assert shown == [("d0", 0, 4 * _GIB), ("d2", 2, 6 * _GIB), ("d3", 1, 7 * _GIB)]


def test_a_dimm_is_described_as_qemu_does(monitor: Monitor) -> None:
    """With its backend's path; and the sum of all is what is plugged."""
    dimm(monitor, node=0)
    assert do(monitor, "query-memory-devices") == [
        {
            "type": "dimm",
            "data": {
                "id": "d0", "node": 0, "memdev": "/objects/m0", "addr": 4 * _GIB, "slot": 0, "size": _GIB,
                "hotpluggable": True, "hotplugged": True,
            },
        }
    ]  # fmt: skip
    assert do(monitor, "query-memory-size-summary") == {"base-memory": 4 * _GIB, "plugged-memory": _GIB}
    assert do(monitor, "query-memdev") == [{"id": "m0", "size": _GIB}]


@pytest.mark.parametrize("address", [8 * _GIB, "0x200000000", "0X200000000"])
def test_a_dimm_may_be_given_its_address(monitor: Monitor, address: object) -> None:
    """As a number, or as text with 0x, as qmp-shell sends it."""
    dimm(monitor, addr=address)
    assert monitor[1].kernel.state.devices[0].ranges == ((8 * _GIB, _GIB),)


def test_a_virtio_mem_device_is_described_as_qemu_does(monitor: Monitor) -> None:
    """Requested and plugged size, the most it can have, and its block size."""
    virtio(monitor, 256)
    (shown,) = do(monitor, "query-memory-devices")
    assert shown == {
        "type": "virtio-mem",
        "data": {
            "id": "v0", "node": 0, "memdev": "/objects/mv", "memaddr": 4 * _GIB, "requested-size": 256 * _MIB,
            "size": 256 * _MIB, "max-size": 2 * _GIB, "block-size": 2 * _MIB,
        },
    }  # fmt: skip


def test_a_device_that_requests_nothing_is_plugged_without_the_guest(monitor: Monitor) -> None:
    """Its first request is what the guest adds; a further one resizes it, and none lets it go."""
    virtio(monitor, 0)
    assert monitor[1].steps == []
    for size in (0, 256 * _MIB, "384M"):
        assert do(monitor, "qom-set", path="/machine/peripheral/v0", property="requested-size", value=size) == {}
    assert [next(iter(step)) for step in monitor[1].steps] == ["add", "resize"]
    assert do(monitor, "qom-get", path="v0", property="size") == 384 * _MIB
    assert do(monitor, "qom-get", path="/machine/peripheral/v0", property="requested-size") == 384 * _MIB
    do(monitor, "qom-set", path="v0", property="requested-size", value=0)
    assert do(monitor, "device_del", id="v0") == {}
    assert do(monitor, "query-memory-devices") == []


def test_objects_and_devices_are_listed_by_their_paths(monitor: Monitor) -> None:
    """Children of the peripheral container, and the properties that a device was given."""
    dimm(monitor)
    for path in ("/machine/peripheral", "/machine/peripheral/"):
        assert do(monitor, "qom-list", path=path) == [{"name": "d0", "type": "child<pc-dimm>"}]
    assert do(monitor, "qom-list", path="/machine/peripheral/d0") == [
        {"name": name, "type": "str"} for name in ("driver", "id", "memdev")
    ]
    assert do(monitor, "qom-get", path="d0", property="memdev") == "m0"


@pytest.mark.parametrize(
    ("name", "arguments", "text"),
    [
        ("object-add", {"id": "x", "size": 1}, "Parameter 'qom-type' is missing"),
        ("object-add", {"qom-type": "rng-random", "id": "x"}, "invalid object type: rng-random"),
        (
            "object-add", {"qom-type": "memory-backend-ram", "id": "m0", "size": 1},
            "attempt to add duplicate property 'm0' to object (type 'container')",
        ),
        (
            "object-add", {"qom-type": "memory-backend-ram", "id": "x"},
            "Invalid parameter type for 'size', expected: integer",
        ),
        (
            "object-add", {"qom-type": "memory-backend-ram", "id": "x", "size": True},
            "Invalid parameter type for 'size', expected: integer",
        ),
        (
            "object-add", {"qom-type": "memory-backend-ram", "id": "x", "size": -1},
            "Invalid parameter type for 'size', expected: integer",
        ),
        (
            "object-add", {"qom-type": "memory-backend-ram", "id": "x", "size": 1 << 64},
            "Invalid parameter type for 'size', expected: integer",
        ),
        ("object-add", {"qom-type": 5, "id": "x"}, "Invalid parameter type for 'qom-type', expected: string"),
        ("object-del", {"id": "x"}, "object 'x' not found"),
        ("object-del", {"id": "m0"}, "object 'm0' is in use, can not be deleted"),
        ("device_add", {"driver": "pc-dimm", "id": "d1"}, "Parameter 'memdev' is missing"),
        ("device_add", {"driver": "nvme", "id": "d1", "memdev": "m1"}, "'nvme' is not a valid device model name"),
        ("device_add", {"driver": "pc-dimm", "id": "d0", "memdev": "m1"}, "Duplicate device ID 'd0'"),
        ("device_add", {"driver": "pc-dimm", "id": "d1", "memdev": "x"}, "Device 'x' not found"),
        ("device_add", {"driver": "pc-dimm", "id": "d1", "memdev": "m0"}, "can't use already busy memdev: m0"),
        ("device_del", {"id": "d1"}, "Device 'd1' not found"),
        ("qom-set", {"path": "d0", "property": "size", "value": 1}, "Property 'pc-dimm.size' not found"),
        (
            "qom-set", {"path": "d0", "property": "requested-size", "value": 1},
            "Property 'pc-dimm.requested-size' not found",
        ),
        ("qom-set", {"path": "/x/d0", "property": "size", "value": 1}, "Device '/x/d0' not found"),
        ("qom-get", {"path": "d0", "property": "colour"}, "Property 'pc-dimm.colour' not found"),
        ("qom-list", {"path": "/machine/peripheral/x"}, "Device '/machine/peripheral/x' not found"),
        ("x-mhp", {"op": "write"}, "Parameter 'op' does not accept value 'write'"),
        ("x-mhp", {"op": "add", "args": []}, "Parameter 'op' does not accept value 'add'"),
        ("x-mhp", {}, "Parameter 'op' is missing"),
        ("fry", {}, "The command fry has not been found"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_said_in_qemus_words(
    monitor: Monitor, name: str, arguments: Mapping[str, object], text: str
) -> None:
    """And nothing comes of it: the guest is not asked."""
    dimm(monitor)
    backend(monitor, "m1")
    before, devices = monitor[1].steps, do(monitor, "query-memory-devices")
    with pytest.raises(QmpError) as caught:
        monitor[0].execute(name, arguments)
    assert str(caught.value) == text
    kinds = {"fry": "CommandNotFound"} | dict.fromkeys(["device_del", "qom-list"], "DeviceNotFound")
    assert caught.value.kind == ("DeviceNotFound" if "/x/d0" in text else kinds.get(name, "GenericError"))
    assert (monitor[1].steps, do(monitor, "query-memory-devices")) == (before, devices)


def test_a_size_that_cannot_be_read_is_said(monitor: Monitor) -> None:
    """With what a size looks like."""
    with pytest.raises(QmpError, match="Parameter 'size' expects a size such as 128M"):
        do(monitor, "object-add", qom_type="memory-backend-ram", id="x", size="lots")


def test_memory_that_somebody_has_is_no_device(monitor: Monitor) -> None:
    """EEXIST is the hypervisor's own error; a guest that refuses keeps the device plugged in."""
    dimm(monitor, "d0", "m0", addr=8 * _GIB)
    backend(monitor, "m1")
    with pytest.raises(MemoryHotplugError) as caught:
        do(monitor, "device_add", driver="pc-dimm", id="d1", memdev="m1", addr=8 * _GIB)
    assert caught.value.name == "EEXIST"
    assert [device["data"]["id"] for device in do(monitor, "query-memory-devices")] == ["d0"]
    backend(monitor, "m2", 100 * _MIB)
    do(monitor, "device_add", driver="pc-dimm", id="d2", memdev="m2")
    assert [device["data"]["id"] for device in do(monitor, "query-memory-devices")] == ["d0", "d2"]
    assert do(monitor, "qom-get", path="d2", property="size") == 0
    assert do(monitor, "device_del", id="d2") == {}
    assert [device["data"]["id"] for device in do(monitor, "query-memory-devices")] == ["d0"]


def test_a_guest_that_keeps_a_dimm_is_no_error(monitor: Monitor) -> None:
    """The command is over before the guest has answered; the device stays until it lets go."""
    dimm(monitor)
    commands, live = monitor
    live.perform("online", {"range": "block 32", "zone": "kernel"})
    live.perform("allocate", {"name": "slab", "size": "64M", "zone": "kernel"})
    assert do(monitor, "device_del", id="/machine/peripheral/d0") == {}
    left = [device["data"]["id"] for device in do(monitor, "query-memory-devices")]
    assert left == (["d0"] if live.kernel.state.device_index("d0") is not None else [])
    assert commands.execute("query-memory-size-summary", {})["plugged-memory"] == len(left) * _GIB


def test_virtio_mem_with_memory_cannot_be_unplugged(monitor: Monitor) -> None:
    """Its size must go to 0 first."""
    virtio(monitor, 128)
    with pytest.raises(QmpError) as caught:
        do(monitor, "device_del", id="v0")
    assert str(caught.value) == ("virtio-mem device cannot get unplugged while some of its memory is still plugged: v0")


def test_steps_of_a_scenario_can_be_done(monitor: Monitor) -> None:
    """The platform's driver adds unless another is named; the answer is what came."""
    assert do(monitor, "x-mhp", op="add", args={"size": "256M", "name": "a"}) == {"name": "a", "blocks": [32, 33]}
    assert do(monitor, "x-mhp", op="add", args={"size": "128M", "name": "b", "driver": "dax"}) == {
        "name": "b",
        "blocks": [34],
    }
    assert do(monitor, "x-mhp", op="online", args={"range": "a", "zone": "movable"}) == {}
    assert do(monitor, "x-mhp", op="offline", args={"range": "block 33"}) == {}
    shown = do(monitor, "x-mhp-blocks")[31:]
    size = 128 * _MIB
    assert shown == [
        {"id": 31, "state": "online", "start": 31 * size, "size": size, "device": None},
        {"id": 32, "state": "online", "start": 32 * size, "size": size, "device": "a"},
        {"id": 33, "state": "offline", "start": 33 * size, "size": size, "device": "a"},
        {"id": 34, "state": "offline", "start": 34 * size, "size": size, "device": "b"},
    ]


@pytest.mark.parametrize(
    ("change", "events"),
    [
        (Change(op="write", uevents=(("online", 32),)), [("X_MHP_UEVENT", {"action": "online", "devpath": "32"})]),
        (Change(op="add", device="d0"), [("ACPI_DEVICE_OST", 0)]),
        (Change(op="add", device="d0", errno="ENOMEM", reason="no"), [("ACPI_DEVICE_OST", 1)]),
        (Change(op="eject", device="d0"), [("DEVICE_DELETED", None)]),
        (
            Change(op="eject", device="d0", errno="EBUSY", reason="busy"),
            [("MEM_UNPLUG_ERROR", "busy"), ("DEVICE_UNPLUG_GUEST_ERROR", None)],
        ),
        (Change(op="online", device="d0"), []),
        (Change(op="add", device="stranger"), []),
        (Change(op="resize", device="v0"), [("MEMORY_DEVICE_SIZE_CHANGE", 128 * _MIB)]),
        (Change(op="add", device="v0"), [("MEMORY_DEVICE_SIZE_CHANGE", 128 * _MIB)]),
    ],
)
def test_what_happens_becomes_qemus_events(monitor: Monitor, change: Change, events: list[tuple[str, Any]]) -> None:
    """Of devices that a client has plugged in; uevents are the model's own."""
    dimm(monitor)
    virtio(monitor, 128)
    path: dict[str, object] = {"device": change.device, "path": f"/machine/peripheral/{change.device}"}
    make: dict[str, Callable[[Any], dict[str, object]]] = {
        "X_MHP_UEVENT": lambda told: {"action": "online", "devpath": f"/devices/system/memory/memory{told['devpath']}"},
        "ACPI_DEVICE_OST": lambda told: {
            "info": {"device": "d0", "slot": "0", "slot-type": "DIMM", "source": 1, "status": told}
        },
        "DEVICE_DELETED": lambda _told: path,
        "DEVICE_UNPLUG_GUEST_ERROR": lambda _told: path,
        "MEM_UNPLUG_ERROR": lambda told: {"device": "d0", "msg": told},
        "MEMORY_DEVICE_SIZE_CHANGE": lambda told: {"id": "v0", "size": told, "qom-path": "/machine/peripheral/v0"},
    }
    assert monitor[0].events_of(change) == [(name, make[name](told)) for name, told in events]


def test_a_backend_goes_when_nobody_has_it(monitor: Monitor) -> None:
    """Another one that is in use is no obstacle; its name can be given again."""
    dimm(monitor)
    backend(monitor, "m1")
    assert do(monitor, "object-del", id="m1") == {}
    assert [held["id"] for held in do(monitor, "query-memdev")] == ["m0"]
    backend(monitor, "m1", "2G")
    assert do(monitor, "query-memdev")[1] == {"id": "m1", "size": 2 * _GIB}


def test_base_memory_is_what_was_there_at_boot_without_holes(monitor: Monitor) -> None:
    """Added memory counts apart, whether it was plugged in here or by a step."""
    do(monitor, "x-mhp", op="add", args={"size": "256M", "name": "a"})
    dimm(monitor)
    summary = {"base-memory": 4 * _GIB, "plugged-memory": _GIB + 256 * _MIB}
    assert do(monitor, "query-memory-size-summary") == summary
    monitor[1].kernel.state.holes.add(0, 256)
    monitor[1].kernel.state.holes.add(1024, 1280)
    assert do(monitor, "query-memory-size-summary") == summary | {"base-memory": 4 * _GIB - 2 * _MIB}


def test_an_error_of_the_monitor_is_its_text() -> None:
    """With the class of QMP's protocol."""
    assert (str(QmpError("no")), QmpError("no").kind, QmpError("no", "DeviceNotFound").kind) == (
        "no",
        "GenericError",
        "DeviceNotFound",
    )
