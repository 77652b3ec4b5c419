"""Formats tagged sentences, their tokens and labels for a terminal."""

import shutil
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from lit_mlm.batch import IGNORE_INDEX, NO_WORD
from lit_mlm.data.batches import BatchKey
from lit_mlm.data.show.choice import choose_examples
from lit_mlm.data.show.terminal import align_rows
from lit_mlm.data.tagged.dataset import TaggedDataset
from lit_mlm.data.tagged.module import TaggedDataModule
from lit_mlm.data.tagged.sentences import TaggedSentence
from lit_mlm.errors import InputError

LEGEND = f"words above their labels, then tokens above their labels; {IGNORE_INDEX}: not scored"


def describe_sentences(
    data: TaggedDataModule, split: str, indices: Sequence[int] | None, num_examples: int | None, num_blocks: int | None
) -> Iterator[str]:
    """Yields sentences as words above labels and, for each window, tokens above labels, at the width of the terminal.

    Arguments are those of `lit_mlm.data.show.examples.describe_examples`.
    """
    if num_blocks is not None:
        raise InputError(f"--num_blocks {num_blocks} has no effect on tagged words, which are not cut into blocks")
    sentences, width = data.sentences[split], shutil.get_terminal_size((120, 24)).columns
    chosen = choose_examples(split, "sentences", len(sentences), indices, num_examples)
    yield data.describe()
    yield LEGEND
    for number in chosen:
        yield ""
        yield from describe_sentence(
            data.tokenizer, data.examples[split], data.labels, number, sentences[number], width
        )


def describe_sentence(
    tokenizer: Any, examples: TaggedDataset, labels: Sequence[str], number: int, sentence: TaggedSentence, width: int
) -> Iterator[str]:
    """Yields the source of a sentence, its words above labels, and for each window its tokens above labels.

    Args:
        tokenizer: names the tokens.
        examples: examples of the split.
        labels: names by id.
        number: index of the sentence in the split.
        sentence: with tags in the scheme of `labels`.
        width: of the terminal, in cells.
    """
    windows = np.flatnonzero(examples.table.sentences == number)
    line = "" if sentence.first_line is None else f", line {sentence.first_line}"
    title = f"sentence {number} ({sentence.place}{line})"
    if not len(windows):
        yield f"{title}: no words, no windows"
        return
    batch = examples[BatchKey(0, windows)]
    owned = [words[words != NO_WORD] for words in batch["words"].numpy()]
    num_windows = f", {len(windows)} windows" if len(windows) > 1 else ""
    yield f"{title}: {len(sentence.words):,} words, {sum(map(len, owned)):,} tokens{num_windows}"
    yield from align_rows([[_escape(word) for word in sentence.words], sentence.tags], width)
    for i, words in enumerate(owned):
        if num_windows:
            yield f"  window {i + 1}, which owns words {words[0] + 1} to {words[-1] + 1}:"
        is_token = batch["attention_mask"][i] == 1
        ids, label_ids = (batch[name][i][is_token].tolist() for name in ("input_ids", "labels"))
        names = [str(label) if label == IGNORE_INDEX else labels[label] for label in label_ids]
        yield from align_rows([[_escape(_get_token_name(tokenizer, token_id)) for token_id in ids], names], width)


def _get_token_name(tokenizer: Any, token_id: int) -> str:
    """Returns the name of a token in the vocabulary, which marks word starts, or its text if the name is bytes."""
    name, text = str(tokenizer.convert_ids_to_tokens(token_id)), str(tokenizer.decode([token_id])).strip()
    return name if text in name or "\ufffd" in text else text


def _escape(text: str) -> str:
    """Quotes and escapes a text that is not printable."""
    return text if text.isprintable() and text.strip() else repr(text)
