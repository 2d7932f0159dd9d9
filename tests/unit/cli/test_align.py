"""``mhp align``: what people type, and what comes back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memhotplug.manager import names

Mhp = Callable[..., Any]

MIB = 1 << 20


def test_an_unaligned_dimm_ends_with_status_4_and_the_kernels_text(mhp: Mhp) -> None:
    """Range, verdict, next legal start, and a table over block sizes."""
    done = mhp("align", "--range", "0x100200000+1G")

    assert (done.status, done.err) == (4, "")
    assert done.out == (
        "acpi, memory blocks of 128M:\n"
        "  0x0000000100200000-0x00000001401fffff (1G): EINVAL: Block size [0x8000000] unaligned hotplug range: "
        "start 0x100200000, size 0x40000000\n"
        "    next legal start 0x108000000, a gap of 126M\n"
        "\n"
        "BLOCK_SIZE RANGE                                 BLOCKS USABLE STRANDED  NEXT_START   GAP RESULT\n"
        "      128M 0x0000000100200000-0x00000001401fffff      -     0B       1G 0x108000000  126M EINVAL\n"
        "      256M 0x0000000100200000-0x00000001401fffff      -     0B       1G 0x110000000  254M EINVAL\n"
        "      512M 0x0000000100200000-0x00000001401fffff      -     0B       1G 0x120000000  510M EINVAL\n"
        "        1G 0x0000000100200000-0x00000001401fffff      -     0B       1G 0x140000000 1022M EINVAL\n"
        "        2G 0x0000000100200000-0x00000001401fffff      -     0B       1G 0x180000000 2046M EINVAL\n"
        "\n"
        "Best block size: none of them can take anything\n"
    )


def test_a_dax_device_is_trimmed_with_status_3(mhp: Mhp) -> None:
    """502 MiB become blocks 61-63."""
    done = mhp("align", "--range", "0x1e0a00000+502M", "--driver", "dax", "--block-size", "128M")

    assert done.status == 3
    assert done.out.splitlines()[:3] == [
        "dax, memory blocks of 128M:",
        "  0x00000001e0a00000-0x00000001ffffffff (502M): blocks 61-63 (384M), 118M stranded",
        "    118M in front of 0x1e8000000, 0B behind",
    ]


def test_an_aligned_range_ends_with_status_0(mhp: Mhp) -> None:
    """Nothing to complain about."""
    done = mhp("align", "--range", "0x100000000+1G", "--block-size", "0x8000000")

    assert done.status == 0
    assert "  0x0000000100000000-0x000000013fffffff (1G): aligned, blocks 32-39" in done.out.splitlines()
    assert "Best block size" not in done.out  # of one there is no best


def test_several_ranges_have_a_total(mhp: Mhp) -> None:
    """The status is that of the worst: one of them cannot be added at all."""
    done = mhp("align", "--range", "0x100000000+1G", "--range", "0x140200000+1000M", "--block-size", "128M")
    lines = done.out.splitlines()

    assert done.status == 4
    assert "in all 1G usable, 1000M stranded" in lines
    assert "    next legal size 1G, 24M more" in lines
    assert ["128M", "total", "-", "1G", "1000M", "-", "-", "-"] in [line.split() for line in lines]


def test_json_has_the_verdict_and_every_block_size(mhp: Mhp) -> None:
    """Bytes, never text."""
    done = mhp("align", "--range", "0x1e0a00000+502M", "--driver", "dax", "--json")
    document = json.loads(done.out)

    assert done.status == 3
    assert list(document) == [
        "schema", "ok", "arch", "kernel", "driver", "block_size", "usable_bytes", "stranded_bytes", "best_block_size",
        "ranges", "block_sizes", "assumptions",
    ]  # fmt: skip
    assert (document["ok"], document["block_size"], document["best_block_size"]) == (False, 128 * MIB, 128 * MIB)
    assert document["ranges"] == [
        {
            "name": None, "start": 0x1E0A00000, "size": 502 * MIB, "errno": None, "message": None,
            "usable": [{"start": 0x1E8000000, "size": 384 * MIB, "first_block": 61, "last_block": 63}],
            "usable_bytes": 384 * MIB, "stranded_bytes": 118 * MIB, "head_bytes": 118 * MIB, "tail_bytes": 0,
            "next_start": 0x1E8000000, "gap_bytes": 118 * MIB, "rounded_size": 512 * MIB,
        }
    ]  # fmt: skip
    assert [entry["block_size"] // MIB for entry in document["block_sizes"]] == [128, 256, 512, 1024, 2048]
    assert document["block_sizes"][0]["memmap_on_memory"] == {
        "block_pages": 32768,
        "needed_pages": 512,
        "reserved_pages": 512,
        "wasted_pages": 0,
        "refusal": None,
    }


def test_wasted_memmap_is_told_where_there_is_some(mhp: Mhp) -> None:
    """powerpc with 64 KiB pages: 32 of 4096 pages, of which 4 are needed."""
    done = mhp("align", "--arch", "powerpc", "--page-size", "64K", "--range", "0x200000000+1G", "--block-size", "256M")

    assert done.status == 0
    assert done.out.splitlines()[-2:] == [
        "With memory_hotplug.memmap_on_memory:",
        "  256M: force wastes 28 pages in each memory block (32 of 4096 pages kept, 0.78 %); "
        "Y does not host it: 4 pages of memmap are not a multiple of a pageblock of 32 pages",
    ]


def test_arm64_of_2019_has_one_block_size(mhp: Mhp) -> None:
    """A gap of 896 MiB."""
    done = mhp("align", "--range", "0xc8000000+0x40000000", "--arch", "arm64", "--kernel", "v2-2019")

    assert done.status == 4
    assert "    next legal start 0x100000000, a gap of 896M" in done.out.splitlines()


def test_iomem_ranges_are_devices_of_dax(mhp: Mhp, tmp_path: Path) -> None:
    """Their names are shown."""
    path = tmp_path / "iomem"
    path.write_text("1050000000-205fffffff : CXL Window 0\n2060200000-30ffffffff : Persistent Memory\n")
    done = mhp("align", "--iomem", path, "--block-size", "2G")

    assert done.status == 3
    assert done.out.splitlines()[:6] == [
        "dax, memory blocks of 2G:",
        "  0x0000001050000000-0x000000205fffffff CXL Window 0 (65792M): blocks 33-63 (62G), 2304M stranded",
        "    768M in front of 0x1080000000, 1536M behind",
        "  0x0000002060200000-0x00000030ffffffff Persistent Memory (68094M): blocks 65-97 (66G), 510M stranded",
        "    510M in front of 0x2080000000, 0B behind",
        "in all 128G usable, 2814M stranded",
    ]


def test_a_range_as_large_as_can_be_is_answered_at_once(mhp: Mhp) -> None:
    """2^37 blocks are a run, not a list."""
    done = mhp("align", "--range", "0x0+15E", "--driver", "dax", "--block-size", "128M")

    assert done.status == 0
    assert done.out.splitlines()[1].endswith(" (15E): aligned, blocks 0-128849018879")


def test_iomem_may_come_out_of_a_pipe(process: Mhp) -> None:
    """Only plain text then."""
    done = process("align", "--iomem", "/dev/stdin", "--block-size", "128M", stdin=b"100000000-13fffffff : dax0.0\n")

    assert (done.status, done.err) == (0, "")


def test_iomem_without_addresses_is_refused(mhp: Mhp, tmp_path: Path) -> None:
    """As a user who is not root sees it."""
    path = tmp_path / "iomem"
    path.write_text("00000000-00000000 : CXL Window 0\n")
    done = mhp("align", "--iomem", path)

    assert (done.status, done.out) == (2, "")
    assert done.err == f"mhp: {path}: got only zeros, expected addresses, as root sees them\n"


@pytest.mark.parametrize(
    ("args", "error"),
    [
        ([], "give a range with --range, or a file with --iomem; see 'mhp align --help'"),
        (["--range", "block 32"], "--range: got block 32, expected a range such as 0x100200000+1G"),
        (["--range", "61-63"], None),
        (
            ["--range", "0x100000000+5"],
            "--range: got 0x100000000+5, expected a range such as 0x100200000+1G; a bare number may be anything, "
            "write 5M or 5G",
        ),
        (
            ["--range", "0x100000000+0M"],
            "--range: got 0x100000000+0M, expected 0xSTART+SIZE with a size greater than 0",
        ),
        (
            ["--range", "0x100000000+1G", "--block-size", "128"],
            "--block-size: got 128, expected a size with a unit; did you mean 128M or 128G?",
        ),
        (
            ["--range", "0x100000000+1G", "--block-size", "64M"],
            "--block-size: got 64M, expected a power of two from 128M to 64G",
        ),
        (
            ["--range", "0x100000000+1G", "--block-size", "3M"],
            "--block-size: got 3M, expected a size such as 128M, 1GiB or 0x8000000, a power of two",
        ),
        (["--range", "0x100000000+1G", "--memory", "0M"], "--memory: got 0M, expected a size greater than 0"),
        (
            ["--range", "0x100000000+1G", "--arch", "x86-65"],
            f"--arch: got x86-65, expected one of {', '.join(names('arch'))}; did you mean 'x86_64'?",
        ),
        (
            ["--range", "0x100000000+1G", "--page-size", "16K"],
            "--page-size: got 16K, expected 4K, the only page size of x86_64",
        ),
    ],
)
def test_wrong_usage_names_the_option(mhp: Mhp, args: list[str], error: str | None) -> None:
    """One line, status 2."""
    done = mhp("align", *args)

    assert (done.status, done.out, done.err.count("\n")) == (2, "", 1)
    assert error is None or done.err == f"mhp: {error}\n"


def test_errors_are_objects_with_json(mhp: Mhp) -> None:
    """As everywhere."""
    done = mhp("align", "--range", "foo+1", "--json")

    assert done.status == 2
    assert json.loads(done.out)["error"]["path"] == "--range"


def test_blocks_that_only_an_older_kernel_has_are_answered_under_that(mhp: Mhp) -> None:
    """arm64 had sections, and so blocks, of 1 GiB before 5.12; a report from then asks with that size."""
    done = mhp("align", "--range", "0xc8000000+1G", "--arch", "arm64", "--block-size", "1G")

    assert done.status == 4
    assert done.out.splitlines()[:3] == [
        "acpi, memory blocks of 1G (as under v2-2019, not under linux-6.12):",
        "  0x00000000c8000000-0x0000000107ffffff (1G): EINVAL: Block size [0x40000000] unaligned hotplug range: "
        "start 0xc8000000, size 0x40000000",
        "    next legal start 0x100000000, a gap of 896M",
    ]


def test_a_single_block_is_one_block(mhp: Mhp) -> None:
    """Not blocks 33."""
    done = mhp("align", "--range", "0x100600000+250M", "--driver", "dax")

    assert "  0x0000000100600000-0x000000010fffffff (250M): block 33 (128M), 122M stranded" in done.out.splitlines()
