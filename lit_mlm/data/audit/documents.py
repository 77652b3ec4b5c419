"""The report on documents, and what reports on documents and on sentences have in common."""

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
from lit_mlm.data.tokens.vocabulary import measure_fertility
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
    """Counts documents, words and tokens, and finds what stands twice.

    Args:
        splits: the documents of each.
        tokenizer: a fast one.
        limit: tokens that the model takes, special tokens included.
        near_threshold: as of `audit`.
        num_examples: as of `audit`.

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
    lengths = np.zeros(len(documents), dtype=np.int64)
    num_words = num_pieces = num_split = num_unknown = start = 0
    unknown_words: Counter[str] = Counter()
    for batch in documents.select_columns(TEXT).iter(batch_size=1000):
        texts = batch[TEXT]
        finder.add(split, texts)
        ids = tokenize_batch(batch, tokenizer, add_special_tokens=False)[INPUT_IDS]
        lengths[start : start + len(ids)] = pc.list_value_length(ids).to_numpy()
        start += len(ids)
        found = measure_fertility(texts, tokenizer)  # a batch at a time, as it holds the distinct words
        num_words += found.num_words
        num_pieces += found.num_tokens
        num_split += found.num_split_words
        num_unknown += found.num_unknown
        unknown_words.update(found.unknown_words)
    return {"num_documents": len(documents), "num_words": num_words} | describe_tokens(
        lengths, (num_words, num_pieces, num_split), (num_unknown, unknown_words), tokenizer, limit, num_examples
    )


def describe_tokens(
    lengths: IntArray,
    words: tuple[int, int, int],
    unknown: tuple[int, Counter[str]],
    tokenizer: PreTrainedTokenizerBase,
    limit: int | None,
    num_examples: int,
) -> dict[str, Any]:
    """What a report says of the tokens of a split.

    Args:
        lengths: tokens of each text, special tokens left out, shape (N,).
        words: how many there are, their pieces, and how many have more than one.
        unknown: how many unknown tokens there are, and the words that hold them.
        tokenizer: that the tokens are of.
        limit: tokens that the model takes, special tokens included.
        num_examples: words to name.
    """
    num_words, num_pieces, num_split = words
    num_unknown, unknown_words = unknown
    room = None if limit is None else limit - len(find_special_tokens(tokenizer))
    common = sorted(unknown_words.items(), key=lambda item: (-item[1], item[0]))[:num_examples]
    return {
        "num_tokens": int(lengths.sum()),
        "fertility": num_pieces / max(1, num_words),
        "split_fraction": num_split / max(1, num_words),
        "num_unknown_tokens": num_unknown,
        "unknown_words": [{"word": word, "num": number} for word, number in common],
        "num_without_tokens": int((lengths == 0).sum()),
        "num_long": None if room is None else int((lengths > room).sum()),
        "lengths": {name: float(np.quantile(lengths, q)) for name, q in QUANTILES.items()}
        | {"mean": float(lengths.mean())},
        "histogram": count_lengths(lengths),
    }


def count_lengths(lengths: IntArray) -> list[dict[str, int]]:
    """How many texts have a length from one power of two up to, not including, the next; those without tokens first.

    Args:
        lengths: each at least 0, at least one, shape (N,).
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
    """What a report says of texts that stand twice.

    Args:
        finder: has all texts.
        read: the text of a split with a number.
        locate: where it stands, None if that is not known.
        num_examples: pairs to name of each kind.
        numbers: the numbers of a split's texts by their numbers in the finder, where it doesn't have all.
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
