"""The truth table against the arithmetic of memory_block_memmap_on_memory_pages(), row by row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from tests.kernels import MAINLINE

from memhotplug import InputError
from memhotplug.commands.explain.answer import explain
from memhotplug.commands.explain.question import Question
from memhotplug.naming import kernels, newest_kernel

MIB, GIB = 1 << 20, 1 << 30
PAGEBLOCK, PMD, WHOLE, PAGE, HASH = "pageblock", "the architecture", "whole block", "whole pages", "hash"

# arch, page size in KiB, MMU, block, memmap bytes, memmap pages, why not Y, why not force, pages reserved by force
ROWS: list[tuple[str, int, str | None, int, int, int, str | None, str | None, int | None]] = [
    *(
        ("x86_64", 4, None, block, block // 64, block // 64 // 4096, None, None, block // 64 // 4096)
        for block in (128 * MIB, 256 * MIB, 512 * MIB, GIB, 2 * GIB, 8 * GIB, 64 * GIB)
    ),
    ("arm64", 4, None, 128 * MIB, 2 * MIB, 512, None, None, 512),
    ("arm64", 16, None, 128 * MIB, 512 << 10, 32, PAGEBLOCK, PMD, None),
    ("arm64", 64, None, 512 * MIB, 512 << 10, 8, PAGEBLOCK, WHOLE, None),
    ("powerpc", 4, "radix", 16 * MIB, 256 << 10, 64, PAGEBLOCK, PMD, None),
    ("powerpc", 4, "radix", 32 * MIB, 512 << 10, 128, PAGEBLOCK, PMD, None),
    ("powerpc", 4, "radix", 128 * MIB, 2 * MIB, 512, None, None, 512),
    ("powerpc", 4, "radix", 256 * MIB, 4 * MIB, 1024, None, None, 1024),
    ("powerpc", 4, "radix", GIB, 16 * MIB, 4096, None, None, 4096),
    ("powerpc", 64, "radix", 16 * MIB, 16 << 10, 1, PAGE, PAGE, None),
    ("powerpc", 64, "radix", 64 * MIB, 64 << 10, 1, PAGEBLOCK, None, 32),
    ("powerpc", 64, "radix", 256 * MIB, 256 << 10, 4, PAGEBLOCK, None, 32),
    ("powerpc", 64, "radix", 512 * MIB, 512 << 10, 8, PAGEBLOCK, None, 32),
    ("powerpc", 64, "radix", GIB, MIB, 16, PAGEBLOCK, None, 32),
    ("powerpc", 64, "radix", 2 * GIB, 2 * MIB, 32, None, None, 32),
    *(
        ("s390", 4, None, block, block // 64, block // 64 // 4096, None, None, block // 64 // 4096)
        for block in (256 * MIB, 512 * MIB, GIB, 2 * GIB)
    ),
]


def modes(row: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the modes of a row by name."""
    return {mode["mode"]: mode for mode in row["modes"]}


def one_row(**question: Any) -> dict[str, Any]:
    """Return the only machine that a question is about."""
    document: Mapping[str, Any] = explain(Question(**question))
    (row,) = document["platforms"]
    return dict(row)


@pytest.mark.parametrize(
    ("arch", "page", "mmu", "block", "memmap", "pages", "not_on", "not_force", "reserved"),
    ROWS,
    ids=lambda value: str(value),
)
def test_decision_table(
    arch: str, page: int, mmu: str | None, block: int, memmap: int, pages: int, not_on: str | None,
    not_force: str | None, reserved: int | None,
) -> None:  # fmt: skip
    """Memmap size, what Y and force make of it, pages reserved and wasted, and the first rule that refuses."""
    row = one_row(arch=arch, kernel="linux-6.12", page_size=page << 10, block_size=block, mmu=mmu)
    found = modes(row)

    assert (row["memmap_bytes"], row["memmap_pages"]) == (memmap, pages)
    assert row["pages_per_block"] == block // (page << 10)
    assert not found["N"]["supported"]
    assert found["N"]["rule"] == "memory_hotplug.memmap_on_memory is off"
    for mode, refusal in (("Y", not_on), ("force", not_force)):
        assert found[mode]["supported"] == (refusal is None)
        assert (refusal or "") in (found[mode]["rule"] or "")
    wasted = None if reserved is None else reserved - pages
    assert (found["force"]["reserved_pages"], found["force"]["wasted_pages"]) == (reserved, wasted)
    if not_on is None:
        assert (found["Y"]["reserved_pages"], found["Y"]["wasted_pages"]) == (pages, 0)


@pytest.mark.parametrize("page", [4, 64])
@pytest.mark.parametrize("block", [16 * MIB, 256 * MIB, GIB, 2 * GIB])
def test_hash_never_self_hosts(page: int, block: int) -> None:
    """Whatever the sizes are."""
    row = one_row(arch="powerpc", kernel="linux-6.12", page_size=page << 10, block_size=block, mmu="hash")

    assert not any(mode["supported"] for mode in row["modes"])


def test_s390_has_smaller_sections_since_6_14() -> None:
    """A block of 128 MiB, where 6.12 has none."""
    row = one_row(arch="s390", kernel="linux-7.2", block_size=128 * MIB)

    assert modes(row)["Y"]["reserved_pages"] == 512
    with pytest.raises(InputError) as caught:
        explain(Question(arch="s390", kernel="linux-6.12", block_size=128 * MIB))
    assert str(caught.value) == "got 128M, expected a power of two from 256M to 2T"


@pytest.mark.parametrize(
    ("arch", "since"), [("x86_64", (5, 13)), ("arm64", (5, 13)), ("powerpc", (6, 6)), ("s390", (6, 8))]
)
def test_architectures_joined_one_after_the_other(arch: str, since: tuple[int, int]) -> None:
    """The first kernel in which a block may host its memmap, at 4K pages."""
    block = 256 * MIB if arch in ("powerpc", "s390") else 128 * MIB
    for kernel in kernels():
        if not kernel.startswith("linux-"):
            continue
        version = tuple(int(part) for part in kernel.removeprefix("linux-").split("."))
        mmu = "radix" if arch == "powerpc" else None
        row = one_row(arch=arch, kernel=kernel, page_size=4096, block_size=block, mmu=mmu)
        assert modes(row)["Y"]["supported"] == (version >= since), kernel
        assert ("force" in modes(row)) == (version >= (6, 6))


def test_the_series_has_flags_instead_of_a_parameter() -> None:
    """Device and memblock, for one block the same pages; s390 vetoes both, arm64 with 16K pages ignores them."""
    x86 = modes(one_row(arch="x86_64", kernel="v2-2019", block_size=GIB))
    s390 = modes(one_row(arch="s390", kernel="v2-2019", block_size=256 * MIB))
    arm64 = modes(one_row(arch="arm64", kernel="v2-2019", page_size=16 << 10))

    assert list(x86) == ["device", "memblock"]
    assert [mode["reserved_pages"] for mode in x86.values()] == [4096, 4096]
    for refusing in (s390, arm64):
        assert {mode["rule"] for mode in refusing.values()} == {
            "the architecture takes no page of the range for its memmap"
        }


def test_sources_name_the_function_and_a_version() -> None:
    """The kernel's own rule, and the architecture's."""
    row = one_row(arch="powerpc", kernel="linux-6.12", page_size=64 << 10, block_size=2 * GIB, mmu="hash")

    assert modes(row)["Y"]["source"] == "mm/memory_hotplug.c:mhp_supports_memmap_on_memory() (v5.13 to v6.12)"
    assert modes(row)["force"]["source"] == (
        "arch/powerpc/include/asm/pgtable.h:arch_supports_memmap_on_memory() (v6.6)"
    )


def test_without_a_question_every_architecture_answers() -> None:
    """The newest kernel; each architecture's usual block size is among the rows."""
    document: Mapping[str, Any] = explain(Question())
    usual = {(row["arch"], row["page_size"]) for row in document["platforms"] if row["is_default"]}

    assert document["kernels"] == [newest_kernel()] == [MAINLINE[-1]]
    assert usual >= {
        ("arm64", 4096), ("arm64", 16384), ("arm64", 65536), ("powerpc", 4096), ("powerpc", 65536), ("s390", 4096),
        ("x86_64", 4096),
    }  # fmt: skip
    assert {row["mmu"] for row in document["platforms"] if row["arch"] == "powerpc"} == {"radix", "hash"}
    assert {row["mmu"] for row in document["platforms"] if row["arch"] != "powerpc"} == {None}


def test_kernels_are_in_the_order_of_their_age() -> None:
    """The series first, then mainline by number."""
    assert kernels() == ["v2-2019", *MAINLINE]


@pytest.mark.parametrize(
    ("question", "text"),
    [
        ({"arch": "x86_64", "page_size": 64 << 10}, "got 64K, expected 4K, the only page size of x86_64"),
        ({"arch": "arm64", "block_size": GIB}, "got 1G, expected 128M: a memory block of arm64 is one section"),
        ({"arch": "s390", "mmu": "hash"}, "got --mmu hash, expected an architecture with a choice of MMUs"),
        ({"mmu": "soft"}, "got soft, expected one of radix, hash"),
        ({"block_size": 1 << 40}, "got 1T, expected a memory block size of at most 64G"),
    ],
)
def test_what_no_machine_has_is_refused(question: dict[str, Any], text: str) -> None:
    """One line that says what there is."""
    with pytest.raises(InputError) as caught:
        explain(Question(**question))

    assert str(caught.value) == text


def test_unknown_plugins_are_named() -> None:
    """With the one that was probably meant."""
    for question in (Question(arch="x86"), Question(kernel="v2-2018"), Question(driver="acp")):
        with pytest.raises(InputError, match="did you mean"):
            explain(question)


def test_before_6_6_the_pmd_came_before_the_pageblock() -> None:
    """The first rule that forbids is the kernel's own first one."""
    first = {}
    for kernel in ("linux-6.2", "linux-6.6"):
        row = one_row(arch="arm64", kernel=kernel, page_size=16 << 10)
        first[kernel] = next(mode["rule"] for mode in row["modes"] if mode["mode"] == "Y")

    assert first == {
        "linux-6.2": "the architecture refuses 512K of memmap a block",
        "linux-6.6": "32 pages of memmap are not a multiple of a pageblock of 2048 pages",
    }
