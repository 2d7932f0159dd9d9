"""Which driver passes the flag, kernel by kernel, and what becomes of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from tests.kernels import MAINLINE, since

from memhotplug import manager
from memhotplug.commands.explain.answer import explain
from memhotplug.commands.explain.question import Question
from memhotplug.errors import PluginError
from memhotplug.manager import names


def policy(driver: str, **question: Any) -> list[dict[str, Any]]:
    """Return the rows of a driver."""
    document: Mapping[str, Any] = explain(Question(driver=driver, **question))
    assert document["platforms"] == []
    return list(document["drivers"])


def answers(row: dict[str, Any]) -> dict[str, tuple[bool, bool]]:
    """Return what each setting gives: for one block, for several."""
    return {setting["setting"]: (setting["one_block"], setting["several_blocks"]) for setting in row["settings"]}


def test_acpi_passes_the_flag_in_every_kernel() -> None:
    """Up to 6.7 only a DIMM of exactly one memory block hosts its memmap."""
    rows = {row["kernel"]: row for row in policy("acpi", arch="x86_64")}
    only_one = {"N": (False, False), "Y": (True, False)}
    all_sizes = {"N": (False, False), "Y": (True, True)}

    assert answers(rows["v2-2019"]) == {"default": (True, True)}
    assert rows["v2-2019"]["flags"] == ["MHP_MEMMAP_DEVICE"]
    for kernel in MAINLINE:
        found = answers(rows[kernel])
        assert found == {**(all_sizes if kernel in since("linux-6.8") else only_one), **_force(kernel, found)}
    assert all("MHP_MEMMAP_ON_MEMORY" in rows[kernel]["flags"] for kernel in MAINLINE)
    assert rows["linux-6.1"]["settings"][1]["rule"] == "the range is not exactly one memory block of 128M"


def _force(kernel: str, found: dict[str, tuple[bool, bool]]) -> dict[str, tuple[bool, bool]]:
    """Return what ``force`` has to give: since 6.6 the same as Y."""
    return {"force": found["Y"]} if kernel in since("linux-6.6") else {}


def test_acpi_exists_where_acpi_does() -> None:
    """On x86_64 and arm64, and not on the two that have firmware of another kind."""
    arches = {row["arch"] for row in policy("acpi")}
    assert arches >= {"arm64", "x86_64"}
    assert not arches & {"powerpc", "s390"}


def test_pseries_passes_it_since_6_6() -> None:
    """LMB by LMB, so that its size does not matter."""
    rows = {row["kernel"]: row for row in policy("pseries", page_size=4096)}

    assert {row["arch"] for row in rows.values()} == {"powerpc"}
    for kernel in MAINLINE:
        passes = kernel in since("linux-6.6")
        assert rows[kernel]["flags"] == (["MHP_MEMMAP_ON_MEMORY"] if passes else [])
        assert answers(rows[kernel])["Y"] == (passes, passes)


def test_pseries_with_64k_pages_needs_force() -> None:
    """16 pages of memmap a block of 1 GiB are half a pageblock."""
    (row,) = policy("pseries", page_size=64 << 10, kernel="linux-6.12")

    assert answers(row) == {"N": (False, False), "Y": (False, False), "force": (True, True)}
    assert row["settings"][1]["rule"] == "16 pages of memmap are not a multiple of a pageblock of 32 pages"
    assert row["settings"][2] == {
        "setting": "force",
        "one_block": True,
        "several_blocks": True,
        "rule": None,
        "source": None,
    }


def test_dax_asks_the_device_since_6_8() -> None:
    """Its attribute memmap_on_memory decides; before 6.8 there is none, and the flag is never passed."""
    rows = policy("dax", arch="x86_64")
    with_attribute = [(row["kernel"], row["options"]) for row in rows if row["options"]]

    assert with_attribute == [
        (kernel, {"memmap_on_memory": value}) for kernel in since("linux-6.8") for value in (False, True)
    ]
    for row in rows:
        passes = row["options"] == {"memmap_on_memory": True}
        assert ("MHP_MEMMAP_ON_MEMORY" in row["flags"]) == passes
        assert any(one for one, _ in answers(row).values()) == passes


def test_the_dax_attribute_cannot_be_set_where_nothing_supports_it() -> None:
    """The write itself is refused."""
    rows = policy("dax", arch="arm64", page_size=64 << 10, kernel="linux-6.12")
    (setting,) = [one for one in rows[1]["settings"] if one["setting"] == "force"]

    assert setting["rule"] == "EOPNOTSUPP: memmap_on_memory: the memmap would take the whole block"
    assert setting["source"].startswith("drivers/dax/kmem.c:dev_dax_kmem_probe() (v")


def test_sclp_passes_it_since_6_8() -> None:
    """With MHP_OFFLINE_INACCESSIBLE until that was removed again."""
    rows = {row["kernel"]: row for row in policy("sclp")}

    assert {row["arch"] for row in rows.values()} == {"s390"}
    for kernel in MAINLINE:
        passes, inaccessible = kernel in since("linux-6.8"), kernel not in since("linux-6.19")
        flags = ["MHP_MEMMAP_ON_MEMORY", *(["MHP_OFFLINE_INACCESSIBLE"] if inaccessible else [])]
        assert rows[kernel]["flags"] == (flags if passes else [])
        assert answers(rows[kernel])["Y"][0] == passes


@pytest.mark.parametrize("driver", ["hv_balloon", "xen", "probe", "virtio_mem"])
def test_balloons_and_probe_never_pass_it(driver: str) -> None:
    """Not all memory of a block is there when it is added; nobody ever asked for probe."""
    if driver not in names("drivers"):
        pytest.skip(f"{driver} is not installed")
    for row in policy(driver):
        assert "MHP_MEMMAP_ON_MEMORY" not in row["flags"]
        for setting in row["settings"]:
            assert (setting["one_block"], setting["several_blocks"]) == (False, False)
            if row["kernel"] in MAINLINE and row["memory_block_size"] == 128 << 20:
                assert setting["rule"] == "the driver does not pass the flag"
                assert setting["source"] is not None


def test_whoever_names_driver_and_architecture_is_told_why_not() -> None:
    """Otherwise a driver is not listed where it does not exist."""
    (row, *_) = policy("sclp", arch="x86_64", kernel="linux-6.12")

    assert {setting["rule"] for setting in row["settings"]} == {
        "ENODEV: there is no sclp on x86_64: only s390 has this service processor"
    }
    assert row["flags"] == []
    (row,) = policy("acpi", arch="s390", kernel="linux-6.12")
    assert {(setting["rule"], setting["source"]) for setting in row["settings"]} == {
        (
            "ENODEV: there is no acpi on s390: its firmware does not describe memory by ACPI",
            "drivers/acpi/Kconfig:ACPI_HOTPLUG_MEMORY (v5.2 to v6.12)",
        )
    }
    assert {row["arch"] for row in policy("probe", kernel="linux-6.12")} == {"powerpc", "x86_64"}


def test_a_broken_driver_that_nobody_asked_for_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others still answer, and it is said why this one does not."""

    class Broken:
        name = "acpi"

        def load(self) -> object:
            raise PluginError("acpi", "cannot be loaded: ImportError: no")

    def choose(kind: str, name: str) -> Any:
        return Broken() if name == "acpi" else manager.choose(kind, name)

    monkeypatch.setattr("memhotplug.commands.explain.answer.choose", choose)
    document: Mapping[str, Any] = explain(Question(arch="x86_64", block_size=128 << 20))

    assert document["left_out"] == ["plugin acpi: cannot be loaded: ImportError: no"]
    assert "acpi" not in {row["driver"] for row in document["drivers"]}
    assert "dax" in {row["driver"] for row in document["drivers"]}
