"""IMDB film reviews (Maas et al. 2011, "Learning word vectors for sentiment analysis", ACL)."""

from collections.abc import Collection, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from datasets import Dataset, concatenate_datasets

from lit_mlm.data.masked.corpus import CorpusDataModule
from lit_mlm.data.reading.documents import TEXT
from lit_mlm.data.reading.files import COMPRESSIONS, Problem, find_place
from lit_mlm.data.reading.readers import get_text, read_texts
from lit_mlm.errors import InputError

HUB_ID = "stanfordnlp/imdb"
HUB_REVISION = "e6281661ce1c48d982bc483cf8a173c1bbeb5d31"

FOLDERS = {
    "train": ("train/neg", "train/pos"),
    "test": ("test/neg", "test/pos"),
    "unsupervised": ("train/unsup",),
}
"""The folders of ``aclImdb/`` that make each split."""

SplitName = Literal["train", "test", "unsupervised"]


class IMDBDataModule(CorpusDataModule):
    """Film reviews from the Hub, or from a folder laid out as ``aclImdb/`` is, or with a file of JSON lines a split.

    Validation text is split off the training text by review; the test split is the data set's own. `dataset` is by
    default ``stanfordnlp/imdb``, at the revision that lit-mlm was made with.

    Args:
        data_dir: folder with ``train/neg/*.txt`` and so on, or with ``train.jsonl``, ``test.jsonl`` and
            ``unsupervised.jsonl``, compressed or not, in place of `dataset`.
        train_splits: what to train on: train, test, unsupervised, or several of them.
    """

    def __init__(
        self,
        data_dir: str | None = None,
        train_splits: list[SplitName] = ["train"],  # noqa: B006 (read only; the command line shows it as the default)
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not train_splits or len(set(train_splits)) < len(train_splits):
            raise InputError(f"data.train_splits must name at least one split, each once, got {train_splits}")
        self.exclude_dataset("data_dir", data_dir)
        self.save_hyperparameters(logger=False)

    def load_documents(self, splits: Collection[str]) -> dict[str, Dataset]:
        """Reads the reviews that `splits` need.

        Raises:
            InputError: if reviews are missing or can't be read, or the test split is trained on.
        """
        names = self.hparams["train_splits"]
        documents: dict[str, Dataset] = {}
        if "test" in splits:
            if "test" in names:
                raise InputError(f"data.train_splits is {names}: the test split has been trained on, it can't test")
            documents["test"] = self.collect_documents("test", self._read("test"))
        if {"train", "val"} & set(splits):
            reviews = concatenate_datasets([self.collect_documents(name, self._read(name)) for name in names])
            documents = self.split_off(reviews) | documents
        return documents

    def _read(self, split: str) -> Iterator[str | Problem]:
        if self.hparams["data_dir"] is not None:
            return read_folder(find_place(self.hparams["data_dir"], "data.data_dir"), split, self.hparams["encoding"])
        dataset = self.hparams["dataset"] or HUB_ID
        rows = self.read_hub(dataset, split, HUB_REVISION if dataset == HUB_ID else None, column=TEXT)
        return (get_text(row, TEXT) for row in rows)


def read_folder(folder: Path, split: str, encoding: str = "utf-8") -> Iterator[str | Problem]:
    """Reads one split of a folder, file by file in the order of their names.

    Raises:
        InputError: if a folder is missing or holds no reviews.
    """
    for suffix in ("", *COMPRESSIONS):
        file = folder / f"{split}.jsonl{suffix}"
        if file.is_file():
            return read_texts(file, TEXT, encoding)
    files = []
    for name in FOLDERS[split]:
        found = sorted((folder / name).glob("*.txt"))
        if not found:
            raise InputError(
                f"data.data_dir {folder}: the {split} split needs *.txt files in {folder / name}, or {split}.jsonl"
            )
        files += found
    return chain.from_iterable(read_texts(file, encoding=encoding) for file in files)
