"""acme64 keeps the contract of an architecture."""

from memhotplug.testing import ArchContract


class TestAcme64(ArchContract):
    """Runs once on each machine."""

    name = "acme64"
    kernel = "v2-2019"
    machines = ({"memory": "2G"}, {"memory": "4G", "memory_block_size": "1G"})
