"""The built-in drivers keep the contract of a driver plugin, each on its own kind of machine."""

from memhotplug.testing import DriverContract

_X86_64 = {"arch": "x86_64", "memory": "2G"}


class TestAcpi(DriverContract):
    """acpi_memhotplug, with one memory resource and with two."""

    name = "acpi"
    kernel = "v2-2019"
    machines = (_X86_64, {"arch": "x86_64", "memory": "512M"})
    requests = ({"size": "256M"}, {"resources": ["128M", "256M"]}, {"size": "1G", "mhp_flags": "memblock"})


class TestDax(DriverContract):
    """dax/kmem."""

    name = "dax"
    kernel = "v2-2019"
    machines = (_X86_64,)
    requests = ({"size": "1G"},)


class TestHvBalloon(DriverContract):
    """hv_balloon, whole chunks and a part of one."""

    name = "hv_balloon"
    kernel = "v2-2019"
    machines = (_X86_64,)
    requests = ({"size": "512M"}, {"size": "300M"})


class TestXen(DriverContract):
    """The Xen balloon."""

    name = "xen"
    kernel = "v2-2019"
    machines = (_X86_64,)
    requests = ({"size": "512M"},)


class TestProbe(DriverContract):
    """The sysfs probe file, one memory block a write."""

    name = "probe"
    kernel = "v2-2019"
    machines = (_X86_64,)
    requests = ({"size": "128M"},)


class TestSclp(DriverContract):
    """Standby memory of s390."""

    name = "sclp"
    kernel = "v2-2019"
    machines = ({"arch": "s390", "memory": "2G"},)
    requests = ({"size": "1G"},)


class TestPseries(DriverContract):
    """Logical memory blocks of pseries."""

    name = "pseries"
    kernel = "v2-2019"
    machines = ({"arch": "powerpc", "memory": "2G", "memory_block_size": "256M"},)
    requests = ({"size": "1G"},)
