"""cxl_region keeps the contract of a driver, whatever its region is made of."""

from memhotplug.testing import DriverContract


class TestCxl(DriverContract):
    """Runs once for each machine and request."""

    name = "cxl_region"
    kernel = "linux-6.12"
    machines = (
        {"arch": "x86_64", "memory": "2G"},
        {"arch": "x86_64", "memory": "2G", "cmdline": "memory_hotplug.memmap_on_memory=1"},
        {"arch": "arm64", "memory": "2G", "cmdline": "memory_hotplug.memmap_on_memory=1 memhp_default_state=online"},
    )
    requests = (
        {"size": "512M"},
        {"extents": ["256M", "512M"], "gap": "128M", "node": 1},
        {"extents": ["256M", "512M"], "host_from": "512M", "atomic": True},
        {"size": "256M", "memmap_on_memory": False},
    )
