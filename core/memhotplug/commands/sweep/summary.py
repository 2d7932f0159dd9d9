"""Results for people: the best and the worst by a measure, where it flips, and what was refused with what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from sys import intern
from typing import TYPE_CHECKING, Any, Final

from memhotplug.commands.sweep.store import Store
from memhotplug.errors import InputError, nearest
from memhotplug.output.tables import HEAD, Paint, plain, table
from memhotplug.units import format_size

if TYPE_CHECKING:
    from memhotplug.documents.sweep import CaseDocument, FlipDocument, GroupDocument, SummaryDocument

__all__ = ["DEFAULT_MEASURE", "summary", "summary_lines"]

DEFAULT_MEASURE: Final = "memmap_bytes"
_SHOWN: Final = 5
_FLIPS: Final = 12


def summary(store: Store, *, measure: str | None = None, group_by: Sequence[str] = ()) -> SummaryDocument:
    """Return the summary of a store as plain data.

    Args:
        measure: the column by which cases are good (small) or bad (large); default what the memmap costs.
        group_by: varied keys; one group for each combination of their values. Default the first key.

    Raises:
        InputError: there is no such column or key.
    """
    keys = store.keys()
    chosen = measure or DEFAULT_MEASURE
    rows, numbers = _read(store, ("case", *keys, "outcome", "errno", chosen))
    if rows and chosen not in numbers:
        expected = "a measure that the results have"
        raise InputError(expected, got=chosen, nearest=nearest(chosen, numbers), path="--measure")
    for key in group_by:
        if key not in keys:
            expected = f"a varied key: {', '.join(keys)}" if keys else "none, for nothing is varied"
            raise InputError(expected, got=key, nearest=nearest(key, keys), path="--group-by")
    groups = list(group_by) or keys[:1]
    measured = sorted((row for row in rows if _is_number(row.get(chosen))), key=lambda row: (row[chosen], row["case"]))
    return {
        "schema": 1,
        "cases": len(rows),
        "outcomes": dict(sorted(Counter(row["outcome"] for row in rows).items())),
        "errnos": dict(sorted(Counter(row["errno"] for row in rows if row.get("errno")).items())),
        "measure": chosen,
        "keys": keys,
        "best": [_short(row, keys, chosen) for row in measured[:_SHOWN]],
        "worst": [_short(row, keys, chosen) for row in measured[::-1][:_SHOWN]],
        "group_by": groups,
        "groups": list(_groups(rows, groups, chosen)),
        "flips": list(_flips(rows, keys)),
    }


def _read(store: Store, columns: Sequence[str]) -> tuple[list[dict[str, Any]], set[str]]:
    """Return some columns of all rows, which are many, and the names of those that have numbers."""
    rows, numbers = [], set()
    for row in store.rows():
        numbers |= {key for key, value in row.items() if _is_number(value)}
        rows.append({key: _once(row[key]) for key in columns if key in row})
    return rows, numbers


def _once(value: object) -> object:
    """Return a value, the same text each time that there is an equal one."""
    return intern(value) if isinstance(value, str) else value


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _short(row: dict[str, Any], keys: Sequence[str], measure: str) -> CaseDocument:
    return {
        "case": row["case"],
        "values": {key: row[key] for key in keys},
        "outcome": row["outcome"],
        "value": row[measure],
    }


def _groups(rows: Sequence[dict[str, Any]], keys: Sequence[str], measure: str) -> Iterator[GroupDocument]:
    found: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(tuple(row[key] for key in keys), []).append(row)
    for values, members in found.items():
        numbers = sorted(row[measure] for row in members if _is_number(row.get(measure)))
        yield {
            "values": dict(zip(keys, values, strict=True)),
            "cases": len(members),
            "ok": sum(row["outcome"] == "ok" for row in members),
            "refused": sum(row["outcome"] == "refused" for row in members),
            "errnos": dict(sorted(Counter(row["errno"] for row in members if row.get("errno")).items())),
            "least": numbers[0] if numbers else None,
            "median": numbers[len(numbers) // 2] if numbers else None,
            "most": numbers[-1] if numbers else None,
        }


def _flips(rows: Sequence[dict[str, Any]], keys: Sequence[str]) -> Iterator[FlipDocument]:
    """Yield where the outcome changes from one value of a key to the next, all others being equal."""
    for key in keys:
        others = [other for other in keys if other != key]
        before: dict[tuple[str, ...], dict[str, Any]] = {}
        for row in rows:
            same = tuple(row[other] for other in others)
            last = before.get(same)
            if last is not None and _word(last) != _word(row):
                yield {
                    "key": key,
                    "from": last[key],
                    "to": row[key],
                    "outcomes": [_word(last), _word(row)],
                    "values": dict(zip(others, same, strict=True)),
                }
            before[same] = row


def _word(row: dict[str, Any]) -> str:
    return str(row.get("errno") or row["outcome"])


# ---- people ----


def summary_lines(document: SummaryDocument, paint: Paint = plain, *, width: int | None = None) -> Iterator[str]:
    """Yield the summary as people read it, the share of what failed at the end."""
    measure, keys = document["measure"], document["keys"]
    for title in ("best", "worst"):
        yield paint(f"{title} by {measure}", HEAD)
        rows = [
            [
                str(entry["case"]),
                *(entry["values"][key] or "-" for key in keys),
                entry["outcome"],
                _shown(measure, entry["value"]),
            ]
            for entry in document[title]
        ]
        yield from table(["CASE", *keys, "OUTCOME", measure], rows, [*keys, "OUTCOME"], paint, width=width)
        yield ""
    yield from _group_lines(document, paint, width)
    if document["flips"]:
        yield ""
        yield paint("where it flips", HEAD)
        for flip in document["flips"][:_FLIPS]:
            others = ", ".join(f"{key}={value}" for key, value in flip["values"].items())
            one, other = flip["outcomes"]
            beside = f"  with {others}" if others else ""
            yield f"  {flip['key']}: {flip['from']} {one}, {flip['to']} {other}{beside}"
        if len(document["flips"]) > _FLIPS:
            yield f"  and {len(document['flips']) - _FLIPS} more"
    yield ""
    parts = [f"{count} {word}" for word, count in document["outcomes"].items()]
    parts += [f"{name} {count}" for name, count in document["errnos"].items()]
    yield f"{document['cases']} cases: {', '.join(parts)}"


def _group_lines(document: SummaryDocument, paint: Paint, width: int | None) -> Iterator[str]:
    keys, measure = document["group_by"], document["measure"]
    rows = [
        [
            *(group["values"][key] or "-" for key in keys),
            str(group["cases"]),
            f"{100 * group['ok'] // max(group['cases'], 1)}%",
            *(_shown(measure, group[word]) for word in ("least", "median", "most")),
            ", ".join(f"{name} {count}" for name, count in _failures(group)) or "-",
        ]
        for group in document["groups"]
    ]
    header = [*keys, "CASES", "OK", "LEAST", "MEDIAN", "MOST", "FAILED"]
    yield from table(header, rows, [*keys, "FAILED"], paint, width=width)


def _failures(group: GroupDocument) -> Iterator[tuple[str, int]]:
    """Yield what steps failed with, then the cases that could not be, each with how many there are."""
    yield from group["errnos"].items()
    if group["refused"]:
        yield "refused", group["refused"]


def _shown(measure: str, value: object) -> str:
    if value is None:
        return "-"
    return format_size(int(value)) if measure.endswith("_bytes") and isinstance(value, int) else str(value)
