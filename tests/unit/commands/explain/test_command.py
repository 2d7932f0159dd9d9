"""``mhp explain``: the tables, the JSON, the exit statuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from memhotplug.cli import main

GOLDEN = Path(__file__).parents[3] / "golden"


@pytest.mark.parametrize(
    ("golden", "arguments"),
    [
        ("explain-arm64.txt", ["--arch", "arm64", "--kernel", "linux-6.12", "--driver", "dax"]),
        ("explain-pseries.txt", ["--driver", "pseries", "--kernel", "linux-6.12"]),
        (
            "explain-v2-2019.txt",
            ["--kernel", "v2-2019", "--arch", "x86_64", "--block-size", "1G", "--driver", "hv_balloon"],
        ),
    ],
)
def test_text(golden: str, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Plain tables, numbered sources, and a footer that says what the words mean."""
    assert main(["explain", *arguments]) == 0
    assert capsys.readouterr().out == (GOLDEN / golden).read_text()


def test_text_of_platforms(capsys: pytest.CaptureFixture[str]) -> None:
    """The table in front of the drivers, which grows with every driver."""
    assert main(["explain", "--arch", "powerpc", "--kernel", "linux-6.12"]) == 0
    platforms = capsys.readouterr().out.partition("\nWhich driver's memory")[0]
    assert platforms == (GOLDEN / "explain-platforms.txt").read_text()


def test_json_keys(capsys: pytest.CaptureFixture[str]) -> None:
    """Every key is always there."""
    assert main(["explain", "--arch", "powerpc", "--page-size", "64K", "--block-size", "1G", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)

    assert list(document) == ["schema", "kernels", "platforms", "drivers", "left_out"]
    assert [list(row) for row in document["platforms"]] == 2 * [[
        "arch", "kernel", "page_size", "mmu", "memory_block_size", "is_default", "pages_per_block", "memmap_bytes",
        "memmap_pages", "modes",
    ]]  # fmt: skip
    assert list(document["platforms"][0]["modes"][0]) == [
        "mode", "supported", "reserved_pages", "wasted_pages", "rule", "source",
    ]  # fmt: skip
    assert list(document["drivers"][0]) == [
        "driver", "policy", "arch", "kernel", "page_size", "mmu", "memory_block_size", "options", "flags", "settings",
    ]  # fmt: skip
    assert list(document["drivers"][0]["settings"][0]) == [
        "setting",
        "one_block",
        "several_blocks",
        "rule",
        "source",
    ]


def test_the_same_question_has_the_same_answer(capsys: pytest.CaptureFixture[str]) -> None:
    """Byte by byte."""
    main(["explain", "--arch", "s390"])
    first = capsys.readouterr().out
    main(["explain", "--arch", "s390"])

    assert capsys.readouterr().out == first


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--block-size", "3M"], "mhp: invalid value for '--block-size': got '3M', expected a power of two"),
        (["--page-size", "4096"], "mhp: invalid value for '--page-size': got '4096', expected a size with a unit"),
        (["--arch", "x86_64", "--page-size", "64K"], "mhp: got 64K, expected 4K, the only page size of x86_64"),
        (["--mmu", "soft"], "mhp: got soft, expected one of radix, hash"),
    ],
)
def test_bad_input(arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit status 2, nothing on stdout, one line on stderr."""
    assert main(["explain", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(text)


def test_a_driver_that_is_nowhere(capsys: pytest.CaptureFixture[str]) -> None:
    """The answer is that there is none, which is an answer; with the architecture, it is told why."""
    assert main(["explain", "--driver", "virtio_mem", "--kernel", "v2-2019"]) == 0
    assert capsys.readouterr().out.startswith("No such driver exists on such a machine.\n")
    assert main(["explain", "--driver", "acpi", "--arch", "s390", "--kernel", "linux-6.12"]) == 0
    assert "there is no acpi on s390: its firmware does not describe memory by ACPI" in capsys.readouterr().out


def test_a_terminal_gets_reasons_folded_into_its_width(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same words, none of them beyond the edge; the footer and the sources are prose of their own."""
    arguments = ["explain", "--arch", "powerpc", "--kernel", "linux-6.12", "--page-size", "64K"]
    main(arguments)
    whole = capsys.readouterr().out
    monkeypatch.setattr("memhotplug.cli.explain.width_of", lambda stream: 138)

    main(arguments)
    folded = capsys.readouterr().out

    assert max(map(len, folded.splitlines())) <= 138 < max(map(len, whole.splitlines()))
    assert folded.split() == whole.split()


@pytest.mark.parametrize(
    ("arguments", "widest"), [([], 141), (["--driver", "acpi"], 128), (["--page-size", "64K"], 139)]
)
def test_reasons_are_folded_in_a_pipe_too(
    arguments: list[str], widest: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the columns that are left of 132, or in 40; what else a row says stays on one line."""
    assert main(["explain", *arguments]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) == widest
