"""IMDB film reviews (Maas et al. 2011, "Learning word vectors for sentiment analysis", ACL)."""

from collections.abc import Collection, Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from datasets import Dataset, concatenate_datasets

from lit_mlm.data.masked.module import BlocksDataModule
from lit_mlm.data.reading.corpus import Corpus
from lit_mlm.data.reading.documents import TEXT
from lit_mlm.data.reading.files import COMPRESSIONS, OnBad, find_place, map_records, refuse
from lit_mlm.data.reading.provenance import Provenance, describe_dataset, describe_layout
from lit_mlm.data.reading.readers import get_text, read_texts
from lit_mlm.errors import InputError

HUB_ID = "stanfordnlp/imdb"
HUB_REVISION = "e6281661ce1c48d982bc483cf8a173c1bbeb5d31"
IMDB = Provenance(
    "IMDB film reviews",
    HUB_ID,
    HUB_REVISION,
    languages=("en",),
    citation='Maas et al. 2011, "Learning word vectors for sentiment analysis", ACL',
    probes=("This is a great [MASK].", "I have never seen such a [MASK] film.", "The [MASK] was brilliant."),
)

FOLDERS = {
    "train": ("train/neg", "train/pos"),
    "test": ("test/neg", "test/pos"),
    "unsupervised": ("train/unsup",),
}
"""The folders of each split in ``aclImdb/``."""

SplitName = Literal["train", "test", "unsupervised"]


class IMDBDataModule(BlocksDataModule):
    """Film reviews from the Hub, or from a folder in the layout of ``aclImdb/`` or with a JSON lines file per split.

    Validation text is split off the training text by review; the test split is the data set's own.

    Args:
        data_dir: in place of `dataset`, a folder with ``train/neg/*.txt`` and so on, or with ``train.jsonl``,
            ``test.jsonl`` and ``unsupervised.jsonl``, compressed or not.
        train_splits: training splits, one or more of train, test and unsupervised.
        dataset: id on the Hub, or folder with a copy; by default ``stanfordnlp/imdb`` at a fixed revision.
        dataset_revision: revision of `dataset`.
        encoding: of the files.
        skip_bad: skips files, lines and rows that are unreadable or without text, and reports their number.
    """

    def __init__(
        self,
        data_dir: str | None = None,
        train_splits: list[SplitName] = ["train"],  # noqa: B006 (read only; the command line shows it as the default)
        dataset: str | None = None,
        dataset_revision: str | None = None,
        encoding: str = "utf-8",
        skip_bad: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not train_splits or len(set(train_splits)) < len(train_splits):
            raise InputError(f"data.train_splits must name at least one split, each once, got {train_splits}")
        self.corpus = Corpus(self.cache_dir, dataset, dataset_revision, encoding, skip_bad)
        self.corpus.exclude("data_dir", data_dir)
        self.data_dir, self.train_splits = data_dir, train_splits

    @property
    def provenance(self) -> list[Provenance]:
        """The data set, or local files."""
        if self.data_dir is not None:
            return [describe_layout(IMDB)]
        return [describe_dataset(self.corpus.dataset or HUB_ID, self.corpus.dataset_revision, known=[IMDB])]

    def load_documents(self, splits: Collection[str]) -> dict[str, Dataset]:
        """Reads the reviews of splits."""
        names = self.train_splits
        documents: dict[str, Dataset] = {}
        if "test" in splits:
            if "test" in names:
                raise InputError(f"data.train_splits is {names}: the model can't be tested on its training data")
            documents["test"] = self.collect_documents("test", partial(self._read, "test"))
        if {"train", "val"} & set(splits):
            reviews = concatenate_datasets([self.collect_documents(name, partial(self._read, name)) for name in names])
            documents = self.split_off(reviews) | documents
        return documents

    def _read(self, split: str, on_bad: OnBad) -> Iterator[str]:
        if self.data_dir is not None:
            return read_folder(find_place(self.data_dir, "data.data_dir"), split, self.corpus.encoding, on_bad)
        dataset = self.corpus.dataset or HUB_ID
        rows = self.corpus.read_hub(dataset, split, HUB_REVISION if dataset == HUB_ID else None, column=TEXT)
        return map_records(lambda row: get_text(row, TEXT), rows, on_bad)


def read_folder(folder: Path, split: str, encoding: str = "utf-8", on_bad: OnBad = refuse) -> Iterator[str]:
    """Yields the reviews of a split of a folder, sorted by file name."""
    for suffix in ("", *COMPRESSIONS):
        file = folder / f"{split}.jsonl{suffix}"
        if file.is_file():
            return read_texts(file, TEXT, encoding, on_bad=on_bad)
    files = []
    for name in FOLDERS[split]:
        found = sorted((folder / name).glob("*.txt"))
        if not found:
            raise InputError(
                f"data.data_dir {folder}: the {split} split needs *.txt files in {folder / name}, or {split}.jsonl"
            )
        files += found
    return chain.from_iterable(read_texts(file, encoding=encoding, on_bad=on_bad) for file in files)
