"""acme keeps the contract of a driver, under the series and under a released kernel."""

from memhotplug.testing import DriverContract


class TestAcme(DriverContract):
    """Runs once for each machine and request."""

    name = "acme"
    kernel = "v2-2019"
    machines = ({"arch": "x86_64", "memory": "2G"}, {"arch": "arm64", "memory": "4G"})
    requests = ({"size": "2G", "lanes": 2}, {"size": "1G", "node": 1})


class TestAcmeOnMainline(TestAcme):
    """The same with Linux 6.12."""

    kernel = "linux-6.12"
