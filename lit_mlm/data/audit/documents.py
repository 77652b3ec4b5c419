"""The report on documents, and the parts it shares with the report on sentences."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow.compute as pc
from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from lit_mlm.data.audit.duplicates import DuplicateFinder
from lit_mlm.data.reading.documents import PLACE, TEXT
from lit_mlm.data.tokens.tokenize import INPUT_IDS, tokenize_batch
from lit_mlm.data.tokens.vocabulary import Fertility, measure_fertility
from lit_mlm.text.blocks import IntArray
from lit_mlm.text.special_tokens import find_special_tokens

QUANTILES = {"min": 0.0, "p5": 0.05, "median": 0.5, "p95": 0.95, "max": 1.0}


def audit_documents(
    splits: Mapping[str, Dataset],
    tokenizer: PreTrainedTokenizerBase,
    limit: int | None,
    near_threshold: float,
    num_examples: int,
) -> dict[str, Any]:
    """Counts documents, words and tokens, and finds duplicates.

    Args:
        splits: documents by split.
        tokenizer: a fast one.
        limit: maximum tokens of the model, special tokens included.
        near_threshold: as in `audit`.
        num_examples: as in `audit`.

    Returns:
        ``splits`` and ``duplicates`` of the report.
    """
    finder = DuplicateFinder(near_threshold)
    facts = {
        split: _measure(split, documents, tokenizer, limit, finder, num_examples) for split, documents in splits.items()
    }

    def locate(split: str, number: int) -> str | None:
        return splits[split][number][PLACE] if PLACE in splits[split].column_names else None

    def read(split: str, number: int) -> str:
        return str(splits[split][number][TEXT])

    return {"splits": facts, "duplicates": list_duplicates(finder, read, locate, num_examples)}


def _measure(
    split: str,
    documents: Dataset,
    tokenizer: PreTrainedTokenizerBase,
    limit: int | None,
    finder: DuplicateFinder,
    num_examples: int,
) -> dict[str, Any]:
    lengths, counts = [], np.zeros(4, dtype=np.int64)
    unknown_words: Counter[str] = Counter()
    for batch in documents.select_columns(TEXT).iter(batch_size=1000):
        finder.add(split, batch[TEXT])
        ids = tokenize_batch(batch, tokenizer, add_special_tokens=False)[INPUT_IDS]
        lengths.append(pc.list_value_length(ids).to_numpy())
        found = measure_fertility(batch[TEXT], tokenizer)  # by batch, as it holds the distinct words
        counts += (found.num_words, found.num_tokens, found.num_split_words, found.num_unknown)
        unknown_words.update(found.unknown_words)
    num_words, num_tokens, num_split, num_unknown = counts.tolist()
    words = Fertility(num_words, num_tokens, num_split, num_unknown, unknown_words)
    options = np.concatenate(lengths, dtype=np.int64), words, tokenizer, limit, num_examples
    return {"num_documents": len(documents)} | describe_tokens(*options)


def describe_tokens(
    lengths: IntArray, words: Fertility, tokenizer: PreTrainedTokenizerBase, limit: int | None, num_examples: int
) -> dict[str, Any]:
    """The report on the words and tokens of a split.

    Args:
        lengths: tokens of each text, without special tokens, shape (N,).
        words: and their tokens.
        tokenizer: of the tokens.
        limit: maximum tokens of the model, special tokens included.
        num_examples: words to list.
    """
    room = None if limit is None else limit - len(find_special_tokens(tokenizer))
    common = sorted(words.unknown_words.items(), key=lambda item: (-item[1], item[0]))[:num_examples]
    return {
        "num_words": words.num_words,
        "num_tokens": int(lengths.sum()),
        "fertility": words.fertility,
        "split_fraction": words.split_fraction,
        "num_unknown_tokens": words.num_unknown,
        "unknown_words": [{"word": word, "num": number} for word, number in common],
        "num_without_tokens": int((lengths == 0).sum()),
        "num_long": None if room is None else int((lengths > room).sum()),
        "lengths": {name: float(np.quantile(lengths, q)) for name, q in QUANTILES.items()}
        | {"mean": float(lengths.mean())},
        "histogram": count_lengths(lengths),
    }


def count_lengths(lengths: IntArray) -> list[dict[str, int]]:
    """A histogram of the lengths of N >= 1 texts; bins end before powers of two.

    >>> count_lengths(np.array([3, 4, 4]))
    [{'from': 2, 'to': 3, 'num': 1}, {'from': 4, 'to': 7, 'num': 2}]
    """
    bins = np.frexp(lengths.astype(np.float64))[1]  # the number of binary digits
    counts = np.bincount(bins)
    first = int(np.flatnonzero(counts)[0])
    return [
        {"from": 2 ** (i - 1) if i else 0, "to": 2**i - 1, "num": int(number)}
        for i, number in enumerate(counts)
        if i >= first
    ]


def list_duplicates(
    finder: DuplicateFinder,
    read: Callable[[str, int], str],
    locate: Callable[[str, int], str | None],
    num_examples: int,
    numbers: Mapping[str, Sequence[int]] | None = None,
) -> list[dict[str, Any]]:
    """The report on duplicates.

    Args:
        finder: with all texts.
        read: returns the text of a split with a number.
        locate: returns its place; None if unknown.
        num_examples: pairs to list of each kind.
        numbers: the number in the split of each text in the finder, if it does not have all texts.
    """

    def name(split: str, number: int) -> dict[str, Any]:
        index = number if numbers is None else numbers[split][number]
        return {"split": split, "index": index, "place": locate(split, number)}

    return [
        {
            "first": overlap.first,
            "second": overlap.second,
            "num_exact": overlap.num_exact,
            "num_near": overlap.num_near,
            "examples": [
                {
                    "kind": kind,
                    "similarity": round(pair.similarity, 4),
                    "first": name(overlap.first, pair.first),
                    "second": name(overlap.second, pair.second),
                }
                for kind, pairs in (("exact", overlap.exact), ("near", overlap.near))
                for pair in pairs
            ],
        }
        for overlap in finder.find(read, num_examples)
    ]
