"""The built-in profiles keep the contract of a profile plugin."""

from memhotplug.testing import ProfileContract

_ON = "memory_hotplug.memmap_on_memory=1"


class TestV2Of2019(ProfileContract):
    """v2-2019 on machines whose memmap never describes more than one block."""

    name = "v2-2019"
    machines = (
        {"arch": "x86_64", "memory": "2G"},
        {"arch": "arm64", "memory": "2G", "page_size": "64K"},
        {"arch": "s390", "memory": "2G"},
    )


class TestLinux612(ProfileContract):
    """Linux 6.12, with and without self-hosted memmap."""

    name = "linux-6.12"
    machines = (
        {"arch": "x86_64", "memory": "2G"},
        {"arch": "x86_64", "memory": "2G", "cmdline": _ON},
        {"arch": "arm64", "memory": "2G"},
        {"arch": "powerpc", "memory": "2G"},
        {"arch": "s390", "memory": "2G", "cmdline": _ON},
    )
