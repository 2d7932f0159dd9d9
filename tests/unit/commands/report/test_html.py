"""The file: complete, valid, small, the same every time, and from nowhere else."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

from tests.unit.conftest import Load

from memhotplug.commands.report.data import film_of
from memhotplug.commands.report.grid import Cell, Grid
from memhotplug.commands.report.html import page

VOID = {"meta", "input", "br", "link"}
LARGE = (
    "schema: 1\nmachine: {arch: x86_64, kernel: linux-6.12, memory: 4G, memory_block_size: 2G, "
    "cmdline: memory_hotplug.memmap_on_memory=1}\nsteps:\n"
)
ADD = "add: {driver: acpi, name: d, size: 1G, mhp_flags: device}"
GRID = Grid(
    title="memmap_bytes", corner="a \\ b", rows=("<1>", "2"), columns=("x",),
    cells=((Cell("16M", 16.0, 0.5),), (Cell("EBUSY", None, None),)), lines=("x",), note="the median over c",
)  # fmt: skip


class Checker(HTMLParser):
    """Finds elements that are not closed, and ids that are used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.problems: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        values = dict(attrs)
        self.ids += [values["id"] or ""] if "id" in values else []
        self.addresses += [str(values[name]) for name in ("src", "href", "action") if name in values]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a shape."""

    def handle_endtag(self, tag: str) -> None:
        """Note the end of an element."""
        if not self.open or self.open.pop() != tag:
            self.problems.append(f"</{tag}>")


def check(text: str) -> Checker:
    """Return what a parser finds."""
    checker = Checker()
    checker.feed(text)
    checker.close()
    return checker


def data_of(text: str) -> dict[str, object]:
    """Return the data that the script reads."""
    found = re.search(r'<script type="application/json" id="film">(.*?)</script>', text)
    assert found is not None
    data: dict[str, object] = json.loads(found[1])
    return data


def test_the_page_is_well_formed(load: Load) -> None:
    """Every element is closed in its place, every id is there once, and no address leads anywhere."""
    text = page("t", film_of(load(ADD, "online: {range: d}", "remove: {range: d, fails: EBUSY}")), [GRID])
    found = check(text)
    assert (found.open, found.problems, found.addresses) == ([], [], [])
    assert len(found.ids) == len(set(found.ids))
    assert {"step", "back", "forth", "now-is", "reason", "detail", "film"} <= set(found.ids)
    assert "http" not in text.replace('http-equiv="Content', "").replace("http://www.w3.org/2000/svg", "")


def test_lines_have_the_colours_that_the_map_has_for_the_same_thing(load: Load) -> None:
    """In a light page and in a dark one; whatever order zones come in."""
    text = page("t", film_of(load(ADD, "online: {range: d, zone: movable}")))
    looks = {name: look for look, name in re.findall(r'<li><i class="l(\d)"></i>([^<]*)</li>', text)}
    colours = re.findall(r"--(kernel|movable|memmap|c\d): (#\w+)", text)
    light, dark = dict(colours[::-1]), dict(colours)  # the first of a name, and the last

    for line, part in {
        "node 0 DMA": "kernel",
        "node 0 Movable": "movable",
        "in the memory that it describes": "memmap",
    }.items():
        assert [shade[f"c{looks[line]}"] for shade in (light, dark)] == [shade[part] for shade in (light, dark)]
    assert len(set(looks.values())) == len(looks)


def test_the_same_input_gives_the_same_bytes(load: Load) -> None:
    """No clock, no order of sets."""
    assert page("t", film_of(load(ADD)), [GRID]) == page("t", film_of(load(ADD)), [GRID])


def test_what_the_user_wrote_cannot_break_out(load: Load) -> None:
    """Titles, reasons and values are escaped, in the data too."""
    film = film_of(load("write: {path: /sys/</script><b>, value: '<i>&', fails: ENOENT}"))
    text = page("<title> & co", film, [GRID])
    assert "<title>&lt;title&gt; &amp; co</title>" in text
    assert not check(text).problems
    assert "<b>" not in text
    assert "<i>&" not in text
    assert "</script><b>" in json.dumps(data_of(text))


def test_the_script_knows_every_moment(load: Load) -> None:
    """Titles, reasons and bars."""
    data = data_of(page("t", film_of(load(ADD, "remove: {range: block 0, fails: EBUSY}"))))
    frames = data["frames"]
    assert isinstance(frames, list)
    assert [frame["title"].split()[0] for frame in frames] == ["boot", "add", "remove"]
    assert frames[2]["refused"].startswith("EBUSY: ")
    assert len(frames[1]["bars"]["0"]) > len(frames[0]["bars"]["0"])


def test_64_tib_in_200_steps_are_less_than_3_mb(load: Load) -> None:
    """Runs are drawn, not blocks: also where every other block of thousands differs."""
    steps = [f"online: {{range: block {block}-{block + 40}}}" for block in range(100, 20_000, 100)]
    film = film_of(load("add: {driver: acpi, name: d, size: 64T}", *steps, head=LARGE))
    text = page("t", film)
    assert len(film.frames) == 201
    assert 20_000 < len(text.encode()) < 3_000_000


def test_400_devices_one_after_another_are_less_than_3_mb(load: Load) -> None:
    """A bar that stays as it is from moment to moment is there once; too many pieces are folded."""
    steps = [f"add: {{driver: acpi, size: 128M, address: {(4 << 30) + (number << 28):#x}}}" for number in range(400)]
    film = film_of(load(*steps, head=LARGE.replace("memory_block_size: 2G, ", "")))
    assert len(film.frames) == 401
    assert len(page("t", film).encode()) < 3_000_000


def test_there_is_a_table_for_every_drawing(load: Load) -> None:
    """With headings for rows and columns."""
    text = page("t", film_of(load(ADD)))
    assert text.count("<summary>as a table</summary>") == 2
    assert '<th scope="row">boot</th>' in text
    assert re.search(r'<th scope="row">0</th><td>[^<]+</td>', text)


def test_a_grid_is_a_heat_map_and_lines() -> None:
    """The number stands in the field: warmth is not all."""
    text = page("t", None, [GRID])
    assert '<td class="warm" style="--w:0.5">16M</td>' in text
    assert '<td class="text">EBUSY</td>' in text
    assert '<th scope="row">&lt;1&gt;</th>' in text
    assert "the median over c" in text
    assert not check(text).problems


def test_control_characters_are_shown_rather_than_written(load: Load) -> None:
    """A file may be called anything; a browser and a terminal that shows the file are spared."""
    text = page("a\x1b[31m\nb", film_of(load(ADD)), [GRID])
    assert "\x1b" not in text
    assert "<title>a\\x1b[31m\\nb</title>" in text
