"""The report on data as tables for a terminal."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

WIDTH = 14
"""Cells of a column of figures."""
BAR = 8
"""Cells of a histogram bar for all texts of a split."""

TITLES = {"min": "tokens: least", "p5": "  5 %", "median": "  half", "p95": "  95 %", "max": "  most", "mean": "  mean"}
"""Of the lengths: so many texts have no more."""

Report = Mapping[str, Any]


def format_report(report: Report) -> Iterator[str]:
    """A report of `audit` in lines.

    Args:
        report: with any splits.
    """
    noun = report["kind"]
    yield f"{noun} of {report['data']}, in tokens of {report['tokenizer']}"
    yield from report["notes"]
    yield ""
    splits: dict[str, Any] = report["splits"]
    yield _format_row("", list(splits))
    for title, values in _list_rows(report):
        yield _format_row(title, values)
    yield ""
    yield from _format_histogram(splits, noun)
    for section in (_format_unreadable, _format_words, _format_tags, _format_inconsistent, _format_pairs):
        lines = list(section(report))
        if lines:
            yield ""
            yield from lines


def _list_rows(report: Report) -> Iterator[tuple[str, list[str]]]:
    """The titles and the cells of the table."""
    splits, limit = report["splits"], report["limit"]

    def pick(key: str, form: str = ",") -> list[str]:
        values = [facts.get(key) for facts in splits.values()]
        return ["-" if value is None else format(value, form) for value in values]

    yield report["kind"], pick(f"num_{report['kind']}")
    if report["kind"] == "sentences":
        yield "without words", pick("num_empty")
    yield "words", pick("num_words")
    yield "tokens", pick("num_tokens")
    yield "tokens a word (fertility)", pick("fertility", ".3f")
    yield "words of several tokens", pick("split_fraction", ".1%")
    yield "unknown tokens", pick("num_unknown_tokens")
    yield "without tokens", pick("num_without_tokens")
    if limit is not None:
        yield f"longer than {limit:,} tokens", pick("num_long")
    for name in TITLES:
        yield (
            TITLES[name],
            [f"{facts['lengths'][name]:{',.1f' if name == 'mean' else ',.0f'}}" for facts in splits.values()],
        )
    if report["kind"] == "sentences":
        yield "words unseen in train", pick("unseen_word_fraction", ".1%")
        yield "wrong tags", [f"{facts['wrong_tags']['num']:,}" for facts in splits.values()]
    yield from _list_duplicates(report, list(splits))
    yield from _list_entities(splits)


def _list_duplicates(report: Report, names: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    found = {(overlap["first"], overlap["second"]): overlap for overlap in report["duplicates"]}
    for first in (None, *names[:-1]):
        title = "repeat an earlier one" if first is None else f"are in {first}"
        for key, words in (("num_exact", title), ("num_near", f"  nearly ({report['near_threshold']:g})")):
            cells = [found.get((first or second, second)) for second in names]
            if first is not None:
                cells = [cell if cell and cell["first"] != cell["second"] else None for cell in cells]
            yield words, ["" if cell is None else f"{cell[key]:,}" for cell in cells]


def _list_entities(splits: Report) -> Iterator[tuple[str, list[str]]]:
    counts = [facts.get("entities") for facts in splits.values()]
    if None in counts:
        return
    yield "entities", [f"{sum(found.values()):,}" for found in counts]
    for kind in dict.fromkeys(kind for found in counts for kind in found):
        yield f"  {kind or 'without a type'}", [f"{found.get(kind, 0):,}" for found in counts]


def _format_row(title: str, cells: Sequence[str]) -> str:
    cells = [cell if len(cell) < WIDTH else f"..{cell[3 - WIDTH :]}" for cell in cells]  # a source may have any name
    return (f"{title:<26}" + "".join(f"{cell:>{WIDTH}}" for cell in cells)).rstrip()


def _format_histogram(splits: Report, noun: str) -> Iterator[str]:
    """For each range of lengths how many texts have one, with a bar for their share in their split."""
    yield f"tokens, and {noun} with so many"
    counts = {name: {(b["from"], b["to"]): b["num"] for b in facts["histogram"]} for name, facts in splits.items()}
    for low, high in sorted({place for found in counts.values() for place in found}):
        cells = []
        for found in counts.values():
            number = found.get((low, high), 0)
            bar = "#" * round(BAR * number / max(1, sum(found.values())))
            cells.append(f"  {number:>{WIDTH - BAR + 1},} {bar:<{BAR}}")
        yield (f"{low:>9,} to {high:<9,}" + "".join(cells)).rstrip()


def _format_unreadable(report: Report) -> Iterator[str]:
    for source, kinds in report["unreadable"].items():
        counts = [f"{found['num']:,} {kind}" for kind, found in kinds.items() if found["num"]]
        if counts:
            yield f"left out of {source}: {', '.join(counts)}"
        for found in kinds.values():
            yield from (f"  {message}" for message in found["examples"])


def _format_words(report: Report) -> Iterator[str]:
    for title, key in (("words with unknown tokens", "unknown_words"), ("words unseen in train", "unseen_words")):
        for split, facts in report["splits"].items():
            words = [f"{found['word']!r} {found['num']:,}" for found in facts.get(key, ())]
            if words:
                yield f"{title}, {split}: {', '.join(words)}"


def _format_tags(report: Report) -> Iterator[str]:
    for split, facts in report["splits"].items():
        if facts.get("unseen_tags"):
            tags = ", ".join(f"{tag} {number:,}" for tag, number in facts["unseen_tags"].items())
            yield f"tags that {split} has and train has not: {tags}"
        wrong = facts.get("wrong_tags", {"num": 0, "examples": []})
        if wrong["num"]:
            misspelt, misplaced = wrong["num_misspelt"], wrong["num"] - wrong["num_misspelt"]
            yield f"wrong tags of {split}: {misspelt:,} misspelt, {misplaced:,} out of place, read as conlleval does"
            yield from (f"  {message}" for message in wrong["examples"])


def _format_inconsistent(report: Report) -> Iterator[str]:
    entities = report.get("inconsistent_entities") or {"num": 0, "examples": []}
    if entities["num"]:
        yield f"entities of several types: {entities['num']:,}"
    for found in entities["examples"]:
        types = ", ".join(f"{kind} {number:,}" for kind, number in found["types"].items())
        yield f"  {found['surface']!r}: {types}"
    sentences = report.get("inconsistent_sentences") or {"num": 0, "examples": []}
    if sentences["num"]:
        yield f"sentences that stand earlier with other tags: {sentences['num']:,}"
    yield from (f"  {found['second']} = {found['first']}" for found in sentences["examples"])


def _format_pairs(report: Report) -> Iterator[str]:
    for overlap in report["duplicates"]:
        first, second = overlap["first"], overlap["second"]
        title = f"{second} repeats itself" if first == second else f"{second} overlaps {first}"
        if overlap["examples"]:
            yield f"{title}, for example"
        for pair in overlap["examples"]:
            sign = "=" if pair["kind"] == "exact" else f"~ ({pair['similarity']:.2f})"
            yield f"  {_name(pair['second'])} {sign} {_name(pair['first'])}"


def _name(text: Report) -> str:
    return f"{text['split']} {text['index']}" if text["place"] is None else str(text["place"])
