"""Machines that are refused: each with what was expected, at its place."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import pytest
from tests.unit.formats.scenario.test_loader import MACHINE_KEYS

from memhotplug.errors import InputError

ErrorOf: TypeAlias = Callable[[str], InputError]
SIZE = "a size such as 128M, 1GiB or 0x8000000"
BAD_MACHINES = {
    "no memory": (
        "arch: x86_64, kernel: v2-2019",
        "2:10: machine: expected memory or snapshot, and not both",
    ),
    "memory and snapshot": (
        "arch: x86_64, kernel: v2-2019, memory: 4G, snapshot: a",
        "2:54: machine.snapshot: got snapshot, expected memory or snapshot, and not both",
    ),
    "no kernel": ("arch: x86_64, memory: 4G", "2:10: machine.kernel: expected a name; the key is missing"),
    "unknown arch": (
        "arch: x86-64, kernel: v2-2019, memory: 4G",
        "2:17: machine.arch: got x86-64, expected an installed architecture, one of: arm64, s390, x86_64; "
        "did you mean 'x86_64'?",
    ),
    "unknown kernel": (
        "arch: x86_64, kernel: linux-6.13, memory: 4G",
        "2:33: machine.kernel: got linux-6.13, expected an installed kernel, one of: linux-6.12, v2-2019; "
        "did you mean 'linux-6.12'?",
    ),
    "arch is a number": (
        "arch: 86, kernel: v2-2019, memory: 4G",
        "2:17: machine.arch: got 86, expected an installed architecture, one of: arm64, s390, x86_64; "
        "did you mean 'x86_64'?",
    ),
    "arch misspelt": (
        "archh: s390, kernel: v2-2019, memory: 4G, rzm: 1G",
        f"2:11: machine.archh: got archh, expected one of the keys: {MACHINE_KEYS}; did you mean 'arch'?",
    ),
    "arch is nothing": ("arch: , kernel: v2-2019, memory: 4G", "2:17: machine.arch: got nothing, expected a name"),
    "unknown key": (
        "arch: x86_64, kernel: v2-2019, mem: 4G",
        f"2:42: machine.mem: got mem, expected one of the keys: {MACHINE_KEYS}; did you mean 'memory'?",
    ),
    "memory zero": (
        "arch: x86_64, kernel: v2-2019, memory: 0",
        f"2:50: machine.memory: got 0, expected {SIZE}, or a list such as [{{node: 0, size: 2G}}], greater than 0",
    ),
    "memory a mapping": (
        "arch: x86_64, kernel: v2-2019, memory: {node: 0, size: 4G}",
        f"2:50: machine.memory: got a mapping, expected {SIZE}, or a list such as [{{node: 0, size: 2G}}]",
    ),
    "memory empty": (
        "arch: x86_64, kernel: v2-2019, memory: []",
        f"2:50: machine.memory: got a list, expected {SIZE}, or a list such as [{{node: 0, size: 2G}}]",
    ),
    "memory a list of sizes": (
        "arch: x86_64, kernel: v2-2019, memory: [2G]",
        "2:51: machine.memory[0]: got 2G, expected a mapping with the keys: node, size",
    ),
    "a node without size": (
        "arch: x86_64, kernel: v2-2019, memory: [{node: 0, size: 1G}, {node: 1}]",
        f"2:72: machine.memory[1].size: expected {SIZE}; the key is missing",
    ),
    "a node's size zero": (
        "arch: x86_64, kernel: v2-2019, memory: [{node: 0, size: 0M}]",
        f"2:67: machine.memory[0].size: got 0M, expected {SIZE}, greater than 0",
    ),
    "a node's unknown key": (
        "arch: x86_64, kernel: v2-2019, memory: [{nod: 0, size: 1M}]",
        "2:52: machine.memory[0].nod: got nod, expected one of the keys: node, size; did you mean 'node'?",
    ),
    "snapshot a list": (
        "arch: x86_64, kernel: v2-2019, snapshot: [a]",
        "2:52: machine.snapshot: got a list, expected a mapping with the keys: path, step",
    ),
    "boot profile unknown": (
        "arch: x86_64, kernel: v2-2019, memory: 4G, boot_profile: lea",
        "2:68: machine.boot_profile: got lea, expected lean, distro, or a mapping such as "
        "{image: 60M, early: 8M, early_share: 100}; did you mean 'lean'?",
    ),
    "boot profile of nothing": (
        "arch: x86_64, kernel: v2-2019, memory: 4G, boot_profile: {image: 1M, early_share: 0}",
        "2:93: machine.boot_profile.early_share: got 0, expected one part in so many, at least 1",
    ),
    "snapshot nothing": (
        "arch: x86_64, kernel: v2-2019, snapshot: ",
        "2:52: machine.snapshot: got nothing, expected the path of a snapshot",
    ),
    "snapshot step": (
        "arch: x86_64, kernel: v2-2019, snapshot: {path: a, step: last}",
        "2:68: machine.snapshot.step: got last, expected a step of the recording, at least 0",
    ),
    "page size": (
        "arch: x86_64, kernel: v2-2019, memory: 4G, page_size: 5K",
        f"2:65: machine.page_size: got 5K, expected {SIZE}, a power of two",
    ),
    "block size": (
        "arch: x86_64, kernel: v2-2019, memory: 4G, memory_block_size: 0",
        f"2:73: machine.memory_block_size: got 0, expected {SIZE}, greater than 0",
    ),
    "address bits": (
        "arch: x86_64, kernel: v2-2019, memory: 4G, physical_address_bits: 65",
        "2:77: machine.physical_address_bits: got 65, expected a number of bits from 32 to 64",
    ),
    "command line a list": (
        "arch: x86_64, kernel: v2-2019, memory: 4G, cmdline: [quiet]",
        "2:63: machine.cmdline: got a list, expected text",
    ),
    "switch off": (
        "arch: x86_64, kernel: v2-2019, memory: 4G, sparsemem_vmemmap: off",
        "2:73: machine.sparsemem_vmemmap: got off, expected true or false; did you mean 'false'?",
    ),
    "the first in the document": (
        "memory: -1, arch: nope, nonsense: 1",
        f"2:19: machine.memory: got -1, expected {SIZE}, or a list such as [{{node: 0, size: 2G}}]; "
        "it is never negative",
    ),
}


@pytest.mark.parametrize(("keys", "message"), BAD_MACHINES.values(), ids=BAD_MACHINES.keys())
def test_a_bad_machine_is_refused_at_its_place(error_of: ErrorOf, keys: str, message: str) -> None:
    """The whole message."""
    assert str(error_of(f"schema: 1\nmachine: {{{keys}}}\n")) == f"s.yaml:{message}"
