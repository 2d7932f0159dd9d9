"""The contract that every plugin has to keep, as test classes for its author to subclass.

    from memhotplug.testing import ArchContract

    class TestMyArch(ArchContract):
        name = "myarch"
        machines = ({"memory": "2G"}, {"memory": "4G", "page_size": "64K"})

pytest collects the subclass; every test of the contract runs once for each machine. The built-in
plugins are tested by exactly these classes. Needs pytest and hypothesis: ``pip install memhotplug[plugin-test]``.
"""

import pytest

for _name in ("arch", "driver", "fingerprint", "lives", "policy", "probes", "profile", "steps", "support", "tables"):
    pytest.register_assert_rewrite(f"memhotplug.testing.{_name}")

from memhotplug.testing.arch import ArchContract  # noqa: E402  # the rewriting has to be in place first
from memhotplug.testing.driver import DriverContract  # noqa: E402
from memhotplug.testing.fingerprint import fingerprint, page_tables  # noqa: E402
from memhotplug.testing.policy import PolicyContract  # noqa: E402
from memhotplug.testing.probes import (  # noqa: E402
    free_pages,
    heads,
    memmap_pages,
    page_table_pages,
    populate,
    shatter,
)
from memhotplug.testing.profile import ProfileContract  # noqa: E402
from memhotplug.testing.support import Balance, Contract, balance, boot, failure_points  # noqa: E402

__all__ = [
    "ArchContract",
    "Balance",
    "Contract",
    "DriverContract",
    "PolicyContract",
    "ProfileContract",
    "balance",
    "boot",
    "failure_points",
    "fingerprint",
    "free_pages",
    "heads",
    "memmap_pages",
    "page_table_pages",
    "page_tables",
    "populate",
    "shatter",
]
