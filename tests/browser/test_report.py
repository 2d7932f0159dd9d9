"""A report in a browser: real clicks and keys, at two widths, light and dark."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from tests.browser.webdriver import Browser, browser, missing

from memhotplug.cli import main
from tools import picture

pytestmark = pytest.mark.skipif(missing() is not None, reason=missing() or "")

SCENARIO = """\
schema: 1
machine: {arch: x86_64, kernel: v2-2019, memory: 4G}
steps:
  - add: {driver: acpi, name: dimm0, size: 1G, mhp_flags: device}
  - online: {range: dimm0, zone: movable}
  - remove: {range: dimm0, fails: EBUSY}
  - offline: {range: block 39}
"""
LEFT, RIGHT, DOWN, TAB = "\ue012", "\ue014", "\ue015", "\ue004"


@pytest.fixture(scope="module")
def window() -> Iterator[Browser]:
    """Yield a browser."""
    with browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a report."""
    folder = tmp_path_factory.mktemp("report")
    (folder / "s.yaml").write_text(SCENARIO, encoding="utf-8")
    words = ["report", str(folder / "s.yaml"), "--vary", "steps.0.add.size=1G,2G", "-o", str(folder / "r.html")]
    assert main(words) == 0
    return folder / "r.html"


def place(window: Browser) -> tuple[str, str]:
    """Return where the slider stands and the first word of what the page says of it."""
    value = str(window.run("return document.getElementById('step').value"))
    return value, window.text("#now-is").split()[0]


def test_buttons_and_keys_go_from_step_to_step(window: Browser, report: Path) -> None:
    """To the ends and no further; the reason of a refusal is there with its step, and gone with it."""
    window.open(report, width=1280)
    assert place(window) == ("4", "offline")
    window.click("#back")
    assert place(window) == ("3", "remove")
    assert window.text("#reason").startswith("The kernel refused: EBUSY: ")
    window.press(LEFT)
    assert place(window) == ("2", "online")
    assert window.text("#reason") == ""
    for _ in range(4):
        window.press(LEFT)
    assert place(window) == ("0", "boot")
    window.click("#forth")
    window.press(RIGHT)
    assert place(window) == ("2", "online")
    assert window.complaints() == []


def test_the_slider_itself_takes_keys(window: Browser, report: Path) -> None:
    """Once for each key, and its words are there for a screen reader."""
    window.open(report, width=1280)
    window.run("document.getElementById('step').focus()")
    window.press(LEFT)
    assert place(window) == ("3", "remove")
    assert str(window.run("return document.getElementById('step').getAttribute('aria-valuetext')"))[:6] == "remove"


def test_the_bars_follow(window: Browser, report: Path) -> None:
    """After the boot there is no hot-added memory, after onlining it is Movable."""
    window.open(report, width=1280)
    kinds = "return [...document.querySelectorAll('rect[data-bar]')].map((r) => r.classList[0])"
    assert window.run(kinds)[-1] == "offline"
    window.click("tr[data-frame='2'] button")
    assert place(window) == ("2", "online")
    assert window.run(kinds)[-1] == "movable"
    window.click("tr[data-frame='0'] button")
    assert "movable" not in window.run(kinds)


def test_detail_by_pointer_and_by_keyboard(window: Browser, report: Path) -> None:
    """The bar that is pointed at, or has the focus, is told in words."""
    window.open(report, width=1280)
    window.hover("rect.movable[data-bar]")
    assert window.text("#detail").startswith("0x100000000-0x107ffffff, 128M, Movable, block 32, dimm0, memmap 16M")
    window.run("document.querySelector('rect[data-bar]').focus()")
    assert "block 0" in window.text("#detail")
    window.press(DOWN)
    assert window.run("return document.activeElement.getAttribute('aria-label')") == window.text("#detail")
    assert "boot memory" in window.text("#detail")


def rows(window: Browser) -> list[list[str]]:
    """Return the table about the pages of the chosen bar."""
    cells = "[...document.querySelectorAll('#pages tr')].map((row) => [...row.cells].map((cell) => cell.textContent))"
    found: list[list[str]] = window.run(f"return {cells}")
    return found


def test_who_holds_the_pages_of_a_bar(window: Browser, report: Path) -> None:
    """At first of the newest memory; of the bar that is pointed at from then on, also after other steps."""
    window.open(report, width=1280)
    assert window.text("#detail").startswith("0x138000000-0x13fffffff, 128M, offline, block 39, dimm0")
    assert rows(window) == [
        ["who holds them", "pages", "size", "share", "pfn", "flags"],
        ["nobody: offline", "32768", "128M", "", "0x138000-0x13ffff", "NOPAGE"],
    ]
    window.hover("rect.movable[data-bar]")
    assert rows(window)[1:] == [
        ["free in Movable", "28672", "112M", "", "0x101000-0x107fff", "BUDDY"],
        ["memmap, self-hosted", "4096", "16M", "", "0x100000-0x100fff", "RESERVED|VMEMMAP"],
    ]
    window.click("#back")
    window.click("#back")
    window.click("#back")
    assert place(window) == ("1", "add")
    assert window.text("#detail").startswith("0x100000000-0x107ffffff, 128M, offline, block 32, dimm0, memmap 16M")
    assert [row[0] for row in rows(window)[1:]] == ["nobody: offline", "memmap, self-hosted"]


def test_the_focus_stays_on_the_bar_from_step_to_step(window: Browser, report: Path) -> None:
    """Whoever looks with the keyboard alone watches a piece of memory over time."""
    window.open(report, width=1280)
    window.hover("#now-is")
    window.run("document.querySelector('rect.movable[data-bar]').focus()")
    for _ in range(3):
        window.press(LEFT)
    assert place(window) == ("1", "add")
    assert "block 32, dimm0" in str(window.run("return document.activeElement.getAttribute('aria-label')"))
    assert window.text("#detail") == window.run("return document.activeElement.getAttribute('aria-label')")


def test_variants_are_drawn_and_told(window: Browser, report: Path) -> None:
    """A map for each, to one scale; the line below says what is pointed at."""
    window.open(report, width=1280)
    assert window.run("return [...document.querySelectorAll('h3')].map((e) => e.textContent)")[-2:] == [
        "1G ok",
        "2G ok",
    ]
    window.hover("[data-map] rect.movable")
    assert ", Movable, block 32, dimm0, memmap 16M" in window.text("[data-detail]")
    ends = "return [...document.querySelectorAll('[data-map] svg')].map((e) => Math.max(...[...e.children]"
    one, other = window.run(f"{ends}.map((r) => r.getBoundingClientRect().right)))")
    assert one < other - 50


def test_printed_it_has_its_tables_and_no_controls(window: Browser, report: Path) -> None:
    """What is folded away on the screen is there on paper."""
    window.open(report, width=1280)
    window.media("print")
    window.run("dispatchEvent(new Event('beforeprint'))")
    assert window.run("return getComputedStyle(document.querySelector('.controls')).display") == "none"
    assert window.run("return [...document.querySelectorAll('details')].every((e) => e.open)")
    window.media("")


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (400, True)])
def test_it_fits_the_width(window: Browser, report: Path, width: int, dark: bool, tmp_path: Path) -> None:
    """Nothing sticks out, a picture can be taken, and dark is dark."""
    window.open(report, width=width, dark=dark)
    assert window.run("return document.documentElement.scrollWidth") <= width
    ground = window.run("return getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(20, 23, 27)") is dark
    window.picture(tmp_path / "page.png")
    assert (tmp_path / "page.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_what_can_be_used_has_a_name_and_a_size(window: Browser, report: Path) -> None:
    """Every control is named, every drawing too, and the main ones are large enough for a finger."""
    window.open(report, width=400)
    nameless = (
        "return [...document.querySelectorAll('button, input, svg, [role=region]')]"
        ".filter((e) => !(e.getAttribute('aria-label') || e.textContent.trim())).length"
    )
    assert window.run(nameless) == 0
    sizes = "return ['back', 'forth', 'step'].map((id) => document.getElementById(id).getBoundingClientRect().height)"
    assert min(window.run(sizes)) >= 40


@pytest.mark.parametrize("width", [1280, 400])
def test_the_picture_of_the_terminals_map(window: Browser, width: int, tmp_path: Path) -> None:
    """Every word is drawn, inside the ground, and no two lie on one another."""
    window.open(picture.DEFAULT, width=width)
    boxes = window.run(
        "return [...document.querySelectorAll('tspan')].map((e) => e.getBoundingClientRect())"
        ".map((r) => [r.left, r.top, r.right, r.bottom])"
    )
    ground = window.run("return document.querySelector('rect').getBoundingClientRect().right")
    assert len(boxes) > 20
    assert max(right for _, _, right, _ in boxes) <= ground
    rows: dict[float, list[tuple[float, float]]] = {}
    for left, top, right, _ in boxes:
        rows.setdefault(round(top), []).append((left, right))
    assert all(one[1] <= other[0] + 1 for row in rows.values() for one, other in pairwise(sorted(row)))
    window.picture(tmp_path / "map.png")
    assert (tmp_path / "map.png").stat().st_size > 5000
