"""Shows tagged sentences, their tokens and labels in a terminal."""

import shutil
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from lit_mlm.batch import IGNORE_INDEX
from lit_mlm.data.batches import BatchKey
from lit_mlm.data.show.choice import choose_examples
from lit_mlm.data.show.terminal import align_rows
from lit_mlm.data.tagged.dataset import TaggedDataset
from lit_mlm.data.tagged.module import TaggedDataModule
from lit_mlm.data.tagged.sentences import TaggedSentence
from lit_mlm.errors import InputError
from lit_mlm.text.tagging.alignment import NO_WORD

LEGEND = f"words over their labels, then the model's tokens over theirs; {IGNORE_INDEX}: not scored"


def describe_sentences(
    data: TaggedDataModule, split: str, indices: Sequence[int] | None, num_examples: int | None, num_blocks: int | None
) -> Iterator[str]:
    """Yields sentences as words over labels and, for each window, tokens over labels, at the width of the terminal.

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
    """Yields the place of a sentence, its words over their labels, and the tokens of each window over theirs.

    Args:
        tokenizer: of the tokens.
        examples: of the sentence's split.
        labels: names, by id.
        number: index of the sentence in its split.
        sentence: with tags in the scheme of `labels`.
        width: of the terminal, in characters.
    """
    windows = np.flatnonzero(examples.table.sentences == number)
    line = "" if sentence.first_line is None else f", line {sentence.first_line}"
    title = f"sentence {number} ({sentence.place}{line})"
    if not len(windows):
        yield f"{title}: no words, in no window"
        return
    batch = examples[BatchKey(0, windows)]
    owned = [words[words != NO_WORD] for words in batch["words"].numpy()]
    num_windows = f", {len(windows)} windows" if len(windows) > 1 else ""
    yield f"{title}: {len(sentence.words):,} words, {sum(map(len, owned)):,} tokens{num_windows}"
    yield from align_rows([[_format(word) for word in sentence.words], sentence.tags], width)
    for i, words in enumerate(owned):
        if num_windows:
            yield f"  window {i + 1}, which owns the words {words[0] + 1} to {words[-1] + 1}:"
        is_token = batch["attention_mask"][i] == 1
        ids, its_labels = (batch[name][i][is_token].tolist() for name in ("input_ids", "labels"))
        names = [str(label) if label == IGNORE_INDEX else labels[label] for label in its_labels]
        yield from align_rows([[_format(_name_token(tokenizer, token_id)) for token_id in ids], names], width)


def _name_token(tokenizer: Any, token_id: int) -> str:
    """A token's name in the vocabulary, which marks word starts, or its text if the name shows bytes."""
    name, text = str(tokenizer.convert_ids_to_tokens(token_id)), str(tokenizer.decode([token_id])).strip()
    return name if text in name or "\ufffd" in text else text


def _format(text: str) -> str:
    """A text, quoted and escaped if it is not printable."""
    return text if text.isprintable() and text.strip() else repr(text)
