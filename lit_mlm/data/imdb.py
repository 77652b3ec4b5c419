"""IMDB film reviews (Maas et al. 2011, "Learning word vectors for sentiment analysis", ACL)."""

from collections.abc import Collection
from pathlib import Path
from typing import Any, Literal

from datasets import Dataset, concatenate_datasets, load_dataset

from lit_mlm.data.blocks import BlocksDataModule
from lit_mlm.data.documents import TEXT, make_documents, read_text_file, split_documents
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


class IMDBDataModule(BlocksDataModule):
    """Film reviews from the Hub, or from a folder laid out as ``aclImdb/`` is.

    Validation text is split off the training text by review; the test split is the data set's own.

    Args:
        data_dir: folder with ``train/neg/*.txt`` and so on, in place of `dataset`.
        dataset: id on the Hub, or a folder with a copy of it, with the column ``text``; by default
            ``stanfordnlp/imdb``, at the revision that lit-mlm was made with.
        dataset_revision: of `dataset`.
        train_splits: what to train on: train, test, unsupervised, or several of them.
        val_fraction: share of the training reviews to validate on.
    """

    def __init__(
        self,
        data_dir: str | None = None,
        dataset: str | None = None,
        dataset_revision: str | None = None,
        train_splits: list[SplitName] = ["train"],  # noqa: B006 (read only; the command line shows it as the default)
        val_fraction: float = 0.1,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not train_splits or len(set(train_splits)) < len(train_splits):
            raise InputError(f"data.train_splits must name at least one split, each once, got {train_splits}")
        if data_dir is not None and (dataset is not None or dataset_revision is not None):
            raise InputError(
                f"data.data_dir ({data_dir}) and data.dataset ({dataset}, revision {dataset_revision}) exclude each "
                "other: both say where the reviews are"
            )
        self.save_hyperparameters(logger=False)

    def load_documents(self, splits: Collection[str]) -> dict[str, Dataset]:
        """Reads the reviews that `splits` need.

        Raises:
            InputError: if a folder lacks reviews, a file is not UTF-8, or the test split is trained on.
        """
        names = self.hparams["train_splits"]
        documents: dict[str, Dataset] = {}
        if "test" in splits:
            if "test" in names:
                raise InputError(f"data.train_splits is {names}: the test split has been trained on, it can't test")
            documents["test"] = self._read("test")
        if {"train", "val"} & set(splits):
            reviews = concatenate_datasets([self._read(name) for name in names])
            fractions, seed = [self.hparams["val_fraction"]], self.hparams["split_seed"]
            documents["val"], documents["train"] = split_documents(reviews, fractions, seed)
        return documents

    def _read(self, split: str) -> Dataset:
        if self.hparams["data_dir"] is not None:
            return read_folder(Path(self.hparams["data_dir"]), split)
        dataset, revision = self.hparams["dataset"] or HUB_ID, self.hparams["dataset_revision"]
        if dataset == HUB_ID and revision is None:
            revision = HUB_REVISION
        loaded: Dataset = load_dataset(dataset, split=split, revision=revision)
        return loaded.select_columns(TEXT)


def read_folder(folder: Path, split: str) -> Dataset:
    """Reads one split of a folder laid out as ``aclImdb/`` is, file by file in the order of their names.

    Raises:
        InputError: if a folder is missing or holds no reviews.
    """
    texts = []
    for name in FOLDERS[split]:
        files = sorted((folder / name).glob("*.txt"))
        if not files:
            raise InputError(f"data.data_dir {folder}: the {split} split needs *.txt files in {folder / name}")
        texts += [read_text_file(file) for file in files]
    return make_documents(texts)
