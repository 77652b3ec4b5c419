"""The tables of an error report."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from lit_mlm.cli.errors_examples import NAMES, show_text
from lit_mlm.metrics.entity_errors import KINDS, MATCHINGS
from lit_mlm.text.tables import shorten_middle

GROUPS = {
    "seen": "seen with this {}",
    "seen_as_other_type": "seen with another {} only",
    "seen_as_other_label": "seen with another {} only",
}
"""Groups by what training has, for people; the others have names of their own."""

MEANINGS = {
    "correct": "type and boundary are right",
    "wrong_type": "the boundary is right",
    "wrong_boundary": "the type is right; some words are too many or lacking",
    "wrong_both": "only some words are right",
    "missed": "in gold, with nothing found for it",
    "spurious": "found, with nothing in gold for it",
}

COUNTS = ("num_texts", "num_right")

WORD_GROUPS = {
    "training": ("Words seen in training", "single words with the right tag"),
    "frequency": ("Words by frequency", "how often training has the word"),
}
"""Tables of single tagged words."""

MAX_ROWS = 12
"""Rows of a table on a terminal."""


class Table(NamedTuple):
    """A table: its title, a line that explains it, its rows, the head first, and the sides of its columns."""

    title: str
    note: str
    rows: list[list[str]]
    justify: str


def list_tables(report: Mapping[str, Any], is_short: bool = False) -> Iterator[Table]:
    """Yields the tables of a report of `report_errors`, `report_text_errors` or `WordLosses`; those that it lacks not.

    Args:
        report: as it is written as JSON.
        is_short: limits the rows of each table to `MAX_ROWS`.
    """
    of_task = {"hardest": _list_word_tables, "multi_label": _list_text_tables, "scheme": _list_tag_tables}
    for table in next(make(report) for name, make in of_task.items() if name in report):
        if len(table.rows) > 1:
            chosen = table.rows[: MAX_ROWS + 1] if is_short else table.rows
            rows, rest = [[show_text(cell) for cell in row] for row in chosen], len(table.rows) - len(chosen)
            yield table._replace(rows=rows, note=table.note + (f" ({rest:,} more on the page)" if rest else ""))


def _list_tag_tables(report: Mapping[str, Any]) -> Iterator[Table]:
    is_plain, counts = report["scheme"] is None, report["counts"]
    what = "tag" if is_plain else "type"
    rates = [what, "precision", "recall", "F1", "gold", "found", "correct"]
    if not is_plain:
        kinds = [[NAMES[kind], f"{report['kinds'][kind]:,}", MEANINGS[kind]] for kind in KINDS]
        note = f"{counts['gold']:,} entities in gold, {counts['predicted']:,} found"
        yield Table("Kinds of errors", note, [["kind", "number", ""], *kinds], "<><")
        head = ["matching", "precision", "recall", "F1", "correct", "incorrect", "partial", "missed", "spurious"]
        rows = [
            [f"{name} ({MATCHINGS[name]})", *_format_rates(found), *(f"{found[column]:,}" for column in head[4:])]
            for name, found in report["matchings"].items()
        ]
        yield Table("Ways of matching", "as in SemEval 2013; strict is F1", [head, *rows], "<" + ">" * 8)
    columns = [] if is_plain else [kind for kind in KINDS if kind != "correct"]
    rows = [
        [*_format_counts(name, row), *(f"{row[kind]:,}" for kind in columns)] for name, row in report["types"].items()
    ]
    note = "correct, and found instead" if is_plain else "spurious ones by their own type, others by that of gold"
    yield Table(
        f"By {what}", note, [[*rates, *(NAMES[kind] for kind in columns)], *rows], "<" + ">" * (6 + len(columns))
    )
    rows = [[row["gold"], row["found"], f"{row['number']:,}"] for row in report["confusions"]]
    yield Table("Confusions", f"{what}s that were taken for others", [["gold", "found", "number"], *rows], "<<>")
    groups = {
        "sets": ("By set", "the named sets of the split"),
        "training": ("Seen in training", f"whether training has the same words with the same {what}"),
        "frequency": ("By frequency", "how often training has the same words" + ("" if is_plain else " as an entity")),
        "lengths": ("By length", "in words"),
    }
    for key, (title, note) in groups.items():
        rows = [_format_counts(GROUPS.get(name, name).format(what), row) for name, row in report.get(key, {}).items()]
        yield Table(title, note, [["", *rates[1:]], *rows], "<" + ">" * 6)
    for key, (title, note) in WORD_GROUPS.items():
        found = report.get("words", {}).get(key, {})
        rows = [[name, f"{row['accuracy']:.4f}", f"{row['num_words']:,}"] for name, row in found.items()]
        yield Table(title, note, [["", "accuracy", "words"], *rows], "<>>")
    yield _list_confidence(report)
    found = report.get("contradictions", {"surfaces": [], "number": 0, "num_errors": 0})
    rows = [
        [row["text"], _format_numbers(row["training"]), row["gold"], row["found"], f"{row['number']:,}", row["place"]]
        for row in found["surfaces"]
    ]
    note = (
        f"{found['number']:,} of {found['num_errors']:,} errors are what training mostly says of these words: a label "
        "there or in gold may be wrong"
    )
    head = ["words", "in training", "gold", "found", "number", "first place"]
    yield Table("Contradictions", note, [head, *rows], "<<<<><")


def _list_text_tables(report: Mapping[str, Any]) -> Iterator[Table]:
    head = ["label", "precision", "recall", "F1", "gold", "found", "correct"]
    rows = [_format_counts(name, row) for name, row in report["types"].items()]
    yield Table("By label", "texts that have a label, are given it, and both", [head, *rows], "<" + ">" * 6)
    rows = [[row["gold"], row["found"], f"{row['number']:,}"] for row in report.get("confusions", [])]
    yield Table("Confusions", "labels that were taken for others", [["gold", "found", "number"], *rows], "<<>")
    groups = {
        "sets": ("By set", "the named sets of the split"),
        "training": ("Seen in training", "whether training has the same text with the same label"),
        "lengths": ("By length", "in tokens, before texts are cut"),
    }
    for key, (title, note) in groups.items():
        rows = [
            [GROUPS.get(name, name).format("label"), f"{row['accuracy']:.4f}", *(f"{row[n]:,}" for n in COUNTS)]
            for name, row in report.get(key, {}).items()
        ]
        yield Table(title, note, [["", "accuracy", "texts", "right"], *rows], "<>>>")
    yield _list_confidence(report)
    found = report.get("contradictions", {"texts": [], "number": 0, "num_wrong": 0, "num_errors": 0})
    rows = [
        [
            *(shorten_middle(row["text"], 60), row["gold"], row["found"], row["place"]),
            ", ".join(f"{one['labels']} {one['number']:,} ({one['place']})" for one in row["training"]),
        ]
        for row in found["texts"]
    ]
    note = (
        f"training has {found['number']:,} of these texts with other labels, {found['num_wrong']:,} of "
        f"{found['num_errors']:,} errors: a label there or in gold may be wrong"
    )
    yield Table("Contradictions", note, [["text", "gold", "found", "place", "in training"], *rows], "<<<<<")


def _list_confidence(report: Mapping[str, Any]) -> Table:
    rows = [
        [name, f"{row['mean_score']:.3f}", f"{row['precision']:.3f}", f"{row['predicted']:,}", f"{row['correct']:,}"]
        for name, row in report["confidence"].items()
    ]
    head = ["probability", "mean", "precision", "found", "correct"]
    return Table("By confidence", "a calibrated model has the mean as its precision", [head, *rows], "<>>>>")


def _list_word_tables(report: Mapping[str, Any]) -> Iterator[Table]:
    head = ["nats per token", "accuracy", "share of loss", "words", "tokens"]
    groups = {
        "sets": ("By set", "the named sets of the split"),
        "frequency": ("By frequency", "how often training has the word"),
        "training": ("Seen in training", "whether training has the word"),
        "position": ("By place", "token of the block with which the word begins, special tokens included"),
        "part_of_speech": ("By part of speech", "the most frequent one of the word in the file"),
    }
    for key, (title, note) in groups.items():
        rows = [[name, *_format_losses(row)] for name, row in report.get(key, {}).items()]
        yield Table(title, note, [["", *head], *rows], "<" + ">" * 5)
    lists = {
        "costliest": ("Costliest words", "by their share of the loss"),
        "hardest": ("Hardest words", "by loss per token, of words that were masked several times"),
    }
    for key, (title, note) in lists.items():
        with_counts = bool(report[key]) and "in_training" in report[key][0]
        rows = [
            [row["text"], *_format_losses(row), row["most_found"]]
            + ([f"{row['in_training']:,}"] if with_counts else [])
            for row in report[key]
        ]
        columns = ["word", *head, "found instead", *(["in training"] if with_counts else [])]
        yield Table(title, note, [columns, *rows], "<" + ">" * 5 + "<" + ">" * with_counts)


def _format_numbers(numbers: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {number:,}" for name, number in numbers.items())


def _format_rates(row: Mapping[str, float]) -> list[str]:
    return [f"{row[name]:.4f}" for name in ("precision", "recall", "f1")]


def _format_counts(name: str, row: Mapping[str, float]) -> list[str]:
    return [name, *_format_rates(row), *(f"{row[column]:,}" for column in ("gold", "predicted", "correct"))]


def _format_losses(row: Mapping[str, float]) -> list[str]:
    shares = [f"{row['accuracy']:.3f}", f"{row['share_of_loss']:.2%}"]
    return [f"{row['nats_per_token']:.3f}", *shares, f"{row['num_words']:,}", f"{row['num_tokens']:,}"]
