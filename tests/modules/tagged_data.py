"""A small data module of tagged words, in the batches that `lit_mlm.text` describes."""

from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader

from lit_mlm.batch import IGNORE_INDEX, NO_WORD
from lit_mlm.text.tagging.alignment import align_labels, encode_words, make_inside_table
from lit_mlm.text.tagging.schemes import Scheme, find_spans
from lit_mlm.text.tagging.windows import cut_windows

CONLL = ["O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC", "B-MISC", "I-MISC"]
EU_TAGS = ["B-ORG", "O", "B-MISC", "O", "O", "O", "B-MISC", "O", "O"]
FIRST = {"O": ["the", "film", "was", "boring", ",", "and"], "PER": ["Anna", "Otto"], "LOC": ["Rome", "Paris"]}
SECOND = {"PER": ["Gray", "Brown"], "LOC": ["Square", "Road"]}

Sentences = list[tuple[list[str], list[str]]]


def draw_sentences(num: int, seed: int = 0, longest: int = 40) -> Sentences:
    """Sentences whose words tell their tags, entities of one word or two."""
    rng = np.random.default_rng(seed)
    sentences = []
    for _ in range(num):
        words: list[str] = []
        tags: list[str] = []
        for _ in range(rng.integers(1, longest)):
            kind = str(rng.choice(["O", "O", "PER", "LOC"]))
            size = 1 if kind == "O" else int(rng.integers(1, 3))
            words += [str(rng.choice((FIRST, SECOND)[i][kind])) for i in range(size)]
            tags += ["O"] if kind == "O" else [f"B-{kind}"] + [f"I-{kind}"] * (size - 1)
        sentences.append((words, tags))
    return sentences


class TaggedData(LightningDataModule):
    """The same sentences for training, validation and test, in windows of `size` pieces."""

    def __init__(
        self,
        sentences: Sentences,
        labels: list[str],
        tokenizer: Any = None,
        scheme: Scheme | None = "IOB2",
        size: int = 16,
        stride: int = 6,
        batch_size: int = 4,
        inside: bool = True,
        num_empty: int = 0,
    ) -> None:
        super().__init__()
        self.sentences, self.given_labels, self.given_scheme, self.tokenizer = sentences, labels, scheme, tokenizer
        self.size, self.stride, self.batch_size = size, stride, batch_size
        self.inside, self.num_empty = inside, num_empty
        self.sequence_length, self.fingerprint, self.truncation = size + 2, "0" * 64, size
        self.wrong_facts: dict[str, Any] = {}
        self.tagging_options = {"scheme": scheme, "window": size, "stride": stride, "label_later_pieces": inside}

    def setup(self, stage: str) -> None:
        self.labels, self.scheme = self.given_labels, self.given_scheme
        if self.tokenizer is None:
            module: Any = self.trainer and self.trainer.lightning_module
            self.tokenizer = module.load_tokenizer()
        ids = {label: i for i, label in enumerate(self.labels)}
        inside_of = make_inside_table(self.labels) if self.inside else None
        encoded = encode_words(self.tokenizer, [words for words, _ in self.sentences], self.size)
        self.rows: list[list[dict[str, Any]]] = []
        for number, (pieces, (_, tags)) in enumerate(zip(encoded, self.sentences, strict=True)):
            labels = align_labels(pieces.word_of_token, np.array([ids[tag] for tag in tags]), inside_of)
            windows = cut_windows(pieces.word_of_token, self.size, self.stride)
            rows = []
            for i, (start, end) in enumerate(zip(windows.starts, windows.ends, strict=True)):
                words = pieces.word_of_token[start:end]
                owned = (words >= windows.first_owned[i]) & (words < windows.end_owned[i])
                rows.append(
                    {
                        "input_ids": self._frame(
                            pieces.ids[start:end], self.tokenizer.cls_token_id, self.tokenizer.sep_token_id
                        ),
                        "labels": self._frame(np.where(owned, labels[start:end], IGNORE_INDEX), IGNORE_INDEX),
                        "words": self._frame(np.where(owned, words, NO_WORD), NO_WORD),
                        "sentence": number,
                    }
                )
            self.rows.append(rows)

    @staticmethod
    def _frame(values: Any, first: int, last: int | None = None) -> Any:
        return np.array([first, *values, first if last is None else last])

    def collate(self, rows: list[dict[str, Any]]) -> dict[str, Tensor]:
        longest = max(len(row["words"]) for row in rows)
        fill = {"input_ids": self.tokenizer.pad_token_id, "labels": IGNORE_INDEX, "words": NO_WORD}
        batch = {
            name: torch.from_numpy(
                np.stack([np.pad(row[name], (0, longest - len(row[name])), constant_values=v) for row in rows])
            )
            for name, v in fill.items()
        }
        lengths = torch.tensor([len(row["words"]) for row in rows])
        batch["attention_mask"] = (torch.arange(longest) < lengths[:, None]).long()
        batch["sentences"] = torch.tensor([row["sentence"] for row in rows])
        return batch

    def make_batches(self) -> list[dict[str, Tensor]]:
        """Whole sentences, `batch_size` of them in a batch, then the batches that score nothing."""
        batches = [
            self.collate([row for rows in self.rows[i : i + self.batch_size] for row in rows])
            for i in range(0, len(self.rows), self.batch_size)
        ]
        empty = self.collate([self.rows[0][0] | {"sentence": -1}])
        empty["labels"][:], empty["words"][:] = IGNORE_INDEX, NO_WORD
        return batches + [empty] * self.num_empty

    def train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(self.make_batches(), batch_size=None, num_workers=0)  # type: ignore[arg-type]

    val_dataloader = test_dataloader = train_dataloader

    def describe(self) -> str:
        return "tagged sentences"

    def describe_split(self, split: str) -> dict[str, Any]:
        facts: dict[str, Any] = {
            "num_sentences": len(self.sentences),
            "num_words": sum(len(words) for words, _ in self.sentences),
            "num_words_lost_by_truncation": sum(max(len(words) - self.size, 0) for words, _ in self.sentences),
            "data_fingerprint": "1" * 64,
        }
        if self.given_scheme is not None:
            facts["num_gold_entities"] = sum(len(find_spans(tags)) for _, tags in self.sentences)
        return facts | self.wrong_facts
