"""The tables of an error report, and its worst sentences for a terminal."""

import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from rich.style import Style

from lit_mlm.metrics.entity_errors import KINDS, MATCHINGS

NAMES = {
    "correct": "correct",
    "wrong_type": "wrong type",
    "wrong_boundary": "wrong boundary",
    "wrong_both": "both wrong",
    "missed": "missed",
    "spurious": "spurious",
    "seen": "seen with this type",
    "seen_as_other_type": "seen with another type only",
    "unseen": "unseen",
}
"""Kinds and groups for people."""

MEANINGS = {
    "correct": "type and boundary are right",
    "wrong_type": "the boundary is right",
    "wrong_boundary": "the type is right; some words are too many or lacking",
    "wrong_both": "only some words are right",
    "missed": "in gold, with nothing found for it",
    "spurious": "found, with nothing in gold for it",
}

COLOURS = {
    "correct": "green",
    "wrong_type": "magenta",
    "wrong_boundary": "yellow",
    "wrong_both": "cyan",
    "missed": "red",
    "spurious": "bright_red",
}
"""Of the kinds."""

MAX_ROWS = 12
"""Rows of a table on a terminal."""

NEAR = 12
"""Words around an error that are shown of a long sentence."""

LONG = 80
"""Words of a long sentence."""


class Table(NamedTuple):
    """A table: its title, a line that explains it, its rows, the head first, and the sides of its columns."""

    title: str
    note: str
    rows: list[list[str]]
    justify: str


def list_tables(report: Mapping[str, Any], is_short: bool = False) -> Iterator[Table]:
    """Yields the tables of a report of `report_errors` or of `WordLosses`, without those that it lacks.

    Args:
        report: as it is written as JSON.
        is_short: limits the rows of each table to `MAX_ROWS`.
    """
    tables = _list_word_tables(report) if "hardest" in report else _list_tag_tables(report)
    for table in tables:
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
        "training": ("Seen in training", f"whether training has the same words with the same {what}"),
        "frequency": ("By frequency", "how often training has the same words" + ("" if is_plain else " as an entity")),
        "lengths": ("By length", "in words"),
    }
    for key, (title, note) in groups.items():
        rows = [_format_counts(NAMES.get(name, name), row) for name, row in report.get(key, {}).items()]
        yield Table(title, note, [["", *rates[1:]], *rows], "<" + ">" * 6)
    rows = [
        [name, f"{row['mean_score']:.3f}", f"{row['precision']:.3f}", f"{row['predicted']:,}", f"{row['correct']:,}"]
        for name, row in report["confidence"].items()
    ]
    head = ["probability", "mean", "precision", "found", "correct"]
    yield Table("By confidence", "a calibrated model has the mean as its precision", [head, *rows], "<>>>>")
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


def _list_word_tables(report: Mapping[str, Any]) -> Iterator[Table]:
    head = ["nats per token", "accuracy", "share of loss", "words", "tokens"]
    groups = {
        "frequency": ("By frequency", "how often training has the word"),
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


def format_sentences(sentences: Iterable[Mapping[str, Any]], is_coloured: bool) -> Iterator[str]:
    """Yields lines for a terminal: the title of each sentence, its gold entities, and those that were found.

    Args:
        sentences: of `lit_mlm.metrics.error_report.describe_sentence`.
        is_coloured: colours entities by kind; without it they are in brackets.
    """

    def mark(text: str, entity: Mapping[str, Any]) -> str:
        label = name_entity(entity)
        if not is_coloured:
            return f"[{text} {label}: {NAMES[entity['kind']]}]" if entity["kind"] != "correct" else f"[{text} {label}]"
        style = Style(color=COLOURS[entity["kind"]])
        return (style + Style(bold=True)).render(text) + style.render(f" {label}")

    for number, sentence in enumerate(sentences):
        if number == 0:
            kinds = (Style(color=COLOURS[kind]).render(NAMES[kind]) for kind in KINDS)
            yield f"\nWorst sentences{': ' + ', '.join(kinds) if is_coloured else ''}"
        yield f"\n{describe_place(sentence)}"
        for side in ("gold", "found"):
            yield f"  {side:<6} {''.join(mark_entities(sentence, side, show_text, mark))}"


def describe_place(sentence: Mapping[str, Any]) -> str:
    """Describes a sentence: its index, place and number of errors."""
    num, place = sentence["num_errors"], sentence["place"]
    where = f" ({show_text(place)})" if place else ""
    return f"sentence {sentence['index']}{where}: {num} error{'s' if num > 1 else ''}"


def name_entity(entity: Mapping[str, Any]) -> str:
    """The type of an entity, and its score if it was found."""
    score = f" {entity['score']:.2f}" if "score" in entity else ""
    return show_text(entity["type"]) + score


def mark_entities(
    sentence: Mapping[str, Any],
    side: str,
    show: Callable[[str], str],
    mark: Callable[[str, Mapping[str, Any]], str],
) -> Iterator[str]:
    """Yields the words of a sentence, joined by spaces, with marked entities; of a long one those near errors.

    Args:
        sentence: of `lit_mlm.metrics.error_report.describe_sentence`.
        side: ``gold`` or ``found``.
        show: formats other text.
        mark: formats the text of an entity, already shown, and the entity.
    """
    words, entities = sentence["words"], {entity["start"]: entity for entity in sentence[side]}
    near = {
        i
        for entity in (*sentence["gold"], *sentence["found"])
        if entity["kind"] != "correct" or len(words) <= LONG
        for i in range(entity["start"] - NEAR, entity["end"] + NEAR)
    }
    start, is_left_out = 0, False
    while start < len(words):
        entity = entities.get(start)
        end = entity["end"] if entity else start + 1
        if len(words) <= LONG or not near.isdisjoint(range(start, end)):
            text = " ".join(words[start:end])
            yield (" " if start else "") + (mark(show(text), entity) if entity else show(text))
            is_left_out = False
        elif not is_left_out:
            yield " …"
            is_left_out = True
        start = end


def show_text(text: str) -> str:
    r"""Escapes characters that a terminal or browser obeys or hides, except joiners within words.

    >>> print(show_text("a\x1b[31m\u202eb\u200dc".replace("\u200d", "")))
    a\u001b[31m\u202ebc
    """
    if text.isascii() and text.isprintable():
        return text
    hidden = ("Cc", "Cf", "Cs", "Zl", "Zp")
    return "".join(
        f"\\u{ord(c):04x}" if unicodedata.category(c) in hidden and c not in "\u200c\u200d" else c for c in text
    )
