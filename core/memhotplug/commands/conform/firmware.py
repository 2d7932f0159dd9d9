"""What the firmware and the hypervisor say of a recorded machine, as the log of its boot shows it."""

from __future__ import annotations

import re
from copy import copy
from functools import cached_property

from memhotplug.commands.conform.facts import StepFacts
from memhotplug.contracts import AddRequest
from memhotplug.engine.kernel import Kernel
from memhotplug.engine.memory_hotplug.presence import drivers_of
from memhotplug.errors import InputError
from memhotplug.formats.snapshot import RecordedMachine
from memhotplug.manager import driver_traits

__all__ = ["Firmware", "device_log"]

_SRAT = re.compile(r"SRAT: Node (\d+) PXM (\d+)|SRAT: PXM (\d+) -> APIC \S+ -> Node (\d+)")
_DEVICE = re.compile(r"\b\w+ (\w+): ([a-z][a-z ]+): (0x[0-9a-f]+|\d+)$")


def device_log(boot: StepFacts) -> dict[str, dict[str, int]]:
    """Return the numbers that the log says of devices, by device and by the words before the colon; the last counts."""
    found: dict[str, dict[str, int]] = {}
    for line in boot.step.dmesg:
        number = line.rpartition(": ")[2]
        if not number[:1].isdigit() or not number.rstrip().isalnum():
            continue  # a log has hundreds of lines, of which few end in a number
        told = _DEVICE.search(line)
        if told is not None:
            found.setdefault(told[1], {})[told[2]] = int(told[3], 0)
    return found


class Firmware:
    """Proximity domains, and devices that grow.

    Models: drivers/acpi/numa/srat.c:acpi_numa_memory_affinity_init(), acpi_get_node() (v5.2 to v6.12): a domain
    that no table names has no node.
    """

    def __init__(self, boot: StepFacts, machine: RecordedMachine) -> None:
        self._boot = boot
        self._possible = set(machine.possible_nodes)
        self._made: list[str] = []

    @cached_property
    def _of_domain(self) -> dict[int, int]:
        """Linux' nodes by proximity domain; most recordings never ask, and a log has hundreds of lines."""
        found: dict[int, int] = {}
        for line in self._boot.step.dmesg:
            named = _SRAT.search(line) if "SRAT: " in line else None
            if named is not None:
                node, domain = (named[1], named[2]) if named[1] is not None else (named[4], named[3])
                found[int(domain)] = int(node)
        if found:
            # Domains of CPUs alone have no line: they have the nodes that are left, both ascending.
            unnamed = sorted(self._possible - found.keys())
            found.update(zip(unnamed, sorted(self._possible - set(found.values())), strict=False))
        return found

    @cached_property
    def log(self) -> dict[str, dict[str, int]]:
        """What :func:`device_log` returns; most machines have no device that it tells of."""
        return device_log(self._boot)

    def copy(self) -> Firmware:
        """Return an independent copy."""
        twin = copy(self)
        twin._made = self._made.copy()
        return twin

    def node(self, domain: int) -> int | None:
        """Return Linux' node of a proximity domain, None where it has none and the address decides."""
        if self._of_domain:
            return self._of_domain.get(domain)
        return domain if domain in self._possible else None

    def growing_device(self, kernel: Kernel, name: str, size: int) -> AddRequest:
        """Return the request that makes the next device of those that the log describes.

        Raises:
            InputError: it describes no such device.
        """
        devices = {name: told for name, told in self.log.items() if "region size" in told}
        left = [device for device in devices if device not in self._made]
        driver = next((one for one in drivers_of(kernel.arch) if driver_traits(one).room_key == "device_size"), None)
        if not left or driver is None:
            raise InputError("a device that the log of the boot describes", got=name, path="op.device")
        self._made.append(left[0])
        told = devices[left[0]]
        start, room = told.get("start address", 0), told.get("region size", 0)
        for entry in kernel.state.resources.overlapping(start, room):
            kernel.state.resources.release(entry.start, entry.size)  # the driver claims its region itself
        options = {"device_size": room, "block_size": told.get("device block size", 2 << 20)}
        return AddRequest(driver=driver, name=name, size=size, address=start, nid=told.get("nid"), options=options)
