"""Every built-in driver keeps the contract of a driver plugin."""

from memhotplug.testing import DriverContract

_X86 = ({"arch": "x86_64", "memory": "2G"}, {"arch": "x86_64", "memory": "512M"})


class TestAcpi(DriverContract):
    """acpi_memhotplug, with one memory resource and with two."""

    name = "acpi"
    kernel = "v2-2019"
    machines = _X86
    requests = ({"size": "256M"}, {"resources": ["128M", "256M"]}, {"size": "1G", "mhp_flags": "memblock"})


class TestDax(DriverContract):
    """dax/kmem, aligned and not, with one range and with three."""

    name = "dax"
    kernel = "v2-2019"
    machines = _X86
    requests = (
        {"size": "256M"},
        {"size": "502M", "address": 0x1E0A00000},
        {"ranges": ["100M", "300M", "128M"], "mhp_flags": "memblock"},
    )


class TestHvBalloon(DriverContract):
    """The Hyper-V balloon, whole chunks and partly backed ones."""

    name = "hv_balloon"
    kernel = "v2-2019"
    machines = _X86
    requests = ({"size": "256M"}, {"size": "200M"}, {"size": "200M", "backed": "150M", "mhp_flags": "memblock"})


class TestXen(DriverContract):
    """The Xen balloon, whole sections and not."""

    name = "xen"
    kernel = "v2-2019"
    machines = _X86
    requests = ({"size": "256M"}, {"size": "200M"})


class TestProbe(DriverContract):
    """The probe file."""

    name = "probe"
    kernel = "v2-2019"
    machines = _X86
    requests = ({"size": "128M"}, {"size": "128M", "mhp_flags": "device"})


class TestSclp(DriverContract):
    """Standby memory of s390."""

    name = "sclp"
    kernel = "v2-2019"
    machines = ({"arch": "s390", "memory": "2G"},)
    requests = ({"size": "512M"}, {"size": "768M", "mhp_flags": "memblock"})


class TestPseries(DriverContract):
    """Logical memory blocks of pseries."""

    name = "pseries"
    kernel = "v2-2019"
    machines = ({"arch": "powerpc", "memory": "2G", "memory_block_size": "256M"},)
    requests = ({"size": "1G"},)
