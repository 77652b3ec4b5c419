"""Audits documents; the audit of sentences shares the metrics of tokens and duplicates."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow.compute as pc
from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from lit_mlm.data.audit.duplicates import DuplicateFinder
from lit_mlm.data.reading.documents import PLACE, TEXT
from lit_mlm.data.tokens.encoding import INPUT_IDS
from lit_mlm.data.tokens.tokenize import tokenize_batch
from lit_mlm.data.tokens.vocabulary import Fertility, measure_fertility
from lit_mlm.text.arrays import IntArray
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
        tokenizer: a fast tokenizer.
        limit: maximum number of tokens, special tokens included; None for no limit.
        near_threshold: as in `audit`.
        num_examples: as in `audit`.

    Returns:
        ``splits`` and ``duplicates`` of the report.
    """
    finder = DuplicateFinder(near_threshold)
    metrics = {
        split: _measure_split(split, documents, tokenizer, limit, finder, num_examples)
        for split, documents in splits.items()
    }

    def get_place(split: str, index: int) -> str | None:
        return splits[split][index][PLACE] if PLACE in splits[split].column_names else None

    def get_text(split: str, index: int) -> str:
        return str(splits[split][index][TEXT])

    return {"splits": metrics, "duplicates": list_duplicates(finder, get_text, get_place, num_examples)}


def _measure_split(
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
        found = measure_fertility(batch[TEXT], tokenizer)  # keeps the distinct words of one batch only
        counts += (found.num_words, found.num_tokens, found.num_split_words, found.num_unknown)
        unknown_words.update(found.unknown_words)
    num_words, num_tokens, num_split, num_unknown = counts.tolist()
    words = Fertility(num_words, num_tokens, num_split, num_unknown, unknown_words)
    token_metrics = measure_tokens(np.concatenate(lengths, dtype=np.int64), words, tokenizer, limit, num_examples)
    return {"num_documents": len(documents)} | token_metrics


def measure_tokens(
    lengths: IntArray, words: Fertility, tokenizer: PreTrainedTokenizerBase, limit: int | None, num_examples: int
) -> dict[str, Any]:
    """Computes the metrics of the words and tokens of a split.

    Args:
        lengths: number of tokens of each text, without special tokens, shape (N,).
        words: counts of words and of their tokens.
        tokenizer: adds the special tokens.
        limit: maximum number of tokens, special tokens included; None for no limit.
        num_examples: maximum number of words to list.
    """
    max_length = None if limit is None else limit - len(find_special_tokens(tokenizer))
    common = sorted(words.unknown_words.items(), key=lambda item: (-item[1], item[0]))[:num_examples]
    return {
        "num_words": words.num_words,
        "num_tokens": int(lengths.sum()),
        "fertility": words.fertility,
        "split_fraction": words.split_fraction,
        "num_unknown_tokens": words.num_unknown,
        "unknown_words": [{"word": word, "num": num} for word, num in common],
        "num_without_tokens": int((lengths == 0).sum()),
        "num_long": None if max_length is None else int((lengths > max_length).sum()),
        "lengths": {name: float(np.quantile(lengths, q)) for name, q in QUANTILES.items()}
        | {"mean": float(lengths.mean())},
        "histogram": count_lengths(lengths),
    }


def count_lengths(lengths: IntArray) -> list[dict[str, int]]:
    """Computes a histogram of the lengths of N >= 1 texts, with bins [2^i, 2^(i+1) - 1].

    >>> count_lengths(np.array([3, 4, 4]))
    [{'from': 2, 'to': 3, 'num': 1}, {'from': 4, 'to': 7, 'num': 2}]
    """
    bins = np.frexp(lengths.astype(np.float64))[1]  # number of binary digits
    counts = np.bincount(bins)
    first = int(np.flatnonzero(counts)[0])
    return [
        {"from": 2 ** (i - 1) if i else 0, "to": 2**i - 1, "num": int(num)}
        for i, num in enumerate(counts)
        if i >= first
    ]


def list_duplicates(
    finder: DuplicateFinder,
    get_text: Callable[[str, int], str],
    get_place: Callable[[str, int], str | None],
    num_examples: int,
    indices: Mapping[str, Sequence[int]] | None = None,
) -> list[dict[str, Any]]:
    """Lists duplicates within and across splits.

    Args:
        finder: holds the texts.
        get_text: returns a text by its split and index in the finder.
        get_place: returns its file and line, or None if unknown.
        num_examples: maximum number of pairs to list, of each kind.
        indices: index in the split of each text in the finder, by split, if the finder lacks some texts.
    """

    def describe_text(split: str, number: int) -> dict[str, Any]:
        index = number if indices is None else indices[split][number]
        return {"split": split, "index": index, "place": get_place(split, number)}

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
                    "first": describe_text(overlap.first, pair.first),
                    "second": describe_text(overlap.second, pair.second),
                }
                for kind, pairs in (("exact", overlap.exact), ("near", overlap.near))
                for pair in pairs
            ],
        }
        for overlap in finder.find(get_text, num_examples)
    ]
