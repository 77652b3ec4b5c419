"""The sentiment of IMDB film reviews (Maas et al. 2011)."""

from collections.abc import Collection, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from lit_mlm.data.labelled.module import LabelledDataModule
from lit_mlm.data.labelled.texts import Columns, LabelledText, load_labelled
from lit_mlm.data.reading.files import OnBad, check_encoding, find_place
from lit_mlm.data.reading.provenance import Provenance, describe_dataset, describe_layout
from lit_mlm.data.reading.readers import read_texts
from lit_mlm.data.sets.imdb import HUB_ID, HUB_REVISION, IMDB
from lit_mlm.errors import InputError
from lit_mlm.options import refuse_without

LABELS = ("neg", "pos")
"""The folders of each split, and the names of the labels on the Hub."""

PROBES = (
    "I wanted to like it, but the story makes no sense and the jokes are not funny.",
    "The actors do what they can with a script that gives them nothing.",
    "It takes its time, and every minute of it is worth it.",
    "This is a great film.",
)
"""Opinions of films, for the model card."""


class IMDBSentimentDataModule(LabelledDataModule):
    """Film reviews that are negative or positive, from the Hub or from a folder in the layout of ``aclImdb/``.

    Validation reviews are drawn from the training reviews; the test split is the data set's own. Reviews without a
    label (``unsup``) are left out.

    Args:
        data_dir: in place of `dataset`, a folder with ``train/neg/*.txt``, ``train/pos/*.txt`` and the same of
            ``test``.
        dataset: id on the Hub, or folder with a copy; by default ``stanfordnlp/imdb`` at a fixed revision.
        dataset_revision: revision of `dataset`.
        encoding: of the files.
    """

    def __init__(
        self,
        data_dir: str | None = None,
        dataset: str | None = None,
        dataset_revision: str | None = None,
        encoding: str = "utf-8",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if data_dir is not None and (dataset or dataset_revision):
            raise InputError(
                f"data.data_dir ({data_dir}) and data.dataset ({dataset}, revision {dataset_revision}) are mutually "
                "exclusive: both say where the reviews are"
            )
        check_encoding(encoding)
        refuse_without("data.data_dir", data_dir, encoding=None if encoding == "utf-8" else encoding)
        revision = dataset_revision or (HUB_REVISION if dataset is None else None)
        self.data_dir, self.encoding, self.hub = data_dir, encoding, (dataset or HUB_ID, revision)

    @property
    def provenance(self) -> list[Provenance]:
        """The data set, or local files."""
        found = describe_dataset(*self.hub, known=[IMDB]) if self.data_dir is None else describe_layout(IMDB)
        return [replace(found, probes=PROBES)]

    def load_labelled(self, splits: Collection[str]) -> dict[str, list[LabelledText]]:
        """Reads the reviews of splits."""
        names = sorted({"test" if split == "test" else "train" for split in splits})
        loaded = {name: self.collect_records(name, partial(self._read, name)) for name in names}
        return loaded | (self.split_off(loaded["train"]) if "train" in loaded else {})

    def _read(self, split: str, on_bad: OnBad) -> Iterator[LabelledText]:
        if self.data_dir is None:
            dataset, revision = self.hub
            yield from load_labelled(dataset, split, Columns(names=LABELS), revision, on_bad=on_bad)
            return
        for label, files in find_reviews(find_place(self.data_dir, "data.data_dir"), split).items():
            for file in files:
                for text in read_texts(file, encoding=self.encoding, on_bad=on_bad):
                    yield LabelledText((str(text),), (label,), str(file))


def find_reviews(folder: Path, split: str) -> dict[str, list[Path]]:
    """The files of a split by label, sorted by name."""
    files = {label: sorted((folder / split / label).glob("*.txt")) for label in LABELS}
    for label, found in files.items():
        if not found:
            raise InputError(f"data.data_dir {folder}: the {split} split needs *.txt files in {folder / split / label}")
    return files
