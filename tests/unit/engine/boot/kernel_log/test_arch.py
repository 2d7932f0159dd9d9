"""Which architecture a kernel log comes from: what is told, what follows, and what is guessed and said."""

from __future__ import annotations

import pytest

from memhotplug.engine.boot.kernel_log.arch import arch_of_release, choose_arch
from memhotplug.engine.boot.kernel_log.layout import LoggedZone


def zones(**present: int) -> list[LoggedZone]:
    """Return zones of a log, by name, with their present pages."""
    return [
        LoggedZone(node=0, name=name, line=1, pages={"present": pages}, protection=None, by_order=())
        for name, pages in present.items()
    ]


@pytest.mark.parametrize(
    ("release", "arch"),
    [
        ("6.12.107+deb13-amd64", "x86_64"),
        ("6.12.0-1.fc42.x86_64", "x86_64"),
        ("6.1.0-18-arm64", "arm64"),
        ("5.14.0-427.el9.aarch64", "arm64"),
        ("6.1.0-18-powerpc64le", "powerpc"),
        ("5.14.0-427.el9.ppc64le", "powerpc"),
        ("6.1.0-18-s390x", "s390"),
        ("6.12.0-1.fc42.riscv64", "riscv64"),
        ("6.1.0-18-armmp", "armmp"),
        ("6.12.0", None),
        ("", None),
        (None, None),
    ],
)
def test_a_release_names_its_architecture_as_distributions_do(release: str | None, arch: str | None) -> None:
    """In Debian's words and in Fedora's."""
    assert arch_of_release(release) == arch


def choose(told: str | None, present: dict[str, int], page_size: int) -> tuple[str, str]:
    """Return the architecture of a log with such zones, and the sentence about it."""
    return choose_arch(told, present, zones(**present), page_size, None)


def test_what_is_told_is_so() -> None:
    """Whatever zones and pages say."""
    assert choose("arm64", {"DMA": 1, "DMA32": 1}, 4096) == ("arm64", "")


@pytest.mark.parametrize(
    ("present", "page_size", "arch", "sentence"),
    [
        ({"DMA": 3998, "DMA32": 1000, "Normal": 1}, 4096, "x86_64", ""),
        ({"Normal": 1000}, 4096, "x86_64", "architecture x86_64: the log does not tell"),
        ({"DMA32": 1000, "Movable": 1 << 30}, 4096, "x86_64", "architecture x86_64: the log does not tell"),
        (
            {"DMA": 4097, "Normal": 1000}, 4096, "arm64",
            "architecture arm64, of 3 that have such: its page size, zones and chunks are none of x86_64",
        ),
        (
            {"Normal": 1000}, 65536, "arm64",
            "architecture arm64, of 2 that have such: its page size, zones and chunks are none of x86_64",
        ),
        (
            {"Normal": 1000}, 16384, "arm64",
            "architecture arm64: its page size, zones and chunks are none of x86_64",
        ),
        ({"Normal": 1000}, 8192, "x86_64", "architecture x86_64: the log does not tell"),
    ],
)  # fmt: skip
def test_zones_and_pages_decide_where_nothing_is_told(
    present: dict[str, int], page_size: int, arch: str, sentence: str
) -> None:
    """The assumed one if it can be that, else the first that can; of what zones tell nothing is said."""
    assert choose(None, present, page_size) == (arch, sentence)


@pytest.mark.parametrize(("pages", "arch"), [(4096, "x86_64"), (4097, "arm64")])
def test_a_zone_has_no_more_pages_than_its_addresses(pages: int, arch: str) -> None:
    """16 MiB of DMA; both halves of it on two nodes count together."""
    halves = [*zones(DMA=2048), *zones(DMA=pages - 2048), *zones(DMA32=1000)]
    assert choose_arch(None, ["DMA", "DMA32"], halves, 4096, None)[0] == arch
