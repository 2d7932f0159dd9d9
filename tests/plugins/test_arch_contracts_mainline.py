"""The built-in architectures keep the contract under mainline kernels, self-hosting or not."""

import errno
from collections.abc import Mapping
from typing import ClassVar, TypeAlias

from memhotplug.testing import ArchContract

Machines: TypeAlias = tuple[Mapping[str, object], ...]

_ON = "memory_hotplug.memmap_on_memory=1"
_FORCE = "memory_hotplug.memmap_on_memory=force"


class TestX8664On61(ArchContract):
    """x86_64, Linux 6.1, which refuses the flag where it cannot serve it."""

    name = "x86_64"
    failure_leaves = ("direct-*",)
    kernel = "linux-6.1"
    machines: ClassVar[Machines] = ({"memory": "2G"}, {"memory": "2G", "cmdline": _ON})


class TestX8664On612(ArchContract):
    """x86_64, Linux 6.12."""

    name = "x86_64"
    failure_leaves = ("direct-*",)
    kernel = "linux-6.12"
    machines: ClassVar[Machines] = ({"memory": "2G"}, {"memory": "2G", "cmdline": _ON})


class TestArm64On61(ArchContract):
    """arm64, Linux 6.1: sections of 128 MiB, and hot-remove frees."""

    name = "arm64"
    kernel = "linux-6.1"
    machines: ClassVar[Machines] = (
        {"memory": "2G", "cmdline": _ON},
        {"memory": "2G", "page_size": "64K"},
    )


class TestArm64On612(ArchContract):
    """arm64, Linux 6.12."""

    name = "arm64"
    kernel = "linux-6.12"
    machines: ClassVar[Machines] = (
        {"memory": "2G", "cmdline": _ON},
        {"memory": "2G", "page_size": "16K", "cmdline": _FORCE},
        {"memory": "2G", "page_size": "64K"},
    )


class TestPowerpcOn61(ArchContract):
    """powerpc, Linux 6.1: one vmemmap page size for radix as for hash."""

    name = "powerpc"
    tables_stay: ClassVar[tuple[str, ...]] = ("*-pud",)
    kernel = "linux-6.1"
    add_errnos = frozenset({errno.ENOMEM, errno.EFAULT})
    machines: ClassVar[Machines] = ({"memory": "2G"}, {"memory": "2G", "page_size": "4K"})


class TestPowerpcHashOn61(TestPowerpcOn61):
    """A hash table has no levels, and no page tables."""

    table_kinds: ClassVar[tuple[str, ...]] = ()
    machines: ClassVar[Machines] = ({"memory": "2G", "cmdline": "disable_radix"},)


class TestPowerpcOn612(ArchContract):
    """powerpc, Linux 6.12: radix populates by rules of its own."""

    name = "powerpc"
    tables_stay: ClassVar[tuple[str, ...]] = ("*-pud", "*-pmd", "*-pte")  # of 64K pages, which many tables fill
    kernel = "linux-6.12"
    add_errnos = frozenset({errno.ENOMEM, errno.EFAULT})
    machines: ClassVar[Machines] = (
        {"memory": "4G", "memory_block_size": "16M"},
        {"memory": "4G", "memory_block_size": "256M", "cmdline": _ON},
        {"memory": "4G", "memory_block_size": "256M", "cmdline": _FORCE},
        {"memory": "2G", "memory_block_size": "2G", "cmdline": _ON},
    )


class TestPowerpcOn612With4K(TestPowerpcOn612):
    """One table a page."""

    tables_stay: ClassVar[tuple[str, ...]] = ("*-pud",)
    machines: ClassVar[Machines] = ({"memory": "4G", "memory_block_size": "256M", "page_size": "4K", "cmdline": _ON},)


class TestPowerpcHashOn612(TestPowerpcOn612):
    """A hash table has no levels, and no page tables."""

    table_kinds: ClassVar[tuple[str, ...]] = ()
    machines: ClassVar[Machines] = (
        {"memory": "4G", "memory_block_size": "256M", "cmdline": "disable_radix"},
        {"memory": "4G", "memory_block_size": "256M", "page_size": "4K", "cmdline": "disable_radix"},
    )


class TestS390On612(ArchContract):
    """s390, Linux 6.12, where standby memory may host its memmap."""

    name = "s390"
    tables_stay = ("*-region3",)
    kernel = "linux-6.12"
    machines: ClassVar[Machines] = (
        {"memory": "2G"},
        {"memory": "2G", "cmdline": _ON},
        {"memory": "2G", "rzm": "512M", "cmdline": _ON},
    )
