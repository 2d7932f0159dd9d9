"""The control socket, talked to by QEMU's own client library, and by raw bytes."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from qemu.qmp import ExecuteError, QMPClient

from memhotplug.live.client import Client, Refused
from memhotplug.live.control import Control
from memhotplug.live.machine import LiveMachine

Alive = Callable[..., LiveMachine]
_GIB = 1 << 30


@pytest.fixture
def live(alive: Alive) -> LiveMachine:
    """Return a machine that offlines none of block 33."""
    return alive("offline:33=EBUSY")


@pytest.fixture
def path(live: LiveMachine, tmp_path: Path) -> Iterator[str]:
    """Return the control socket of the machine."""
    with Control(live, str(tmp_path)) as control:
        control.start()
        yield control.path


def talk(path: str, work: Callable[[QMPClient], Coroutine[Any, Any, Any]]) -> Any:
    """Connect QEMU's client and do something with it."""

    async def run() -> Any:
        client = QMPClient("test")
        await client.connect(path)
        try:
            return await asyncio.wait_for(work(client), 20)
        finally:
            await client.disconnect()

    return asyncio.run(run())


def test_a_dimm_comes_and_goes(path: str, live: LiveMachine) -> None:
    """object-add, device_add, query-memory-devices, device_del and their events."""

    async def work(qmp: QMPClient) -> list[Any]:
        with qmp.listener(("ACPI_DEVICE_OST", "DEVICE_DELETED", "X_MHP_UEVENT")) as events:
            backend = {"qom-type": "memory-backend-ram", "id": "mem1", "size": _GIB // 4}
            answers = [await qmp.execute("object-add", backend)]
            answers.append(await qmp.execute("device_add", {"driver": "pc-dimm", "id": "dimm1", "memdev": "mem1"}))
            answers.append(await qmp.execute("query-memory-devices"))
            answers.append(await qmp.execute("query-memory-size-summary"))
            answers.append(await qmp.execute("device_del", {"id": "dimm1"}))
            answers.append(await qmp.execute("query-memory-devices"))
            told = [(await events.get()) for _ in range(6)]
        return [*answers, [(event["event"], event["data"]) for event in told]]

    added, plugged, devices, summary, deleted, after, events = talk(path, work)

    assert (added, plugged, deleted, after) == ({}, {}, {}, [])
    assert devices == [
        {
            "type": "dimm",
            "data": {
                "id": "dimm1", "node": 0, "memdev": "/objects/mem1", "addr": 5 * _GIB, "slot": 0, "size": _GIB // 4,
                "hotpluggable": True, "hotplugged": True,
            },
        }
    ]  # fmt: skip
    assert summary == {"base-memory": 4 * _GIB, "plugged-memory": _GIB + _GIB // 4}
    assert [name for name, _ in events] == [
        "X_MHP_UEVENT", "X_MHP_UEVENT", "ACPI_DEVICE_OST", "X_MHP_UEVENT", "X_MHP_UEVENT", "DEVICE_DELETED",
    ]  # fmt: skip
    assert events[0][1] == {"action": "add", "devpath": "/devices/system/memory/memory40"}
    assert events[-1][1] == {"device": "dimm1", "path": "/machine/peripheral/dimm1"}
    assert [next(iter(step)) for step in live.steps] == ["add", "eject"]


def test_virtio_mem_grows_and_shrinks(path: str) -> None:
    """qom-set requested-size, as libvirt does it, and the size that came of it."""

    async def work(qmp: QMPClient) -> list[Any]:
        backend = {"qom-type": "memory-backend-ram", "id": "vmem0", "size": 2 * _GIB}
        await qmp.execute("object-add", backend)
        device = {"driver": "virtio-mem-pci", "id": "vm0", "memdev": "vmem0", "requested-size": 0}
        await qmp.execute("device_add", device)
        sizes = []
        for size in (_GIB, _GIB // 2, 0):
            ask = {"path": "/machine/peripheral/vm0", "property": "requested-size", "value": size}
            await qmp.execute("qom-set", ask)
            told: Any = await qmp.execute("query-memory-devices")
            sizes.append(told[0]["data"]["size"])
            assert told[0]["data"]["requested-size"] == size
            assert told[0]["data"]["max-size"] == 2 * _GIB
        return sizes

    grown, shrunk, gone = talk(path, work)
    assert grown == _GIB
    assert shrunk <= _GIB
    assert gone <= shrunk


def test_a_guest_that_refuses_is_an_event(path: str, live: LiveMachine) -> None:
    """device_del succeeds, and MEM_UNPLUG_ERROR says what came of it."""
    with Client(path) as client:
        client.execute("object-add", {"qom-type": "memory-backend-ram", "id": "m", "size": _GIB // 4})
        client.execute("device_add", {"driver": "pc-dimm", "id": "d", "memdev": "m"})
    live.write("sys/devices/system/memory/memory40/state", b"online")
    live.write("sys/kernel/debug/notifier-error-inject/memory/actions/MEM_GOING_OFFLINE/error", b"-16")

    async def work(qmp: QMPClient) -> Any:
        with qmp.listener("MEM_UNPLUG_ERROR") as events:
            assert await qmp.execute("device_del", {"id": "d"}) == {}
            event: Any = await events.get()
            return event["data"]["device"]

    assert talk(path, work) == "d"


@pytest.mark.parametrize(
    ("command", "arguments", "text"),
    [
        ("query-nothing", {}, "The command query-nothing has not been found"),
        ("device_add", {"driver": "pc-dimm", "id": "x", "memdev": "no"}, "Device 'no' not found"),
        ("device_add", {"driver": "pc-dim", "id": "x", "memdev": "no"}, "'pc-dim' is not a valid device model name"),
        ("device_add", {"id": "x"}, "Parameter 'driver' is missing"),
        ("device_del", {"id": "x"}, "Device 'x' not found"),
        ("object-add", {"qom-type": "can-bus", "id": "x"}, "invalid object type: can-bus"),
        (
            "object-add",
            {"qom-type": "memory-backend-ram", "id": "x", "size": -1},
            "Invalid parameter type for 'size', expected: integer",
        ),
        ("object-add", {"qom-type": 7, "id": "x"}, "Invalid parameter type for 'qom-type', expected: string"),
        ("object-del", {"id": "x"}, "object 'x' not found"),
        ("qom-get", {"path": "x", "property": "size"}, "Device 'x' not found"),
        ("x-mhp", {"op": "format"}, "Parameter 'op' does not accept value 'format'"),
        (
            "x-mhp",
            {"op": "eject", "args": {"range": "dimm1"}},
            "got dimm1, expected the name of memory that was added (dimm0); did you mean 'dimm0'?",
        ),
        (
            "x-mhp",
            {"op": "add", "args": {"name": "dimm0", "size": "1G"}},
            "EEXIST: there is a device 'dimm0' already",
        ),
    ],
)
def test_what_cannot_be_done_is_said(path: str, command: str, arguments: dict[str, Any], text: str) -> None:
    """In QEMU's words where it has some."""
    with Client(path) as client, pytest.raises(Refused) as refused:
        client.execute(command, arguments)
    assert str(refused.value) == text


def test_an_error_carries_its_class(path: str) -> None:
    """As qemu.qmp raises it."""

    async def work(qmp: QMPClient) -> str:
        with pytest.raises(ExecuteError) as refused:
            await qmp.execute("device_del", {"id": "x"})
        return refused.value.error_class

    assert talk(path, work) == "DeviceNotFound"


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        (b"\xff\xfe\n", "JSON parse error, expecting value"),
        (b"[" * 20000 + b"]" * 20000 + b"\n", "JSON parse error, expecting value"),
        (b"[]\n", "QMP input lacks member 'execute'"),
        (b'{"execute": "query-status"}\n', "Expecting capabilities negotiation with 'qmp_capabilities'"),
        (b'{"execute": "x", "arguments": 1}\n', "QMP input member 'arguments' must be an object"),
    ],
)
def test_nonsense_is_answered_and_the_next_client_is_served(path: str, sent: bytes, text: str) -> None:
    """A client that sends anything at all hurts nobody."""
    with socket.socket(socket.AF_UNIX) as raw:
        raw.connect(path)
        stream = raw.makefile("rb")
        assert "QMP" in json.loads(stream.readline())
        raw.sendall(sent)
        assert json.loads(stream.readline())["error"]["desc"] == text
    with Client(path) as client:
        assert client.execute("query-status")["running"] is True


def test_a_client_that_never_reads_does_not_hold_up_the_machine(path: str, live: LiveMachine) -> None:
    """Events for it wait, until it is dropped."""
    with socket.socket(socket.AF_UNIX) as raw:
        raw.connect(path)
        raw.sendall(b'{"execute": "qmp_capabilities"}\n')
        for _ in range(300):
            live.write("sys/devices/system/memory/memory32/state", b"online_movable")
            live.write("sys/devices/system/memory/memory32/state", b"offline")
    assert len(live.steps) == 600
