"""Seven independent reports of adds that worked or did not, in the right order with one set of assumptions."""

from __future__ import annotations

import pytest

from memhotplug.commands.plan.question import Question
from memhotplug.commands.plan.search import usable_pages
from memhotplug.commands.plan.sources import from_boot
from memhotplug.commands.plan.trial import Trial, attempt

GIB = 1 << 30
MIB = 1 << 20


def play(boot: int, *sizes: int, driver: str = "acpi", online: str = "auto") -> Trial:
    """Ask a lean guest."""
    subject = from_boot(boot, arch="x86_64", kernel="linux-6.12", profile="lean", cmdline="")
    return attempt(subject.boot(), Question(sizes=sizes, driver=driver, online=online))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("boot", "sizes", "driver", "online", "works"),
    [
        (256 * MIB, (12 * GIB,), "acpi", "auto", True),
        (256 * MIB, (15 * GIB,), "acpi", "auto", False),
        (GIB, (GIB,) * 40, "acpi", "movable", True),
        (GIB, (47 * GIB,), "virtio_mem", "movable", True),
        (GIB, (GIB,) * 60, "acpi", "movable", False),
        (GIB, (128 * GIB,), "acpi", "auto", False),
        (2 * GIB, (121 * GIB,), "acpi", "auto", False),
        (4 * GIB, (121 * GIB,), "acpi", "auto", True),
    ],
    ids=["256M+12G", "256M+15G", "1G+40x1G", "1G+47G", "1G+60x1G", "1G+128G", "2G+121G", "4G+121G"],
)
def test_the_ladder_of_reports(boot: int, sizes: tuple[int, ...], driver: str, online: str, works: bool) -> None:
    """Each row is on the side that its report says."""
    trial = play(boot, *sizes, driver=driver, online=online)

    assert trial.safe is works


@pytest.mark.parametrize(("boot", "low", "high"), [(256, 192, 240), (1024, 752, 960)])
def test_the_lean_guest_leaves_what_the_reports_allow(boot: int, low: int, high: int) -> None:
    """Between what the largest working add took and what the smallest failing one would have taken."""
    subject = from_boot(boot * MIB, arch="x86_64", kernel=None, profile="lean", cmdline="")

    assert low <= usable_pages(subject.boot()) * 4096 / MIB < high


@pytest.mark.parametrize(
    ("boot", "added", "margin"),
    [
        (256, 12, 6.5), (256, 15, -41.5), (1024, 40, 263.3), (1024, 47, 151.3), (1024, 60, -56.7),
        (1024, 128, -1144.7), (2048, 121, -36.6), (4096, 121, 1956.2),
    ],
)  # fmt: skip
def test_the_margins_that_the_documentation_prints(boot: int, added: int, margin: float) -> None:
    """Kernel memory above the min watermarks less the memmap, in MiB."""
    subject = from_boot(boot * MIB, arch="x86_64", kernel=None, profile="lean", cmdline="")

    assert round(usable_pages(subject.boot()) * 4096 / MIB - added * 16, 1) == margin


def test_the_sixtieth_gib_is_not_the_first_to_fail() -> None:
    """All movable, the slot at which a guest of 1 GiB runs dry lies between 48 and 60."""
    trial = play(GIB, *(GIB,) * 60, online="movable")

    assert 48 <= trial.added_bytes // GIB < 60
