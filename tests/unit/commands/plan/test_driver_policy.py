"""A policy plugin decides for the driver: in the trial, in every search, and chunk by chunk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from memhotplug import Machine
from memhotplug.cli import main
from memhotplug.commands.plan import sources

BY_SIZE = """
from memhotplug.plugin import hookimpl


@hookimpl
def policy_mhp_flags(kernel, request, phys_range, driver_flags):
    return kernel.flag("on_memory") if phys_range.size >= {least} else 0
"""
ON = "memory_hotplug.memmap_on_memory=1"


@pytest.fixture
def by_size(tmp_path: Path) -> str:
    """Return a policy that self-hosts ranges of 1 GiB and more."""
    path = tmp_path / "by_size.py"
    path.write_text(BY_SIZE.format(least=1 << 30), encoding="utf-8")
    return str(path)


def plan(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    """Return the JSON answer on a guest of 8 GiB whose switch is on."""
    main(["plan", "--boot", "8G", "--kernel", "6.12", "--cmdline", ON, *words, "--json"])
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


def test_the_policy_decides_and_is_named(by_size: str, capsys: pytest.CaptureFixture[str]) -> None:
    """By size: what the driver itself would host is not hosted below 1 GiB."""
    common = ("--driver", "acpi", "--plugin", by_size, "--policy", "by-size")
    large, small = plan(capsys, "--add", "2G", *common), plan(capsys, "--add", "512M", *common)
    assert [one["memmap"]["source"] for one in (large, small)] == ["self-hosted", "page allocator"]
    assert large["question"]["policy"] == "by_size"
    entries = {one["name"]: one for one in small["policies"] if one["kind"] == "policy"}
    assert {name: one["current"] for name, one in entries.items()} == {"by_size": True, "default": False}
    assert entries["by_size"]["memmap"]["self_hosted_pages"] == 0
    assert entries["default"]["memmap"]["self_hosted_pages"] == 512 * 4

    main(["plan", "--boot", "8G", "--kernel", "6.12", "--add", "512M", *common])
    text = capsys.readouterr().out
    assert text.startswith("512M by acpi under policy by_size on a fresh 8G guest (lean), x86_64,\n")
    assert {"policy by_size*", "policy default"} <= {" ".join(line.split()[:2]) for line in text.splitlines()}


def test_default_is_the_drivers_own(by_size: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The same answer, byte by byte."""
    plain = plan(capsys, "--add", "1G", "--driver", "acpi")
    assert plan(capsys, "--add", "1G", "--driver", "acpi", "--plugin", by_size, "--policy", "default") == plain
    assert plain["question"]["policy"] is None


@pytest.mark.parametrize(("least", "hosted"), [(256 << 20, 0), (128 << 20, 512 * 96)])
def test_a_driver_of_many_chunks_is_asked_for_chunks(
    least: int, hosted: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Chunks are played in runs, and yet the policy sees what the kernel would be given."""
    path = tmp_path / "chunked.py"
    path.write_text(BY_SIZE.format(least=least), encoding="utf-8")
    asked = ("--driver", "hv_balloon", "--plugin", str(path), "--policy", "chunked")
    found = plan(capsys, "--add", "12G", *asked)

    machine = Machine.boot(
        arch="x86_64",
        kernel="linux-6.12",
        memory="8G",
        cmdline=ON,
        plugins=[str(path)],
        drivers={"hv_balloon": {"policy": "chunked"}},
    )
    machine.write("memory/auto_online_blocks", "online")
    machine.add_memory(driver="hv_balloon", size="12G")
    totals: dict[str, int] = machine.to_dict()["memmap"]  # type: ignore[assignment]  # plain JSON
    assert totals["self_hosted_pages"] == hosted
    assert found["memmap"]["self_hosted_bytes"] == hosted << 12


def test_single_blocks_are_hosted_however_many_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    """Up to 6.7 only a range of one block hosts its memmap: a driver that adds block by block has all of it hosted."""
    main([
        "plan", "--boot", "8G", "--arch", "powerpc", "--kernel", "6.6", "--page-size", "4K", "--driver", "pseries",
        "--memory-block-size", "256M", "--add", "24G", "--cmdline", ON, "--json",
    ])  # fmt: skip
    memmap = json.loads(capsys.readouterr().out)["memmap"]
    assert (memmap["source"], memmap["self_hosted_bytes"]) == ("self-hosted", 24 << 24)


def test_a_driver_that_does_not_exist_there_ends_the_search(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No boot memory and no policy makes a difference: only other drivers are tried."""
    booted: list[int] = []
    boot = sources.from_boot

    def counted(*arguments: Any, **keywords: Any) -> Any:
        subject = boot(*arguments, **keywords)

        def resized(size: int) -> Any:
            booted.append(size)
            return subject.resized and subject.resized(size)

        return subject._replace(resized=resized)

    monkeypatch.setattr(sources, "from_boot", counted)
    document = plan(capsys, "--add", "1G", "--driver", "sclp")

    assert document["reason"]["text"] == "ENODEV: there is no sclp on x86_64: only s390 has this service processor"
    assert [one["name"] for one in document["policies"]] == ["memmap_on_memory=Y", "auto"]
    assert (document["fits_from_boot_bytes"], booted) == (None, [])
    assert {one["kind"] for one in document["remedies"]} == {"driver"}


@pytest.mark.parametrize("word", ["by_siz", ""])
def test_a_policy_that_is_not_there(word: str, by_size: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One line, exit status 2."""
    assert main(["plan", "--boot", "1G", "--add", "1G", "--plugin", by_size, "--policy", word]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"mhp: --policy: got {word}, expected one of by_size")


def test_a_step_of_a_profile_that_raises_is_blamed_on_the_profile(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is called without a hook in between, and yet it is no bug of the command."""
    path = tmp_path / "broken.py"
    path.write_text(
        "from memhotplug.plugin import hookimpl, profile_of\n\n\n"
        "class Broken(profile_of('linux-6.12')):\n    def online(self, *a, **k):\n        return 1 / 0\n\n\n"
        "@hookimpl\ndef kernel_profile():\n    return Broken()\n",
        encoding="utf-8",
    )
    assert main(["plan", "--boot", "1G", "--kernel", "broken", "--plugin", str(path), "--add", "256M"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (f"mhp: plugin broken ({path}): raised ZeroDivisionError: division by zero, at {path}:6\n")
