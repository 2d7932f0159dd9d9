"""What the monitor's commands do to a machine, and which events QEMU would send of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from memhotplug.contracts import DriverTraits
from memhotplug.engine.memory_hotplug.presence import drivers_of, usual_driver
from memhotplug.errors import MemoryHotplugError
from memhotplug.live.machine import Change, LiveMachine
from memhotplug.manager import driver_traits
from memhotplug.model.blocks import BlockState

if TYPE_CHECKING:
    from memhotplug.documents.small import LiveBlockDocument

__all__ = ["Commands", "QmpError"]

_PERIPHERAL: Final = "/machine/peripheral/"
_RESIZABLE: Final = "requested-size"
_Arguments = Mapping[str, Any]


class QmpError(Exception):
    """A command that cannot be done.

    Attributes:
        kind: the error's class, as QMP has it.
    """

    def __init__(self, text: str, kind: str = "GenericError") -> None:
        super().__init__(text)
        self.kind = kind


@dataclass(slots=True)
class _Device:
    """A device that a client has plugged in."""

    model: str
    driver: str
    memdev: str
    arguments: dict[str, Any]
    slot: int


class Commands:
    """The commands, for all clients of one machine.

    Args:
        live: the machine.
    """

    def __init__(self, live: LiveMachine) -> None:
        self._live = live
        self._backends: dict[str, dict[str, Any]] = {}
        self._devices: dict[str, _Device] = {}
        self._lock = threading.RLock()
        self._known: Mapping[str, Callable[[_Arguments], Any]] = {
            "object-add": self._object_add,
            "object-del": self._object_del,
            "device_add": self._device_add,
            "device_del": self._device_del,
            "qom-set": self._qom_set,
            "qom-get": self._qom_get,
            "qom-list": self._qom_list,
            "query-memory-devices": self._query_memory_devices,
            "query-memory-size-summary": self._query_memory_size_summary,
            "query-memdev": lambda _: list(self._backends.values()),
            "query-hotpluggable-cpus": lambda _: [],
            "query-status": lambda _: {"status": "running", "singlestep": False, "running": True},
            "query-version": lambda _: {"qemu": {"micro": 0, "minor": 2, "major": 7}, "package": "memhotplug"},
            "query-name": lambda _: {"name": "memhotplug"},
            "query-commands": lambda _: [{"name": name} for name in sorted(self._known)],
            "x-mhp": self._operate,
            "x-mhp-blocks": self._blocks,
        }

    def execute(self, name: str, arguments: _Arguments) -> Any:
        """Do one command and return its answer.

        Raises:
            QmpError: there is no such command, or it cannot be done.
            MemoryHotplugError, InputError: the machine refuses.
        """
        command = self._known.get(name)
        if command is None:
            raise QmpError(f"The command {name} has not been found", "CommandNotFound")
        return command(arguments)

    # ---- objects and devices ----

    def _object_add(self, arguments: _Arguments) -> dict[str, object]:
        kind, name = _text(arguments, "qom-type"), _text(arguments, "id")
        if not kind.startswith("memory-backend-"):
            raise QmpError(f"invalid object type: {kind}")
        with self._lock:
            if name in self._backends:
                raise QmpError(f"attempt to add duplicate property '{name}' to object (type 'container')")
            self._backends[name] = {"id": name, "size": _size(arguments, "size")}
        return {}

    def _object_del(self, arguments: _Arguments) -> dict[str, object]:
        name = _text(arguments, "id")
        with self._lock:
            if name not in self._backends:
                raise QmpError(f"object '{name}' not found")
            if any(device.memdev == name for device in self._devices.values()):
                raise QmpError(f"object '{name}' is in use, can not be deleted")
            del self._backends[name]
        return {}

    def _device_add(self, arguments: _Arguments) -> dict[str, object]:
        model, name, memdev = (_text(arguments, key) for key in ("driver", "id", "memdev"))
        driver, keys = self._driver_of(model)
        with self._lock:
            if name in self._devices:
                raise QmpError(f"Duplicate device ID '{name}'")
            if memdev not in self._backends:
                raise QmpError(f"Device '{memdev}' not found")
            if any(device.memdev == memdev for device in self._devices.values()):
                raise QmpError(f"can't use already busy memdev: {memdev}")
            taken = {device.slot for device in self._devices.values()}
            slot = next(number for number in range(len(taken) + 1) if number not in taken)
            device = _Device(model, driver, memdev, dict(arguments), slot)
            add = self._add_arguments(name, device, keys)
            self._devices[name] = device
        try:
            if add["size"]:  # a device that is to have nothing yet is plugged, and the guest adds nothing
                self._live.perform("add", add)
        except MemoryHotplugError as problem:
            if problem.name == "EEXIST":
                self._devices.pop(name, None)
                raise
        return {}

    def _add_arguments(self, name: str, device: _Device, keys: Mapping[str, str]) -> dict[str, Any]:
        given = device.arguments
        add: dict[str, Any] = {"driver": device.driver, "name": name}
        for property_name, key in keys.items():
            if property_name == "memdev":
                add[key] = self._backends[device.memdev]["size"]
            elif property_name in given:
                add[key] = _size(given, property_name)
        add.setdefault("size", 0)
        for property_name, key in (("node", "node"), ("addr", "address"), ("memaddr", "address")):
            if property_name in given:
                add[key] = _number(given, property_name)
        return add

    def _driver_of(self, model: str) -> tuple[str, Mapping[str, str]]:
        for driver in drivers_of(self._live.kernel.arch):
            traits: DriverTraits = driver_traits(driver)
            if model in traits.qemu_devices:
                return driver, traits.qemu_devices[model]
        raise QmpError(f"'{model}' is not a valid device model name", "GenericError")

    def _device(self, name: str) -> _Device:
        device = self._devices.get(name.removeprefix(_PERIPHERAL))
        if device is None:
            raise QmpError(f"Device '{name}' not found", "DeviceNotFound")
        return device

    def _device_del(self, arguments: _Arguments) -> dict[str, object]:
        name = _text(arguments, "id").removeprefix(_PERIPHERAL)
        device = self._device(name)
        if _RESIZABLE in self._driver_of(device.model)[1] and self._plugged(name):
            raise QmpError(f"virtio-mem device cannot get unplugged while some of its memory is still plugged: {name}")
        if self._plugged(name):
            # The guest's refusal is an event, not an answer.
            try:
                self._live.perform("eject", {"range": name})
            except MemoryHotplugError:
                return {}
        with self._lock:
            self._devices.pop(name, None)
        return {}

    def _plugged(self, name: str) -> int:
        state = self._live.kernel.state
        index = state.device_index(name)
        return 0 if index is None else state.devices[index].size

    def _qom_set(self, arguments: _Arguments) -> dict[str, object]:
        path, name = _text(arguments, "path"), _text(arguments, "property")
        device = self._device(path)
        keys = self._driver_of(device.model)[1]
        if name != _RESIZABLE or name not in keys:
            raise QmpError(f"Property '{device.model}.{name}' not found")
        ident, size = path.removeprefix(_PERIPHERAL), _size(arguments, "value")
        device.arguments[_RESIZABLE] = size
        if self._live.kernel.state.plugged_index(ident) is None:
            if size:
                self._live.perform("add", self._add_arguments(ident, device, keys))
        else:
            self._live.perform("resize", {"range": ident, "size": size})
        return {}

    def _qom_get(self, arguments: _Arguments) -> Any:
        path, name = _text(arguments, "path"), _text(arguments, "property")
        device = self._device(path)
        if name == "size":
            return self._plugged(path.removeprefix(_PERIPHERAL))
        if name not in device.arguments:
            raise QmpError(f"Property '{device.model}.{name}' not found")
        return device.arguments[name]

    def _qom_list(self, arguments: _Arguments) -> list[dict[str, str]]:
        path = _text(arguments, "path").rstrip("/") + "/"
        if path == _PERIPHERAL:
            return [{"name": name, "type": f"child<{device.model}>"} for name, device in self._devices.items()]
        device = self._device(path.rstrip("/"))
        return [{"name": name, "type": "str"} for name in device.arguments]

    # ---- what there is ----

    def _query_memory_devices(self, _arguments: _Arguments) -> list[dict[str, object]]:
        with self._lock:
            return [self._describe(name, device) for name, device in self._devices.items()]

    def _describe(self, name: str, device: _Device) -> dict[str, object]:
        state = self._live.kernel.state
        index = state.device_index(name)
        held = None if index is None else state.devices[index]
        start = held.ranges[0][0] if held is not None and held.ranges else 0
        most = self._backends[device.memdev]["size"]
        common = {"id": name, "node": held.nid if held else 0, "memdev": f"/objects/{device.memdev}"}
        if _RESIZABLE in self._driver_of(device.model)[1]:
            asked = device.arguments.get(_RESIZABLE, 0)
            sizes = {"requested-size": asked, "size": self._plugged(name), "max-size": most}
            unit = device.arguments.get("block-size", 2 << 20)
            return {"type": "virtio-mem", "data": {**common, "memaddr": start, **sizes, "block-size": unit}}
        where = {"addr": start, "slot": device.slot, "size": most}
        return {"type": "dimm", "data": {**common, **where, "hotpluggable": True, "hotplugged": True}}

    def _query_memory_size_summary(self, _arguments: _Arguments) -> dict[str, int]:
        kernel = self._live.kernel
        plugged = sum(device.size for device in kernel.state.devices)
        holes = sum(end - start for start, end in kernel.state.holes)
        base = (kernel.state.early.total - holes) * kernel.geometry.page_size
        return {"base-memory": base, "plugged-memory": plugged}

    # ---- our own ----

    def _operate(self, arguments: _Arguments) -> dict[str, object]:
        """Do a step of a scenario: ``{"op": "add", "args": {"driver": "acpi", "size": "1G"}}``."""
        op, args = _text(arguments, "op"), arguments.get("args", {})
        if not isinstance(args, dict) or op not in ("add", "eject", "remove", "resize", "allocate", "release", "online",
                                                    "offline"):  # fmt: skip
            raise QmpError(f"Parameter 'op' does not accept value '{op}'")
        if op == "add":
            args = {"driver": usual_driver(self._live.kernel.arch), **args}
        outcome = self._live.perform(op, args)
        name = getattr(outcome, "name", None)
        return {} if name is None else {"name": str(name), "blocks": list(outcome.blocks)}

    def _blocks(self, _arguments: _Arguments) -> list[LiveBlockDocument]:
        kernel = self._live.kernel
        names = [device.name for device in kernel.state.devices]
        blocks, size = kernel.state.blocks, kernel.geometry.memory_block_size
        rows = zip(blocks.id.tolist(), blocks.state.tolist(), blocks.device.tolist(), strict=True)
        return [
            {"id": block, "state": BlockState(state).label, "start": block * size, "size": size,
             "device": names[device] if device >= 0 else None}
            for block, state, device in rows
        ]  # fmt: skip

    # ---- events ----

    def events_of(self, change: Change) -> list[tuple[str, dict[str, object]]]:
        """Return QEMU's events for what happened, and the kernel's own as X_MHP_UEVENT."""
        found: list[tuple[str, dict[str, object]]] = [
            ("X_MHP_UEVENT", {"action": action, "devpath": f"/devices/system/memory/memory{block}"})
            for action, block in change.uevents
        ]
        name = change.device
        device = self._devices.get(name or "")
        if name is None or device is None:
            return found
        path: dict[str, object] = {"device": name, "path": _PERIPHERAL + name}
        if change.op == "eject" and change.errno is None:
            found.append(("DEVICE_DELETED", path))
        elif change.op == "eject":
            found.append(("MEM_UNPLUG_ERROR", {"device": name, "msg": change.reason or ""}))
            found.append(("DEVICE_UNPLUG_GUEST_ERROR", path))
        elif _RESIZABLE in self._driver_of(device.model)[1]:
            data = {"id": name, "size": self._plugged(name), "qom-path": _PERIPHERAL + name}
            found.append(("MEMORY_DEVICE_SIZE_CHANGE", data))
        elif change.op == "add":
            info = {"device": name, "slot": str(device.slot), "slot-type": "DIMM", "source": 1}
            found.append(("ACPI_DEVICE_OST", {"info": {**info, "status": 1 if change.errno else 0}}))
        return found


def _text(arguments: _Arguments, key: str) -> str:
    value = arguments.get(key)
    if value is None:
        raise QmpError(f"Parameter '{key}' is missing")
    if not isinstance(value, str):
        raise QmpError(f"Invalid parameter type for '{key}', expected: string")
    return value


def _number(arguments: _Arguments, key: str) -> int:
    value = arguments.get(key)
    if isinstance(value, str) and value.lower().startswith("0x"):  # qmp-shell leaves such numbers as they are
        value = int(value, 16)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 64:
        raise QmpError(f"Invalid parameter type for '{key}', expected: integer")
    return value


def _size(arguments: _Arguments, key: str) -> int:
    value = arguments.get(key)
    if isinstance(value, str):
        from memhotplug.units import parse_size

        try:
            return parse_size(value)
        except ValueError as problem:
            raise QmpError(f"Parameter '{key}' expects {problem}") from None
    return _number(arguments, key)
