"""Formats an audit report as plain-text tables."""

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

from lit_mlm.data.audit.documents import QUANTILES
from lit_mlm.text.tables import format_table

BAR = 8
"""Width of a histogram bar for all texts of a split."""

SEEN = {
    "  seen in train": "seen",
    "  with another type only": "seen_as_other_type",
    "  unseen in train": "unseen",
}
"""Rows of entities by whether the training split has their words."""

Report = Mapping[str, Any]


def format_report(report: Report) -> Iterator[str]:
    """Formats a report of `audit` as lines."""
    splits: dict[str, Any] = report["splits"]
    rows = chain(_make_rows(report), _make_duplicate_rows(report), _make_entity_rows(splits), _make_label_rows(report))
    yield f"{report['kind']} of {report['data']}, tokenizer {report['tokenizer']}"
    yield from report["notes"]
    yield ""
    yield from format_table([["", *splits], *rows], "<" + ">" * len(splits))
    yield ""
    yield from _format_histogram(splits, report["kind"].removesuffix("s"))
    for section in (_format_unreadable, _format_words, _format_tags, _format_inconsistent, _format_pairs):
        lines = list(section(report))
        if lines:
            yield ""
            yield from lines


def _make_rows(report: Report) -> Iterator[list[str]]:
    """Yields a title and one cell per split for each metric that any split has."""
    kind, metrics = report["kind"], report["splits"].values()
    columns = [found | found["lengths"] | {"wrong": found.get("wrong_tags", {}).get("num")} for found in metrics]
    rows = [
        (kind, f"num_{kind}", ","),
        ("without words", "num_empty", ","),
        ("words", "num_words", ","),
        ("tokens", "num_tokens", ","),
        ("tokens per word (fertility)", "fertility", ".3f"),
        ("words of several tokens", "split_fraction", ".1%"),
        ("unknown tokens", "num_unknown_tokens", ","),
        ("without tokens", "num_without_tokens", ","),
        (f"longer than {report['limit'] or 0:,} tokens", "num_long", ","),
        *((f"{name} tokens per {kind.removesuffix('s')}", name, ",.0f") for name in QUANTILES),
        (f"mean tokens per {kind.removesuffix('s')}", "mean", ",.1f"),
        ("words unseen in train", "unseen_word_fraction", ".1%"),
        ("wrong tags", "wrong", ","),
    ]
    for title, key, form in rows:
        values = [column.get(key) for column in columns]
        if any(value is not None for value in values):
            yield [title, *("-" if value is None else format(value, form) for value in values)]


def _make_duplicate_rows(report: Report) -> Iterator[list[str]]:
    overlaps, names = {(o["first"], o["second"]): o for o in report["duplicates"]}, list(report["splits"])
    for first in (None, *names[:-1]):
        of = "" if first is None else f" of {first}"
        near = f"near-duplicates{of} ({report['near_threshold']:g})"
        for title, key in ((f"exact duplicates{of}", "num_exact"), (near, "num_near")):
            found = [None if first == second else overlaps.get((first or second, second)) for second in names]
            yield [title, *("" if overlap is None else f"{overlap[key]:,}" for overlap in found)]


def _make_entity_rows(splits: Report) -> Iterator[list[str]]:
    counts = [metrics.get("entities") for metrics in splits.values()]
    if None in counts:
        return
    yield ["entities", *(f"{sum(found.values()):,}" for found in counts)]
    seen = [metrics.get("entities_in_train") for metrics in splits.values()]
    for title, key in SEEN.items() if any(seen) else ():
        yield [title, *("-" if found is None else f"{found[key]:,}" for found in seen)]
    for kind in dict.fromkeys(chain(*counts)):
        yield [f"  {kind or 'without a type'}", *(f"{found.get(kind, 0):,}" for found in counts)]


def _make_label_rows(report: Report) -> Iterator[list[str]]:
    counts = report.get("labels", {})
    for label in dict.fromkeys(chain(*counts.values())):
        yield [f"label {label}", *(f"{found.get(label, 0):,}" for found in counts.values())]


def _format_histogram(splits: Report, unit: str) -> Iterator[str]:
    """Formats the number of texts in each range of lengths, with bars for their fractions of the splits."""
    counts = [{(b["from"], b["to"]): b["num"] for b in metrics["histogram"]} for metrics in splits.values()]
    rows = [[f"tokens per {unit}", *chain(*((name, "") for name in splits))]]
    for low, high in sorted(set(chain(*counts))):
        row = [f"{low:,} to {high:,}"]
        for found in counts:
            number = found.get((low, high), 0)
            row += [f"{number:,}", "#" * round(BAR * number / max(1, sum(found.values())))]
        rows.append(row)
    yield from format_table(rows, "<" + "><" * len(counts))


def _format_unreadable(report: Report) -> Iterator[str]:
    for source, kinds in report["unreadable"].items():
        counts = [f"{found['num']:,} {kind}" for kind, found in kinds.items() if found["num"]]
        if counts:
            yield f"skipped in {source}: {', '.join(counts)}"
        for found in kinds.values():
            yield from (f"  {message}" for message in found["examples"])


def _format_words(report: Report) -> Iterator[str]:
    for title, key in (("words with unknown tokens", "unknown_words"), ("words unseen in train", "unseen_words")):
        for split, metrics in report["splits"].items():
            words = [f"{found['word']!r} {found['num']:,}" for found in metrics.get(key, ())]
            if words:
                yield f"{title} ({split}): {', '.join(words)}"


def _format_tags(report: Report) -> Iterator[str]:
    for split, metrics in report["splits"].items():
        if metrics.get("unseen_tags"):
            tags = ", ".join(f"{tag} {number:,}" for tag, number in metrics["unseen_tags"].items())
            yield f"tags unseen in train ({split}): {tags}"
        wrong = metrics.get("wrong_tags", {"num": 0, "examples": []})
        if wrong["num"]:
            misspelt, misplaced = wrong["num_misspelt"], wrong["num"] - wrong["num_misspelt"]
            yield f"wrong tags ({split}): {misspelt:,} misspelt, {misplaced:,} out of place, read as conlleval does"
            yield from (f"  {message}" for message in wrong["examples"])


def _format_inconsistent(report: Report) -> Iterator[str]:
    entities = report.get("inconsistent_entities") or {"num": 0, "examples": []}
    if entities["num"]:
        yield f"entities with several types: {entities['num']:,}"
    for found in entities["examples"]:
        types = ", ".join(f"{kind} {number:,}" for kind, number in found["types"].items())
        yield f"  {found['surface']!r}: {types}"
    for key, title in (("sentences", "sentences with different tags"), ("texts", "texts with different labels")):
        repeated = report.get(f"inconsistent_{key}") or {"num": 0, "examples": []}
        if repeated["num"]:
            yield f"repeated {title}: {repeated['num']:,}"
        yield from (f"  {found['second']} = {found['first']}" for found in repeated["examples"])


def _format_pairs(report: Report) -> Iterator[str]:
    for overlap in report["duplicates"]:
        first, second = overlap["first"], overlap["second"]
        if overlap["examples"]:
            yield f"duplicates in {second}" if first == second else f"duplicates of {first} in {second}"
        for pair in overlap["examples"]:
            sign = "=" if pair["kind"] == "exact" else f"~ ({pair['similarity']:.2f})"
            yield f"  {_format_place(pair['second'])} {sign} {_format_place(pair['first'])}"


def _format_place(text: Report) -> str:
    return f"{text['split']} {text['index']}" if text["place"] is None else str(text["place"])
