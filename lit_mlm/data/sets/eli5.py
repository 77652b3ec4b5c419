"""ELI5: questions and long answers from Reddit (Fan et al. 2019, "ELI5: Long form question answering", ACL)."""

from collections.abc import Collection, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from datasets import Dataset

from lit_mlm.data.masked.corpus import CorpusDataModule
from lit_mlm.data.reading.files import COMPRESSIONS, Problem, find_place
from lit_mlm.data.reading.readers import PlacedText, Row, is_whole, read_rows
from lit_mlm.errors import InputError

HUB_ID = "dany0407/eli5_category"
SUFFIXES = tuple(f"{kind}{compression}" for kind in (".json", ".jsonl") for compression in ("", *COMPRESSIONS))


class ELI5DataModule(CorpusDataModule):
    """The answers to each question, joined by spaces, as one document.

    Read are ELI5-Category and the older ELI5, whose answers stand in ``answers.text``, and pairs of ``question`` and
    ``answer``. Validation text is split off the training text by question. `dataset` is by default
    ``dany0407/eli5_category``; ``sentence-transformers/eli5`` has the pairs.

    Args:
        data_dir: folder with one file a split, whose name holds the name of the split, or a file to train on:
            ``.json``, an array, or ``.jsonl``, compressed or not; in place of `dataset`.
        train_split: the name of the split to train on; of the older ELI5 ``train_eli5`` or ``train_asks``.
        test_split: the name of the split to test on.
        num_examples: trains and validates on the first this many questions; None takes all.
        val_fraction: share of them to validate on.
    """

    def __init__(
        self,
        data_dir: str | None = None,
        train_split: str = "train",
        test_split: str = "test",
        num_examples: int | None = 5000,
        val_fraction: float = 0.2,
        **kwargs: Any,
    ) -> None:
        super().__init__(val_fraction=val_fraction, **kwargs)
        self.exclude_dataset("data_dir", data_dir)
        if train_split == test_split:
            raise InputError(f"data.train_split and data.test_split are both {train_split}: give different ones")
        if num_examples is not None and num_examples < 2:
            raise InputError(f"data.num_examples must be at least 2, got {num_examples}")
        self.save_hyperparameters(logger=False)

    def load_documents(self, splits: Collection[str]) -> dict[str, Dataset]:
        """Reads the answers that `splits` need.

        Raises:
            InputError: if a file is missing or a record can't be read.
        """
        documents: dict[str, Dataset] = {}
        if "test" in splits:
            if self.hparams["data_dir"] is not None and Path(self.hparams["data_dir"]).expanduser().is_file():
                raise InputError(
                    f"data.data_dir {self.hparams['data_dir']} is a file to train on: a folder can have more"
                )
            documents["test"] = self.collect_documents("test", self._read(self.hparams["test_split"]))
        if {"train", "val"} & set(splits):
            rows = islice(self._read(self.hparams["train_split"]), self.hparams["num_examples"])
            documents = self.split_off(self.collect_documents("train", rows)) | documents
        return documents

    def _read(self, split: str) -> Iterator[str | Problem]:
        rows: Iterable[Row | Problem]
        if self.hparams["data_dir"] is not None:
            rows = read_rows(
                find_file(find_place(self.hparams["data_dir"], "data.data_dir"), split), self.hparams["encoding"]
            )
        else:
            rows = self.read_hub(self.hparams["dataset"] or HUB_ID, split)
        return (row if isinstance(row, Problem) else join_answers(row) for row in rows)


def find_file(folder: Path, split: str) -> Path:
    """The file of a split: the one in the folder whose name holds that of the split, or what is no folder itself.

    Raises:
        InputError: if there is none, or more than one.
    """
    if folder.is_file():
        return folder
    files = sorted(file for file in folder.glob(f"*{split}*") if file.name.endswith(SUFFIXES))
    if len(files) != 1:
        found = ", ".join(file.name for file in files) or "none"
        raise InputError(f"data.data_dir {folder} needs one *{split}*.json or .jsonl file (or .gz), found {found}")
    return files[0]


def join_answers(row: Row) -> str | Problem:
    """The answers of a record, joined by spaces, in any of the published layouts."""
    answers = row.fields.get("answers", row.fields.get("answers.text", row.fields.get("answer")))
    if isinstance(answers, dict):  # a list for each column, as on the Hub
        answers = answers.get("text")
    if isinstance(answers, str):  # a pair
        answers = [answers]
    if isinstance(answers, list):
        texts = [answer.get("text") if isinstance(answer, dict) else answer for answer in answers]
        if all(isinstance(text, str) and is_whole(text) for text in texts):
            return PlacedText(" ".join(map(str, texts)), row.place)
    columns = ", ".join(row.fields)
    found = f"{answers!r:.80} in the columns {columns}"
    return Problem(f"{row.place}: answers.text or answer must be text, found {found}")
