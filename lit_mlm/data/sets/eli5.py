"""ELI5: questions and long answers from Reddit (Fan et al. 2019, "ELI5: Long form question answering", ACL)."""

from collections.abc import Collection, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

from datasets import Dataset

from lit_mlm.data.masked.module import BlocksDataModule
from lit_mlm.data.reading.corpus import Corpus
from lit_mlm.data.reading.files import COMPRESSIONS, BadRecordError, OnBad, find_place, map_records
from lit_mlm.data.reading.readers import PlacedText, Row, is_whole, read_rows
from lit_mlm.errors import InputError
from lit_mlm.options import Part, Range

HUB_ID = "dany0407/eli5_category"
SUFFIXES = tuple(f"{kind}{compression}" for kind in (".json", ".jsonl") for compression in ("", *COMPRESSIONS))


class ELI5DataModule(BlocksDataModule):
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
        dataset: id on the Hub, or a folder with a copy of it.
        dataset_revision: of `dataset`.
        encoding: of the files.
        skip_bad: leaves out files, lines and rows that can't be read or hold no text, and says how many, in place of
            an error at the first.
    """

    def __init__(
        self,
        data_dir: str | None = None,
        train_split: str = "train",
        test_split: str = "test",
        num_examples: Annotated[int, Range(least=2)] | None = 5000,
        val_fraction: Part = 0.2,
        dataset: str | None = None,
        dataset_revision: str | None = None,
        encoding: str = "utf-8",
        skip_bad: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(val_fraction=val_fraction, **kwargs)
        self.corpus = Corpus(self.cache_dir, dataset, dataset_revision, encoding, skip_bad)
        self.corpus.exclude("data_dir", data_dir)
        if train_split == test_split:
            raise InputError(f"data.train_split and data.test_split are both {train_split}: give different ones")
        self.data_dir, self.num_examples = data_dir, num_examples
        self.train_split, self.test_split = train_split, test_split

    def load_documents(self, splits: Collection[str]) -> dict[str, Dataset]:
        """Reads the answers that `splits` need.

        Raises:
            InputError: if a file is missing or a record can't be read.
        """
        documents: dict[str, Dataset] = {}
        if "test" in splits:
            if self.data_dir is not None and Path(self.data_dir).expanduser().is_file():
                raise InputError(f"data.data_dir {self.data_dir} is a file to train on: a folder can have more")
            documents["test"] = self.collect_documents("test", partial(self._read, self.test_split))
        if {"train", "val"} & set(splits):
            train = self.collect_documents("train", partial(self._read, self.train_split, num=self.num_examples))
            documents = self.split_off(train) | documents
        return documents

    def _read(self, split: str, on_bad: OnBad, num: int | None = None) -> Iterator[str]:
        if self.data_dir is not None:
            file = find_file(find_place(self.data_dir, "data.data_dir"), split)
            rows = read_rows(file, self.corpus.encoding, on_bad=on_bad)
        else:
            rows = self.corpus.read_hub(self.corpus.dataset or HUB_ID, split)
        return islice(map_records(join_answers, rows, on_bad), num)


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


def join_answers(row: Row) -> str:
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
    raise BadRecordError(f"{row.place}: answers.text or answer must be text, found {found}")
