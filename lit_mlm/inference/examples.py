"""Tables of what a net predicts of examples of a split, beside what is right.

Shapes: B rows, T tokens, N scored positions.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lit_mlm.batch import IGNORE_INDEX
from lit_mlm.inference.filled_texts import Speller
from lit_mlm.inference.masked_rows import evaluating
from lit_mlm.nets.sparse_head import compute_scored_logits
from lit_mlm.text.markdown import escape, format_table
from lit_mlm.text.tables import shorten_middle
from lit_mlm.text.tagging.schemes import Scheme, Span, find_spans

CONTEXT = 15
"""Tokens that are shown on each side of a mask."""

TOP_K = 3
"""Fillings of a mask."""


def tabulate_fillings(net: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, batch: dict[str, Tensor]) -> list[str]:
    """Formats a table of one masked token of each row: its context, the right token and the most probable ones.

    Args:
        net: a masked language model; run in eval mode.
        tokenizer: its tokenizer.
        batch: as in `lit_mlm.batch`, on the net's device. Of a row, the scored position in the middle is shown.
    """
    with evaluating(net):
        logits, labels = compute_scored_logits(net, batch)
        top = logits.float().softmax(dim=-1).topk(min(TOP_K, logits.shape[-1]))
    places = torch.nonzero(batch["labels"] != IGNORE_INDEX).cpu().numpy()
    ids, spell = batch["input_ids"].cpu().numpy(), Speller(tokenizer).spell
    is_token = batch["attention_mask"].cpu().numpy().astype(bool)
    rows = [["text", "right", *("first", "second", "third")[: top.values.shape[1]]]]
    for row in range(len(ids)):
        (numbers,) = np.nonzero(places[:, 0] == row)
        if len(numbers):
            number = int(numbers[len(numbers) // 2])
            column, tokens = int(places[number, 1]), ids[row][is_token[row]]
            text = _show_context(tokenizer, tokens.tolist(), column)
            right = int(labels[number])
            values, guesses = top.values[number].tolist(), top.indices[number].tolist()
            found = [_show(spell(guess), value, guess == right) for guess, value in zip(guesses, values, strict=True)]
            rows.append([text, escape(spell(right)) or "(space)", *found])
    return format_table(rows, "<" * len(rows[0]))


def _show_context(tokenizer: PreTrainedTokenizerBase, tokens: Sequence[int], column: int) -> str:
    """The tokens around a position, which is in bold, as the net reads them."""
    parts = tokens[max(0, column - CONTEXT) : column], tokens[column : column + 1], tokens[column + 1 :][:CONTEXT]
    before, masked, after = (escape(str(tokenizer.decode(list(part)))) for part in parts)
    return f"{before} **{masked}** {after}"


def _show(text: str, score: float, is_bold: bool) -> str:
    shown = f"{escape(text) or '(space)'} ({score:.2f})"
    return f"**{shown}**" if is_bold else shown


def tabulate_tags(
    sentences: Sequence[Sequence[str]],
    gold: Sequence[Sequence[str]],
    predicted: Sequence[Sequence[str]],
    scheme: Scheme | None,
) -> list[str]:
    r"""Formats a table of tagged sentences, gold and prediction side by side, those with the most errors first.

    An error is an entity, or without a scheme a word, that is in one of both only; it is in bold.

    Args:
        sentences: the words of each.
        gold: tags of the words.
        predicted: the same, as predicted.
        scheme: of the tags; None for plain tags.

    Examples:
        >>> print("\n".join(tabulate_tags([["Ada", "ran"]], [["B-PER", "O"]], [["O", "O"]], "IOB2")))
        | errors | gold | prediction |
        |---:|:---|:---|
        | 1 | **Ada \[PER\]** ran | Ada ran |
    """
    found: list[tuple[int, list[str]]] = []
    for words, theirs, ours in zip(sentences, gold, predicted, strict=True):
        expected, guessed = (_find_units(tags, scheme) for tags in (theirs, ours))
        both = set(expected) & set(guessed)
        # A word with another tag is one error, though it differs on both sides.
        errors = len(set(expected) ^ set(guessed)) // (2 if scheme is None else 1)
        found.append((errors, [_mark(words, spans, both) for spans in (expected, guessed)]))
    found.sort(key=lambda row: -row[0])
    return format_table([["errors", "gold", "prediction"], *([str(number), *texts] for number, texts in found)], "><<")


def tabulate_texts(
    texts: Sequence[str],
    gold: Sequence[Sequence[str]],
    found: Sequence[Sequence[str]],
    scores: Sequence[Mapping[str, float]],
) -> list[str]:
    r"""Formats a table of labelled texts, wrong ones first, in the order of the largest error of a probability.

    Args:
        texts: of any length; shortened in the middle.
        gold: labels of each.
        found: the same, as predicted; wrong ones are in bold.
        scores: probabilities of all labels.

    Examples:
        >>> print("\n".join(tabulate_texts(["A dull film."], [["neg"]], [["pos"]], [{"neg": 0.2, "pos": 0.8}])))
        | text | gold | prediction |
        |:---|:---|:---|
        | A dull film. | neg (0.20) | **pos (0.80)** |
    """
    rows: list[tuple[bool, float, list[str]]] = []
    for text, theirs, ours, probs in zip(texts, gold, found, scores, strict=True):
        is_right, distance = set(theirs) == set(ours), max(abs(probs[name] - (name in theirs)) for name in probs)
        sides = [
            ", ".join(_show(name, probs[name], is_bold and name not in theirs) for name in names) or "none"
            for names, is_bold in ((theirs, False), (ours, True))
        ]
        rows.append((is_right, -distance, [escape(shorten_middle(text)), *sides]))
    rows.sort(key=lambda row: row[:2])
    return format_table([["text", "gold", "prediction"], *(row for *_, row in rows)], "<<<")


def _find_units(tags: Sequence[str], scheme: Scheme | None) -> list[Span]:
    return [Span(tag, i, i + 1) for i, tag in enumerate(tags)] if scheme is None else find_spans(tags, scheme)


def _mark(words: Sequence[str], spans: Sequence[Span], right: set[Span]) -> str:
    """A sentence with the types of its spans; those that are not right are in bold."""
    parts: list[Any] = [escape(word) for word in words]
    for span in spans:
        text = f"{' '.join(parts[span.start : span.end])} {escape(f'[{span.type}]')}"
        parts[span.start] = text if span in right else f"**{text}**"
        parts[span.start + 1 : span.end] = [""] * (span.end - span.start - 1)
    return " ".join(part for part in parts if part)
