"""``mhp align`` where the machine's own block size hangs on CXL windows or on a hole below 4 GiB."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Mhp = Callable[..., Any]

MIB = 1 << 20
WINDOW = "1050000000-115fffffff : CXL Window 0\n"  # aligned to 256 MiB, 4.25 GiB


@pytest.mark.parametrize(
    ("arguments", "block", "stranded"),
    [
        (("--kernel", "6.14"), 2048, 2304),
        (("--kernel", "6.15"), 256, 0),
        (("--kernel", "7.2"), 256, 0),
        (("--kernel", "7.2", "--memory", "8G"), 128, 0),  # below 64 GiB nobody asks
        (("--kernel", "7.2", "--memory", "65664M"), 128, 0),  # the end of memory counts too
        (("--kernel", "6.14", "--hole", "1G"), 1024, 1280),
        (("--kernel", "7.2", "--hole", "1G"), 256, 0),
    ],
)
def test_cxl_windows_advise_the_block_size(
    arguments: tuple[str, ...], block: int, stranded: int, tmp_path: Path, mhp: Mhp
) -> None:
    """x86_64 probes what firmware's tables advise since 6.15: nothing of a window is stranded then."""
    path = tmp_path / "iomem"
    path.write_text(WINDOW, encoding="utf-8")
    memory = () if "--memory" in arguments else ("--memory", "64G")
    for source in (("--iomem", str(path)), ("--window", "0x1050000000-0x115fffffff")):
        document = json.loads(mhp("align", *source, *memory, *arguments, "--json").out)
        assert (document["driver"], document["block_size"] // MIB) == ("dax", block)
        assert document["stranded_bytes"] // MIB == stranded


def test_a_range_that_may_be_a_window_is_not_taken_for_one(mhp: Mhp) -> None:
    """The answer is the careful one, and says what the other would be; as it says what a hole would change."""
    document = json.loads(
        mhp(
            "align", "--range", "0x1050000000+4G", "--driver", "dax", "--memory", "64G", "--kernel", "7.2", "--json"
        ).out
    )
    assert (document["block_size"], document["stranded_bytes"]) == (2048 * MIB, 2048 * MIB)
    assert document["assumptions"] == [
        "boot memory of 64G has no hole below 4G and ends at 64G; memory blocks would be 1G with one of 1G (--hole)",
        "the ranges are no windows of which firmware tells the kernel; as such (--window) they would have memory "
        "blocks of 256M",
    ]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--memory", "64G", "--hole", "1G"), "boot memory of 64G has a hole of 1G below 4G and ends at 65G; memory "
                                              "blocks would be 2G with none and 2G with one of 2G (--hole)"),
        (("--memory", "63G"), "boot memory of 63G has no hole below 4G and ends at 63G; memory blocks would be 2G with "
                              "one of 1G and 1G with one of 2G (--hole)"),
    ],
)  # fmt: skip
def test_where_memory_ends_is_an_assumption(arguments: tuple[str, ...], text: str, mhp: Mhp) -> None:
    """A guest of 64G ends at 65G on QEMU's pc and at 66G on its q35: other block sizes."""
    done = mhp("align", "--range", "0x2000000000+4G", *arguments, "--json")
    assert json.loads(done.out)["assumptions"] == [text]
    words = " ".join(mhp("align", "--range", "0x2000000000+4G", *arguments).out.split())
    assert words.endswith(f"Assumed - {text}")


def test_small_machines_need_no_assumption(mhp: Mhp) -> None:
    """Blocks are 128M there, wherever memory ends; and so are those that were asked for."""
    for arguments in (("--memory", "8G"), ("--memory", "64G", "--block-size", "1G"), ("--arch", "s390")):
        assert json.loads(mhp("align", "--range", "0x2000000000+4G", *arguments, "--json").out)["assumptions"] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--hole", "1G", "--arch", "arm64"),
         "mhp: --hole: got 1G, expected no hole, since machines of this architecture have none"),
        (("--hole", "4G"), "mhp: --hole: got 4G, expected a multiple of 128M, at most 3968M"),
        (("--hole", "1M"), "mhp: --hole: got 1M, expected a multiple of 128M, at most 3968M"),
        (("--window", "0x0-0x1000"), "mhp: --window: got 0x0-0x1000, expected 0xFIRST-0xLAST, the last byte "
                                         "inclusive, as lsmem prints it; did you mean '0x0-0xfff'?"),
    ],
)  # fmt: skip
def test_impossible_holes_and_windows_name_the_limit(arguments: tuple[str, ...], message: str, mhp: Mhp) -> None:
    """One line, exit status 2."""
    done = mhp("align", "--range", "0x2000000000+4G", *arguments)
    assert (done.status, done.out, done.err.strip()) == (2, "", message)


CXL = (
    '[{"bus":"root3","decoders:root3":[{"decoder":"decoder0.0","resource":70061654016,"size":4563402752,'
    '"regions:decoder0.0":[{"region":"region0","resource":70061654016,"size":4563402752}]}]}]'
)


def test_what_cxl_list_prints_is_an_iomem_too(tmp_path: Path, mhp: Mhp) -> None:
    """Its root decoders advise, its regions become memory."""
    path = tmp_path / "cxl.json"
    path.write_text(CXL, encoding="utf-8")
    document = json.loads(mhp("align", "--iomem", str(path), "--memory", "64G", "--kernel", "6.15", "--json").out)
    assert (document["block_size"], document["stranded_bytes"]) == (256 * MIB, 0)
    assert [(one["name"], one["size"]) for one in document["ranges"]] == [("region0", 4352 * MIB)]


def test_a_device_without_a_target_node_becomes_no_memory(tmp_path: Path, mhp: Mhp) -> None:
    """The kernel refuses it; and a list without addresses says which list has them."""
    path = tmp_path / "dax.json"
    device = {
        "chardev": "dax0.0",
        "size": 1 << 30,
        "target_node": -1,
        "mappings": [{"page_offset": 0, "start": 4 << 30, "end": (5 << 30) - 1, "size": 1 << 30}],
    }
    path.write_text(json.dumps([device]), encoding="utf-8")
    done = mhp("align", "--iomem", str(path), "--json")
    fit = json.loads(done.out)["ranges"][0]
    assert (done.status, fit["errno"], fit["message"]) == (4, "EINVAL", "rejecting DAX region with invalid node: -1")
    path.write_text('[{"chardev":"dax0.0","size":1073741824}]', encoding="utf-8")
    done = mhp("align", "--iomem", str(path))
    assert (done.status, done.err) == (
        2,
        f"mhp: {path}: got dax0.0 without one, expected addresses, as daxctl list -M, cxl list -R and /proc/iomem "
        "have them\n",
    )


@pytest.mark.parametrize(
    ("given", "starts"),
    [
        (("--range", "0x1050000000+1G", "--range", "0x1050000000-0x108fffffff"), [0x1050000000]),
        (("--window", "0x1050000000+1G", "--range", "0x1050000000+1G"), [0x1050000000]),
        (("--window", "0x1050000000+4G", "--range", "0x1060000000+1G"), [0x1060000000]),
        (("--window", "0x1050000000+1G", "--window", "0x1050000000+1G"), [0x1050000000]),
        (("--window", "0x1050000000+1G", "--range", "0x2000000000+1G"), [0x2000000000, 0x1050000000]),
    ],
)
def test_a_byte_counts_once(given: tuple[str, ...], starts: list[int], mhp: Mhp) -> None:
    """A range that is given twice is one, and of a window only what is asked for."""
    document = json.loads(mhp("align", *given, "--memory", "64G", "--kernel", "6.15", "--json").out)
    assert [one["start"] for one in document["ranges"]] == starts
    assert document["usable_bytes"] + document["stranded_bytes"] == len(starts) << 30
