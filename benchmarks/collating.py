"""Collating and masking a batch, against `DataCollatorForLanguageModeling` and the course's whole-word collator."""

import argparse
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from transformers import DataCollatorForLanguageModeling, PreTrainedTokenizerBase, default_data_collator

from lit_mlm.data.batches import BatchKey
from lit_mlm.data.masked.dataset import MaskedBlocks
from lit_mlm.data.masked.masks import MaskOptions
from lit_mlm.data.tokens.tokenize import tokenize_batch
from lit_mlm.nets.pretrained import load_tokenizer
from lit_mlm.text.blocks import cut_blocks
from lit_mlm.text.masking.strategies import MaskingStrategy, SpanMasking, TokenMasking, WordMasking
from lit_mlm.text.special_tokens import SpecialTokens, find_pad_id

WORD_PROB = 0.2


def find_texts(folder: str, num: int) -> list[Path]:
    """The files of that many documents, from the first one again where there are fewer."""
    files = sorted(Path(folder).rglob("*.txt"))
    if not files:
        sys.exit(f"--data {folder} holds no *.txt")
    return [files[i % len(files)] for i in range(num)]


def read(files: Iterable[Path]) -> Iterator[str]:
    """Texts, each with a number in front, so that no two are equal."""
    return (f"{i} {file.read_text('utf-8', errors='replace')}" for i, file in enumerate(files))


def collate_words(features: list[dict[str, Any]], tokenizer: PreTrainedTokenizerBase) -> Any:
    """The course's whole-word collator: probability 0.2 a word, always the mask token."""
    for feature in features:
        word_ids = feature.pop("word_ids")
        mapping = defaultdict(list)
        current_index, current = -1, None
        for i, word_id in enumerate(word_ids):
            if word_id is not None:
                if word_id != current:
                    current = word_id
                    current_index += 1
                mapping[current_index].append(i)
        mask = np.random.binomial(1, WORD_PROB, (len(mapping),))  # noqa: NPY002 (as published)
        labels, new_labels = feature["labels"], [-100] * len(feature["labels"])
        for word_id in np.where(mask)[0]:
            for i in mapping[word_id]:
                new_labels[i] = labels[i]
                feature["input_ids"][i] = tokenizer.mask_token_id
        feature["labels"] = new_labels
    return default_data_collator(features)


def make_sides(
    args: argparse.Namespace, size: int, length: int
) -> dict[str, tuple[Callable[[], Any], Callable[[Any], object]]]:
    """For each side what reads the rows of a batch, and what makes masked tensors of them."""
    tokenizer = load_tokenizer(args.model, None)
    batch = {"text": [*read(find_texts(args.data, max(100, size * length // 200)))]}
    table = tokenize_batch(batch, tokenizer, True, finds_words=True)
    stream = table["input_ids"].combine_chunks().flatten().to_numpy()
    starts = table["word_starts"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    blocks = cut_blocks(np.array([len(stream)]), length, drop_tail=True)
    key = BatchKey(0, np.arange(size))

    def mask(prob: float, mask_token_prob: float, strategy: MaskingStrategy) -> Callable[[Any], object]:
        masking = MaskOptions(strategy, prob, mask_token_prob, (1 - mask_token_prob) / 2).make_masking(tokenizer)
        options = (SpecialTokens([], []), masking, 0, find_pad_id(tokenizer), starts)
        examples = MaskedBlocks(stream, blocks, np.arange(len(blocks)), *options)
        return lambda _: examples[key]

    ids = stream[: size * length].reshape(size, length)
    words: Any = (np.cumsum(starts[: size * length]) - 1).reshape(size, length).astype(object)
    words[np.isin(ids, tokenizer.all_special_ids)] = None
    columns = {"input_ids": ids.tolist(), "attention_mask": np.ones_like(ids).tolist()}
    rows = Dataset.from_dict(columns)
    word_rows = Dataset.from_dict(columns | {"labels": ids.tolist(), "word_ids": words.tolist()})
    places, collator = list(range(size)), DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.15)
    return {
        "ours, tokens": (int, mask(0.15, 0.8, TokenMasking())),
        "ours, words": (int, mask(WORD_PROB, 1.0, WordMasking())),
        "ours, spans": (int, mask(0.15, 0.8, SpanMasking())),
        "transformers, tokens": (lambda: rows.__getitems__(places), collator),
        "course, words": (lambda: word_rows.__getitems__(places), lambda rows: collate_words(rows, tokenizer)),
    }
