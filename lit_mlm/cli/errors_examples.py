"""The worst sentences and texts of an error report, for a terminal."""

import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from rich.style import Style

from lit_mlm.metrics.entity_errors import KINDS
from lit_mlm.text.tables import shorten_middle

NAMES = {
    "correct": "correct",
    "wrong_type": "wrong type",
    "wrong_boundary": "wrong boundary",
    "wrong_both": "both wrong",
    "missed": "missed",
    "spurious": "spurious",
}
"""Kinds for people."""

COLOURS = {
    "correct": "green",
    "wrong_type": "magenta",
    "wrong_boundary": "yellow",
    "wrong_both": "cyan",
    "missed": "red",
    "spurious": "bright_red",
}
"""Of the kinds."""

NEAR = 12
"""Words around an error that are shown of a long sentence."""

LONG = 80
"""Words of a long sentence."""

SHOWN = 600
"""Characters of a text that are shown."""


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


def format_texts(texts: Iterable[Mapping[str, Any]], is_coloured: bool) -> Iterator[str]:
    """Yields lines for a terminal: the place of each wrong text, its labels, those that were found, and its words.

    Args:
        texts: of `lit_mlm.metrics.text_errors.report_text_errors`.
        is_coloured: colours the labels.
    """
    for number, text in enumerate(texts):
        if number == 0:
            yield "\nWorst texts"
        yield f"\n{describe_place(text)}"
        for side, colour in (("gold", "green"), ("found", "red")):
            labels = name_labels(text, side)
            yield f"  {side:<6} {Style(color=colour).render(labels) if is_coloured else labels}"
        yield f"  {show_text(shorten_middle(' '.join(text['text'].split()), SHOWN))}"


def name_labels(text: Mapping[str, Any], side: str) -> str:
    """The labels of a text on a side, ``gold`` or ``found``, with their probabilities."""
    return ", ".join(f"{show_text(name)} {score:.2f}" for name, score in text[side].items()) or "none"


def describe_place(example: Mapping[str, Any]) -> str:
    """Describes a sentence or text: its index, set and place, and the number of errors or tokens."""
    kind, count, number = "text", "token", example.get("num_tokens")
    if number is None:
        kind, count, number = "sentence", "error", example["num_errors"]
    where = ", ".join(show_text(example[name]) for name in ("set", "place") if example.get(name))
    return f"{kind} {example['index']}{where and f' ({where})'}: {number:,} {count}{'' if number == 1 else 's'}"


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
