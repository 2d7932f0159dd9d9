"""Steps that are refused: each with what was expected, at its place."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import pytest
from tests.unit.formats.scenario.test_steps import FLAGS

from memhotplug.errors import InputError

ErrorOf: TypeAlias = Callable[[str], InputError]
SIZE = "a size such as 128M, 1GiB or 0x8000000"
RANGE = "a range: a step's name, 'block N', 'block N-M' or 0xSTART+SIZE"
EVENT = "an event that can be vetoed, one of: MEM_PREPARE_ONLINE, MEM_GOING_ONLINE, MEM_GOING_OFFLINE"
NAME = "a name such as dimm0: a letter, then letters, digits and _ . : @ -, at most 64"
ERRNO = "an errno name such as EBUSY"
ADD_KEYS = "driver, name, size, address, node, mhp_flags, fails, veto, fail_allocation"
PATH = "an attribute below /sys/devices/system, such as memory/auto_online_blocks, or a path from /sys/ or /proc/sys/"
BAD_STEPS = {
    "unknown key": (
        "add: {driver: acpi, sizee: 1G}",
        "6:25: steps[2].add.sizee: got sizee, expected one of the keys: "
        + ADD_KEYS.replace("fails, veto, fail_allocation", "fails, veto, fail_allocation, ")
        + "resources, proximity_domain; did you mean 'size'?",
    ),
    "another driver's key": (
        "add: {driver: sclp, size: 1G, resources: [1G]}",
        f"6:35: steps[2].add.resources: got resources, expected one of the keys: {ADD_KEYS}; did you mean 'address'?",
    ),
    "the record's own field is no key": (
        "add: {driver: sclp, size: 1G, options: {}}",
        f"6:35: steps[2].add.options: got options, expected one of the keys: {ADD_KEYS}",
    ),
    "a driver's key misspelt": (
        "add: {driver: acpi, size: 1G, proximity: 1}",
        f"6:35: steps[2].add.proximity: got proximity, expected one of the keys: {ADD_KEYS}, resources, "
        "proximity_domain; did you mean 'proximity_domain'?",
    ),
    "missing size": ("add: {driver: acpi}", f"6:10: steps[2].add.size: expected {SIZE}; the key is missing"),
    "driver misspelt": (
        "add: {drivr: acpi, size: 1G, resources: [1G]}",
        f"6:11: steps[2].add.drivr: got drivr, expected one of the keys: {ADD_KEYS}; did you mean 'driver'?",
    ),
    "missing driver": ("add: {size: 1G}", "6:10: steps[2].add.driver: expected a name; the key is missing"),
    "unknown driver": (
        "add: {driver: acpj, size: 1G}",
        "6:19: steps[2].add.driver: got acpj, expected an installed driver, one of: acpi, hv_balloon, sclp; "
        "did you mean 'acpi'?",
    ),
    "driver is a list": ("add: {driver: [acpi], size: 1G}", "6:19: steps[2].add.driver: got a list, expected a name"),
    "driver is empty": ("add: {driver: '', size: 1G}", "6:19: steps[2].add.driver: got '', expected a name"),
    "size zero": (
        "add: {driver: acpi, size: 0}",
        f"6:31: steps[2].add.size: got 0, expected {SIZE}, greater than 0",
    ),
    "size negative": (
        "add: {driver: acpi, size: -1G}",
        f"6:31: steps[2].add.size: got -1G, expected {SIZE}; it is never negative",
    ),
    "size octal": (
        "add: {driver: acpi, size: 010M}",
        f"6:31: steps[2].add.size: got 010M, expected {SIZE}; a leading zero would be octal in the kernel, write 10",
    ),
    "size boolean": ("add: {driver: acpi, size: yes}", f"6:31: steps[2].add.size: got yes, expected {SIZE}"),
    "size nothing": ("add: {driver: acpi, size: }", f"6:31: steps[2].add.size: got nothing, expected {SIZE}"),
    "size a mapping": ("add: {driver: acpi, size: {a: b}}", f"6:31: steps[2].add.size: got a mapping, expected {SIZE}"),
    "size huge": (
        f"add: {{driver: acpi, size: {'9' * 5000}}}",
        f"6:31: steps[2].add.size: got {'9' * 79}…, expected {SIZE}",
    ),
    "both kinds of size": (
        "add: {driver: acpi, size: 1G, resources: [1G]}",
        "6:35: steps[2].add.resources: got resources, expected either size or resources, and not both",
    ),
    "item of a list": (
        "add: {driver: acpi, resources: [1G, 1X]}",
        f"6:41: steps[2].add.resources[1]: got 1X, expected {SIZE}",
    ),
    "int quoted": (
        "add: {driver: acpi, size: 1G, proximity_domain: '1'}",
        "6:53: steps[2].add.proximity_domain: got '1', expected an integer from 0 to 255, without quotes",
    ),
    "size above the driver's maximum": (
        "add: {driver: hv_balloon, size: 1G, backed: 2T}",
        f"6:49: steps[2].add.backed: got 2T, expected {SIZE}, at most 1099511627776",
    ),
    "word out of a choice": (
        "add: {driver: hv_balloon, size: 1G, agent: udevd}",
        "6:48: steps[2].add.agent: got udevd, expected one of: udev, kernel; did you mean 'udev'?",
    ),
    "address negative": (
        "add: {driver: acpi, size: 1G, address: -1}",
        "6:44: steps[2].add.address: got -1, expected an address such as 0x100000000 or 4G; it is never negative",
    ),
    "node boolean": (
        "add: {driver: acpi, size: 1G, node: true}",
        "6:41: steps[2].add.node: got true, expected a node number from 0 to 1023",
    ),
    "node octal": (
        "add: {driver: acpi, size: 1G, node: 010}",
        "6:41: steps[2].add.node: got 010, expected a node number from 0 to 1023; "
        "a leading zero would be octal in the kernel, write 10",
    ),
    "node too big": (
        "add: {driver: acpi, size: 1G, node: 1024}",
        "6:41: steps[2].add.node: got 1024, expected a node number from 0 to 1023",
    ),
    "flags misspelt": (
        "add: {driver: acpi, size: 1G, mhp_flags: onmemory}",
        f"6:46: steps[2].add.mhp_flags: got onmemory, expected {FLAGS}; did you mean 'on_memory'?",
    ),
    "flags in lower case": (
        "add: {driver: acpi, size: 1G, mhp_flags: [none, mhp_memmap_device]}",
        f"6:53: steps[2].add.mhp_flags[1]: got mhp_memmap_device, expected {FLAGS}; did you mean 'MHP_MEMMAP_DEVICE'?",
    ),
    "flags as a number": (
        "add: {driver: acpi, size: 1G, mhp_flags: 1}",
        f"6:46: steps[2].add.mhp_flags: got 1, expected {FLAGS}",
    ),
    "flags empty": (
        "add: {driver: acpi, size: 1G, mhp_flags: []}",
        f"6:46: steps[2].add.mhp_flags: got a list, expected {FLAGS}",
    ),
    "name odd": (
        "add: {driver: acpi, size: 1G, name: 32-35}",
        f"6:41: steps[2].add.name: got 32-35, expected {NAME}",
    ),
    "name empty": (
        "add: {driver: acpi, size: 1G, name: ''}",
        f"6:41: steps[2].add.name: got '', expected {NAME}",
    ),
    "fails misspelt": (
        "remove: {range: dimm0, fails: EBUZY}",
        f"6:35: steps[2].remove.fails: got EBUZY, expected {ERRNO}; did you mean 'EBUSY'?",
    ),
    "fails as a number": (
        "remove: {range: dimm0, fails: 16}",
        f"6:35: steps[2].remove.fails: got 16, expected {ERRNO}",
    ),
    "fails as a boolean": (
        "remove: {range: dimm0, fails: true}",
        f"6:35: steps[2].remove.fails: got true, expected {ERRNO}",
    ),
    "veto as a word": (
        "online: {range: dimm0, veto: ENOMEM}",
        "6:34: steps[2].online.veto: got ENOMEM, expected a mapping with the keys: event, errno",
    ),
    "veto without errno": (
        "online: {range: dimm0, veto: {event: MEM_GOING_ONLINE}}",
        f"6:34: steps[2].online.veto.errno: expected {ERRNO}; the key is missing",
    ),
    "veto with another key": (
        "online: {range: dimm0, veto: {event: MEM_GOING_ONLINE, errno: EIO, x: y}}",
        "6:72: steps[2].online.veto.x: got x, expected one of the keys: event, errno",
    ),
    "veto of an unknown event": (
        "online: {range: dimm0, veto: {event: GOING_ONLINE, errno: EIO}}",
        f"6:42: steps[2].online.veto.event: got GOING_ONLINE, expected {EVENT}; did you mean 'MEM_GOING_ONLINE'?",
    ),
    "range missing": ("online: {zone: auto}", f"6:13: steps[2].online.range: expected {RANGE}; the key is missing"),
    "range as a number": (
        "offline: {range: 32}",
        f"6:22: steps[2].offline.range: got 32, expected {RANGE}; did you mean 'block 32'?",
    ),
    "range with a step's wrong name": (
        "offline: {range: dimm1}",
        "6:22: steps[2].offline.range: got dimm1, expected the name of an earlier add step: dimm0; "
        "did you mean 'dimm0'?",
    ),
    "range with a workload's name": (
        "eject: {range: app}",
        "6:20: steps[2].eject.range: got app, expected the name of an earlier add step: dimm0",
    ),
    "zone misspelt": (
        "online: {range: dimm0, zone: Movable}",
        "6:34: steps[2].online.zone: got Movable, expected one of: kernel, movable, auto; did you mean 'movable'?",
    ),
    "path outside sysfs": (
        "write: {path: /proc/x, value: 1}",
        f"6:19: steps[2].write.path: got /proc/x, expected {PATH}",
    ),
    "value nothing": (
        "write: {path: a, value: }",
        '6:29: steps[2].write.value: got nothing, expected text; write "" for an empty text',
    ),
    "value a list": ("write: {path: a, value: [1]}", "6:29: steps[2].write.value: got a list, expected text"),
    "capable on": (
        "write: {path: a, value: 1, capable: off}",
        "6:41: steps[2].write.capable: got off, expected true or false; did you mean 'false'?",
    ),
    "order too big": (
        "allocate: {name: a, size: 1G, order: 21}",
        "6:42: steps[2].allocate.order: got 21, expected an order from 0 to 20",
    ),
    "zone auto of a workload": (
        "allocate: {name: a, size: 1G, zone: auto}",
        "6:41: steps[2].allocate.zone: got auto, expected one of: kernel, movable",
    ),
    "pinned quoted": (
        "allocate: {name: a, size: 1G, pinned: 'true'}",
        "6:43: steps[2].allocate.pinned: got 'true', expected true or false, without quotes; did you mean 'true'?",
    ),
    "release of nothing": (
        "release: {name: ap}",
        "6:21: steps[2].release.name: got ap, expected the name of an earlier allocate step: app; did you mean 'app'?",
    ),
    "op without keys": (
        "offline:",
        "6:13: steps[2].offline: got nothing, expected a mapping with the keys: range, fails, veto, fail_allocation",
    ),
    "op with a word": (
        "offline: dimm0",
        "6:14: steps[2].offline: got dimm0, expected a mapping with the keys: range, fails, veto, fail_allocation",
    ),
    "op with a list": (
        "offline: [dimm0]",
        "6:14: steps[2].offline: got a list, expected a mapping with the keys: range, fails, veto, fail_allocation",
    ),
    "the first of several errors": (
        "add: {size: 0, driver: nope, sizee: 1, node: x}",
        f"6:17: steps[2].add.size: got 0, expected {SIZE}, greater than 0",
    ),
    "a misspelt key before the missing one": (
        "online: {rnge: dimm0}",
        "6:14: steps[2].online.rnge: got rnge, expected one of the keys: range, zone, fails, veto, fail_allocation; "
        "did you mean 'range'?",
    ),
}


@pytest.mark.parametrize(("text", "message"), BAD_STEPS.values(), ids=BAD_STEPS.keys())
def test_a_bad_step_is_refused_at_its_place(step_error: ErrorOf, text: str, message: str) -> None:
    """The whole message: file, line, column, path, what was found, what was expected."""
    assert str(step_error(text)) == f"s.yaml:{message}"
