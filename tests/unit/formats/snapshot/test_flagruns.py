"""Page flags are taken out of a document before it is parsed, and mean what they did."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memhotplug.formats.jsonread import TooDeepError, parse_json
from memhotplug.formats.snapshot import flagruns
from memhotplug.formats.snapshot.flagruns import FlagRuns, FlagTexts, flag_word

_WORDS = st.sampled_from(["0x0", "0x400", "0x0000400", "0x8080", "0xFf", "0xffffffffffffffff"])
_RUNS = st.lists(st.tuples(st.integers(0, 2**40), st.integers(0, 2**40), _WORDS).map(list), max_size=8)
_ODD: st.SearchStrategy[Any] = st.sampled_from(
    [
        None, 5, "x", [], [[]], [[1]], [[1, 2]], [[1, 2, "0x"]], [[1, 2, "400"]], [[1, 2, 3]], [[1.0, 2, "0x1"]],
        [[True, 2, "0x1"]], [[-1, 2, "0x1"]], [[2**70, 2, "0x1"]], [[1, 2, "0x1"], 7], [[[1, 2, "0x1"]]],
        [[1, 2, "0x1", 4]], [[1, 2, "]"]], [{"a": 1}], [[1, 2, '"0x1"']], [[1, 2, "0x1" + "0" * 16]],
    ]
)  # fmt: skip


def plain(value: object) -> object:
    """A document with FlagRuns as lists again."""
    if isinstance(value, FlagRuns):
        return [[start, end, word] for start, end, word in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


def meant(value: object) -> object:
    """A document as JSON has it, with good runs under ``kpageflags`` as numbers."""
    if isinstance(value, list):
        return [meant(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {key: numbers(item) if key == "kpageflags" else meant(item) for key, item in value.items()}


def numbers(flags: Any) -> object:
    """The same of what is under ``kpageflags``."""
    if isinstance(flags, dict) and isinstance(flags.get("ranges"), list):
        words = [run[2] if isinstance(run, list) and len(run) == 3 else None for run in flags["ranges"]]
        if all(isinstance(word, str) and flag_word(word) is not None for word in words):
            return flags | {"ranges": [[low, high, flag_word(word)] for low, high, word in flags["ranges"]]}
    return flags


@given(
    st.lists(st.fixed_dictionaries({"dmesg": st.text(max_size=9), "ranges": _RUNS | _ODD, "swapped": st.booleans()})),
    st.sampled_from([None, 1, "\t"]),
    st.booleans(),
)
def test_a_document_means_what_it_means_without_the_shortcut(steps: list[Any], indent: Any, compact: bool) -> None:
    """However it is written, whatever stands where the runs should, and whatever other text it has."""
    made = []
    for step in steps:
        flags = {"ranges": step["ranges"], "covered": [[0, 1]]}
        flags = dict(reversed(flags.items())) if step["swapped"] else flags
        made.append({"dmesg": step["dmesg"], "kpageflags": flags, "more": {"ranges": [[1, 2, "0x1"]]}})
    text = json.dumps({"steps": made}, indent=indent, separators=(",", ":") if compact else None)

    found = FlagTexts(text).parse()

    assert json.dumps(meant(plain(found))) == json.dumps(meant(json.loads(text)))


def test_runs_are_taken_out_however_they_are_indented() -> None:
    """As recorders write them; a run that is there twice is read once."""
    runs = [[0, 8, "0x400"], [8, 9, "0x0"]]
    document = {"steps": [{"kpageflags": {"ranges": runs}}, {"kpageflags": {"ranges": runs[1:]}}]}
    for indent in (None, 1):
        first, second = FlagTexts(json.dumps(document, indent=indent)).parse()["steps"]  # type: ignore[index]
        assert isinstance(first["kpageflags"]["ranges"], FlagRuns)
        assert list(first["kpageflags"]["ranges"]) == [(0, 8, 0x400), (8, 9, 0)]
        assert list(second["kpageflags"]["ranges"]) == [(8, 9, 0)]


@pytest.mark.parametrize("others", [[], [[1, 2, "0x4"]]])
def test_runs_of_steps_that_are_written_alike_are_one_object(others: list[Any]) -> None:
    """Whatever other runs a step between them has."""
    runs = [[0, 8, "0x400"], [8, 9, "0x0"]]
    steps = [{"kpageflags": {"ranges": some}} for some in (runs, others or runs, runs)]
    first, _, last = FlagTexts(json.dumps({"steps": steps})).parse()["steps"]  # type: ignore[index]
    assert first["kpageflags"]["ranges"] is last["kpageflags"]["ranges"]
    assert list(first["kpageflags"]["ranges"]) == [(0, 8, 0x400), (8, 9, 0)]


def test_runs_are_a_sequence() -> None:
    """Of plain integers, whatever columns they are kept in."""
    runs = FlagRuns.of([(0, 8, 1), (8, 9, 2**64 - 1)])
    assert (len(runs), runs[1], list(runs[:1])) == (2, (8, 9, 2**64 - 1), [(0, 8, 1)])
    assert (runs == FlagRuns.of([(0, 8, 1), (8, 9, 2**64 - 1)]), runs == runs[:1], runs == 5) == (True, False, False)


def test_runs_that_do_not_ascend_are_known() -> None:
    """Empty ones, ones that overlap, and pfns that no machine has."""
    good = [[], [(0, 8, 1)], [(0, 8, 1), (8, 9, 1)], [(1, 2, 1), (5, 9, 1)]]
    bad = [[(3, 3, 1)], [(0, 8, 1), (7, 9, 1)], [(5, 9, 1), (1, 2, 1)], [(-1, 2, 1)], [(0, 1 << 52, 1)]]
    expected = [True] * len(good) + [False] * len(bad)
    assert [FlagRuns.of(runs).are_ascending for runs in (*good, *bad)] == expected
    many = [(page, page + 1, 0) for page in range(99)]
    behind = [[*many, *((99 + low, 99 + high, word) for low, high, word in runs)] for runs in (*good, *bad)]
    assert [FlagRuns.of(runs).are_ascending for runs in behind] == expected


def test_text_in_strings_stays_text() -> None:
    """A log may quote a recording."""
    text = json.dumps({"dmesg": ['"kpageflags": {"ranges": [[1, 2, "0x1"]]}']})
    assert FlagTexts(text).parse() == json.loads(text)
    assert FlagTexts(text.replace("[1, 2", "NaN, [1, 2")).parse() == json.loads(text.replace("[1, 2", "NaN, [1, 2"))


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
@pytest.mark.parametrize("place", ["first", "flags", "last"])
def test_a_document_may_have_constants_of_its_own(word: str, place: str) -> None:
    """Before the runs, beside them and behind them: they stay what they are, and so do the runs."""
    flags: dict[str, Any] = {"ranges": [[1, 2, "0x1"]]} | ({"other": "CONSTANT"} if place == "flags" else {})
    document: dict[str, Any] = {"kpageflags": flags, "last": "CONSTANT" if place == "last" else 0}
    document = {"first": "CONSTANT" if place == "first" else 0} | document
    text = json.dumps(document).replace('"CONSTANT"', word)
    assert repr(FlagTexts(text).parse()) == repr(json.loads(text))  # repr, since nan is not equal to itself


def test_words_of_constants_in_strings_keep_nothing_from_being_taken_out() -> None:
    """A log may have them."""
    text = json.dumps({"dmesg": ["NaN, Infinity"], "kpageflags": {"ranges": [[1, 2, "0x1"]]}})
    document: Any = FlagTexts(text).parse()
    assert document == {"dmesg": ["NaN, Infinity"], "kpageflags": {"ranges": FlagRuns.of([(1, 2, 1)])}}


_EDITS = st.tuples(st.integers(0, 150), st.integers(0, 60), st.integers(0, 90))
_STEPS = st.lists(st.lists(_EDITS, max_size=3), max_size=4)
_MARKS = st.sampled_from([*'[]{},":\\ \n019x', "", "]]", "],[", "][", "NaN", "1e3"])
_DAMAGE = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 40), _MARKS))


def edited(steps: list[list[tuple[int, int, int]]]) -> list[list[Any]]:
    """The runs of some steps: in each, some of the step before are gone and others stand in their place."""
    runs: list[Any] = [[7 * at, 7 * at + 3, f"{1 << at % 64:#x}"] for at in range(150)]
    found = [runs]
    for number, edits in enumerate(steps):
        runs = runs.copy()
        for at, gone, new in edits:
            runs[at : at + gone] = [[9 * at + number, 9 * at + 5, f"{at:#x}"] for at in range(new)]
        found.append(runs)
    return found


def document_of(arrays: list[list[Any]]) -> dict[str, Any]:
    """A document with the runs of some steps."""
    return {"steps": [{"kpageflags": {"ranges": runs, "covered": [[0, 1]]}} for runs in arrays]}


@given(_STEPS, st.sampled_from([None, 1]))
def test_runs_of_steps_that_are_alike_are_what_is_written(steps: list[Any], indent: Any) -> None:
    """Whatever was put in, left out or changed from one step to the next."""
    document = document_of(edited(steps))
    found: Any = FlagTexts(json.dumps(document, indent=indent)).parse()
    assert all(not step["kpageflags"]["ranges"] or isinstance(step["kpageflags"]["ranges"], FlagRuns)
               for step in found["steps"])  # fmt: skip
    assert plain(found) == meant(document)


@given(_STEPS, st.sampled_from([None, 1]), _DAMAGE)
def test_damaged_runs_are_refused_or_mean_what_they_did(steps: list[Any], indent: Any, damage: list[Any]) -> None:
    """Wherever something is missing or too much, pieces that other steps have too included."""
    text = json.dumps(document_of(edited(steps)), indent=indent)
    for where, gone, new in damage:
        at = int(where * len(text))
        text = text[:at] + new + text[at + gone :]
    try:
        expected = repr(meant(json.loads(text)))  # repr, since nan is not equal to itself
    except json.JSONDecodeError as problem:
        with pytest.raises(json.JSONDecodeError, match=re.escape(str(problem))):
            FlagTexts(text).parse()
    else:
        assert repr(meant(plain(FlagTexts(text).parse()))) == expected


def test_half_a_run_before_runs_that_are_known_is_no_run() -> None:
    """Not even where its other half stands elsewhere."""
    runs = [[at, at + 1, "0x1"] for at in range(9)]
    torn = [*runs[:2], [1, 2, *runs[3:], "0x5"], [7, 8, "0x1"]]
    document = document_of([runs, torn, runs])
    text = json.dumps(document).replace(", [", f",{600 * ' '}[")  # each run behind the second is a piece of its own
    assert meant(plain(FlagTexts(text).parse())) == meant(document)


@pytest.mark.parametrize(
    "wrong", ['2[3, 4, "0x1"]', '[3, 4, "0x1"]2', '[3 4, "0x1"]', '[03, 4, "0x1"]', '[3, 4, "0x1"']
)
def test_runs_that_are_no_json_are_damage(wrong: str) -> None:
    """Although their brackets, commas and quotes may be as they should."""
    text = f'{{"kpageflags": {{"ranges": [[1, 2, "0x1"], {wrong}, [5, 6, "0x1"]]}}}}'
    with pytest.raises(json.JSONDecodeError):
        FlagTexts(text).parse()


def test_runs_may_be_many() -> None:
    """More than are read at once; one among them that is none is found."""
    document = document_of([[[at, at + 1, f"{at:#x}"] for at in range(5000)]])
    found: Any = FlagTexts(json.dumps(document)).parse()
    assert isinstance(found["steps"][0]["kpageflags"]["ranges"], FlagRuns)
    assert plain(found) == meant(document)
    document["steps"][0]["kpageflags"]["ranges"][4000][1] = 5e9
    assert FlagTexts(json.dumps(document)).parse() == document


_ODD_TEXTS = st.text('ab"\\\\{}[],: \n', max_size=5)
_PLACES = st.sampled_from(["before", "files", "after", "flags"])


def outcome(parse: Any) -> str:
    """What a document means, or why it is refused."""
    try:
        return repr(meant(plain(parse())))  # repr, since nan is not equal to itself
    except ValueError as problem:
        return f"{type(problem)}: {problem}"


@given(
    st.dictionaries(_ODD_TEXTS, _ODD_TEXTS, max_size=3) | st.just({"proc/version": "Linux\n"}),
    st.sampled_from([1, 50, *range(58, 68), 5000]),
    _PLACES, st.just([]) | _DAMAGE, st.sampled_from([None, 1]),
)  # fmt: skip
def test_levels_are_counted_all_the_same(
    files: dict[str, Any], depth: int, place: str, damage: Any, indent: Any
) -> None:
    """Whatever strings and levels its files have, and wherever it is damaged."""
    flags: dict[str, Any] = {"ranges": [[1, 2, "0x1"]], "covered": []}
    step: dict[str, Any] = {"before": 1, "files": dict(files), "kpageflags": flags, "after": 1}
    (flags if place == "flags" else step["files"] if place == "files" else step)[place] = "DEEP"
    others = [{"files": files}, {"files": files, "nodes": "", "kpageflags": flags}, {"nodes": 1, "files": files}]
    text = json.dumps({"steps": [others[0], step, *others[1:], others[0]]}, indent=indent)
    text = text.replace('"DEEP"', depth * "[" + depth * "]")
    for where, gone, new in damage:
        at = int(where * len(text))
        text = text[:at] + new + text[at + min(gone, 3) :]
    assert outcome(FlagTexts(text).parse) == outcome(lambda: parse_json(text))


@pytest.mark.parametrize("odd", ["}", "{", '"}', '"{', "[", "]", "\\"])
@pytest.mark.parametrize("place", ["files", "between", "alone", "last", "nested"])
def test_brackets_in_texts_hide_no_levels(odd: str, place: str) -> None:
    """Whatever a text pretends to end."""
    flags = {"ranges": [[1, 2, "0x1"]]}
    behind = {"kpageflags": flags, "deep": "DEEP"}
    steps: dict[str, dict[str, Any]] = {
        "files": {"files": {"a": odd}, **behind}, "between": {"files": {"a": ""}, "between": odd, **behind},
        "alone": {"files": {"a": odd}, "deep": "DEEP"}, "last": {"files": {"a": odd}},
        "nested": {"files": {"a": {"b": 1}}, "c": odd, "deep": "DEEP"},
    }  # fmt: skip
    text = json.dumps({"steps": [steps[place], {"deep": "DEEP"}]}).replace('"DEEP"', 62 * "[" + 62 * "]")
    with pytest.raises(TooDeepError):
        FlagTexts(text).parse()


@pytest.mark.parametrize("indent", [None, 1])
def test_levels_are_not_counted_in_texts_of_files(indent: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever stands behind them, if no bracket is in them; they are most of a recording."""
    outlines: list[str] = []

    def parse(text: str, *, outline: str = "", **more: Any) -> object:
        outlines.append(outline)
        return parse_json(text, outline=outline, **more)

    monkeypatch.setattr(flagruns, "parse_json", parse)
    flags = {"ranges": [[1, 2, "0x1"]]}
    files = {"proc/version": "needle\n", "b": "5"}
    steps = [{"files": files}, {"files": files, "kpageflags": flags}, {"files": files, "nodes": "", "end": 1}]
    bracket = {"files": {"a": "haystack ["}}
    found: Any = FlagTexts(json.dumps({"steps": [*steps, bracket], "end": 1}, indent=indent)).parse()
    assert [step["files"] for step in found["steps"]] == [files, files, files, bracket["files"]]
    assert [(outline.count("needle"), outline.count("haystack")) for outline in outlines] == [(0, 1)]


def test_levels_behind_damage_do_not_count() -> None:
    """A text that does not end has all of them in it."""
    text = '{"files": {"a}, "kpageflags": {"ranges": [[1, 2, "0x1"]]}, "deep": ' + 70 * "[" + 70 * "]" + "}"
    with pytest.raises(json.JSONDecodeError, match=r"^Expecting ':' delimiter: line 1 column 18"):
        FlagTexts(text).parse()
