"""The built-in architectures keep the contract of an architecture plugin, at every page size and MMU."""

import errno
from collections.abc import Mapping
from typing import ClassVar

from memhotplug.testing import ArchContract

_TWO_NODES = [{"node": 0, "size": "2G"}, {"node": 1, "size": "2G"}]


class TestX8664(ArchContract):
    """x86_64."""

    name = "x86_64"
    kernel = "v2-2019"
    failure_leaves = ("direct-*",)
    machines = ({"memory": "1G"}, {"memory": "4G"}, {"memory": _TWO_NODES}, {"memory": "4G", "memory_block_size": "2G"})


class TestArm64(ArchContract):
    """arm64, where nothing is freed yet: memory that comes back finds a head page that has counted down to 0."""

    name = "arm64"
    kernel = "v2-2019"
    frees_memmap = False
    known_violations = ("deferred free under way between operations",)
    machines = tuple(
        {"memory": memory, "page_size": page_size}
        for page_size in ("4K", "16K", "64K")
        for memory in ("1G", "4G", _TWO_NODES)
    )


_RADIX: tuple[Mapping[str, object], ...] = (
    {"memory": "1G"},
    {"memory": "4G"},
    {"memory": "2G", "memory_block_size": "16M"},
    {"memory": _TWO_NODES},
)


class TestPowerpcRadix(ArchContract):
    """powerpc with radix trees; a linear map that cannot be made is EFAULT."""

    name = "powerpc"
    kernel = "v2-2019"
    tables_stay: ClassVar[tuple[str, ...]] = ("*-pud",)
    failure_leaves = ("direct-*",)
    add_errnos = frozenset({errno.ENOMEM, errno.EFAULT})
    machines = tuple({**keys, "page_size": "4K"} for keys in _RADIX)


class TestPowerpcRadix64K(TestPowerpcRadix):
    """With 64K pages many tables fill one page, which stays as long as the memory around it."""

    tables_stay: ClassVar[tuple[str, ...]] = ("*-pud", "*-pmd", "*-pte")
    machines = tuple({**keys, "page_size": "64K"} for keys in _RADIX)


class TestPowerpcHash(ArchContract):
    """powerpc with a hash table: 16 MiB vmemmap pages, and base pages on a small machine."""

    name = "powerpc"
    kernel = "v2-2019"
    table_kinds: ClassVar[tuple[str, ...]] = ()
    machines = tuple(
        {"memory": memory, "page_size": page_size, "cmdline": "disable_radix", **more}
        for page_size in ("4K", "64K")
        for memory, more in (
            ("512M", {"memory_block_size": "64M"}),
            ("1G", {}),
            ("4G", {"memory_block_size": "256M"}),
            (_TWO_NODES, {}),
        )
    )


class TestS390(ArchContract):
    """s390, with and without large increments."""

    name = "s390"
    kernel = "v2-2019"
    tables_stay = ("*-region3",)
    machines = ({"memory": "1G"}, {"memory": "4G"}, {"memory": _TWO_NODES}, {"memory": "4G", "rzm": "512M"})
