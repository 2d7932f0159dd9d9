"""Machines and sizes as other tools print them: lsmem, daxctl, cxl, and plain bytes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest

Plan: TypeAlias = Callable[..., tuple[int, str, str]]

LSMEM = """\
RANGE                                  SIZE  STATE REMOVABLE BLOCK NODE  ZONES
0x0000000000000000-0x0000000007ffffff  128M online       yes     0    0   None
0x0000000008000000-0x00000000bfffffff  2.9G online       yes  1-23    0  DMA32
0x0000000100000000-0x000000013fffffff    1G online       yes 32-39    0 Normal

Memory block size:       128M
"""


@pytest.fixture
def lsmem(tmp_path: Path) -> str:
    """What lsmem printed, and nothing else of the machine."""
    path = tmp_path / "lsmem.txt"
    path.write_text(LSMEM, encoding="utf-8")
    return str(path)


def _json(plan: Plan, *arguments: str) -> tuple[int, dict[str, Any]]:
    status, out, _ = plan(*arguments, "--json")
    return status, json.loads(out)


def test_what_fits_is_at_a_risk_where_nobody_knows_what_is_free(lsmem: str, plan: Plan) -> None:
    """The rule says so, with what is needed and what there is at most."""
    status, document = _json(plan, "--from", lsmem, "--arch", "x86_64", "--add", "4G")
    assert (status, document["verdict"], document["reason"]["rule"]) == (3, "risky", "inferred")
    assert document["reason"]["text"] == (
        "nothing recorded tells how much memory is free; 64.2M of it are needed, and after boot there are 3914M at most"
    )
    assert document["machine"]["memory_block_size"] == 128 << 20
    assert (
        "inferred: free memory and watermarks as after boot at most: neither proc/zoneinfo nor proc/buddyinfo"
        in (document["assumptions"])
    )


def test_what_does_not_fit_into_a_fresh_machine_fits_into_none(lsmem: str, plan: Plan) -> None:
    """That is sure."""
    status, document = _json(plan, "--from", lsmem, "--arch", "x86_64", "--add", "300G")
    assert (status, document["reason"]["rule"]) == (4, "memmap")


def test_the_architecture_has_to_be_told(lsmem: str, plan: Plan) -> None:
    """No line of it is another one's."""
    status, _, err = plan("--from", lsmem, "--add", "4G")
    assert (status, err) == (2, f"mhp: {lsmem}: expected --arch, since nothing recorded tells the architecture\n")


@pytest.mark.parametrize("size", ["4225761280", "134217728", "0x8000000"])
def test_bytes_are_sizes_from_a_mebibyte_on(size: str, plan: Plan) -> None:
    """As daxctl and lsmem -b print them; smaller numbers may be meant otherwise, and are refused."""
    _, document = _json(plan, "--boot", "4G", "--add", size)
    assert document["question"]["sizes"] == [int(size, 0)]


def test_steps_from_a_list_of_devices(tmp_path: Path, plan: Plan) -> None:
    """daxctl list: one add for each device."""
    path = tmp_path / "dax.json"
    path.write_text('[{"chardev":"dax0.0","size":4294967296},{"chardev":"dax1.0","size":1073741824}]', encoding="utf-8")
    status, document = _json(plan, "--boot", "4G", "--driver", "dax", "--steps", str(path))
    assert (status, document["question"]["sizes"]) == (0, [4 << 30, 1 << 30])
