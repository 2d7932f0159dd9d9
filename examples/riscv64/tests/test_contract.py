"""riscv64 keeps the contract of an architecture, with page tables of every depth."""

from memhotplug.testing import ArchContract


class _Riscv64(ArchContract):
    name = "riscv64"
    kernel = "linux-6.12"


class TestSv57(_Riscv64):
    """Five levels of page tables."""

    machines = (
        {"memory": "2G"},
        {"memory": "2G", "cmdline": "memory_hotplug.memmap_on_memory=1"},
        {"memory": [{"node": 0, "size": "2G"}, {"node": 1, "size": "2G"}]},
    )


class TestSv48(_Riscv64):
    """Four levels."""

    machines = ({"memory": "1G", "cmdline": "no5lvl memory_hotplug.memmap_on_memory=1"},)


class TestSv39(_Riscv64):
    """Three levels: every page table above the last level is there from boot."""

    table_kinds = ()
    machines = ({"memory": "1G", "cmdline": "no4lvl memory_hotplug.memmap_on_memory=1"},)
