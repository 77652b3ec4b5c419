"""ELI5: questions and long answers from Reddit (Fan et al. 2019, "ELI5: Long form question answering", ACL)."""

import re
from collections.abc import Collection, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, NoReturn

from datasets import Dataset

from lit_mlm.data.masked.module import BlocksDataModule
from lit_mlm.data.reading.corpus import Corpus
from lit_mlm.data.reading.files import COMPRESSIONS, BadRecordError, OnBad, find_place, map_records
from lit_mlm.data.reading.provenance import Provenance, describe_dataset, describe_layout
from lit_mlm.data.reading.readers import PlacedText, Row, is_whole, read_rows
from lit_mlm.errors import InputError
from lit_mlm.options import Part, Range

HUB_ID = "dany0407/eli5_category"
ELI5 = Provenance(
    "ELI5-Category",
    HUB_ID,
    languages=("en",),
    citation='Fan et al. 2019, "ELI5: Long form question answering", ACL',
    probes=("The Milky Way is a [MASK] galaxy.", "Your body needs [MASK] to make energy.", "The [MASK] is very hot."),
)
SUFFIXES = tuple(f"{kind}{compression}" for kind in (".json", ".jsonl") for compression in ("", *COMPRESSIONS))


class ELI5DataModule(BlocksDataModule):
    """Questions and answers from Reddit: all answers to a question, joined by spaces, form one document.

    Reads ELI5-Category, the older ELI5 with answers in ``answers.text``, and pairs of ``question`` and ``answer`` as in
    ``sentence-transformers/eli5``. Validation text is split off the training text by question.

    Args:
        data_dir: in place of `dataset`, a training file or a folder with one file per split, whose name contains the
            split: ``.json`` arrays or ``.jsonl``, compressed or not.
        train_split: split to train on; of the older ELI5 ``train_eli5`` or ``train_asks``.
        test_split: split to test on.
        num_examples: trains and validates on the first this many questions; None takes all.
        val_fraction: fraction of them to validate on.
        dataset: id on the Hub, or folder with a copy; by default ``dany0407/eli5_category``.
        dataset_revision: revision of `dataset`.
        encoding: of the files.
        skip_bad: skips files, lines and rows that are unreadable or without text, and reports their number.
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
        if train_split == test_split != "test":  # the default; `load_documents` refuses to test on it
            self._refuse_same_split(train_split)
        self.data_dir, self.num_examples = data_dir, num_examples
        self.train_split, self.test_split = train_split, test_split

    @property
    def provenance(self) -> list[Provenance]:
        """The data set, or local files."""
        if self.data_dir is not None:
            return [describe_layout(ELI5)]
        return [describe_dataset(self.corpus.dataset or HUB_ID, self.corpus.dataset_revision, known=[ELI5])]

    def load_documents(self, splits: Collection[str]) -> dict[str, Dataset]:
        """Reads the answers of splits."""
        documents: dict[str, Dataset] = {}
        if "test" in splits:
            if self.train_split == self.test_split:
                self._refuse_same_split(self.train_split)
            if self.data_dir is not None and Path(self.data_dir).expanduser().is_file():
                raise InputError(f"data.data_dir {self.data_dir} is a training file; to test, give a folder")
            documents["test"] = self.collect_documents("test", partial(self._read, self.test_split))
        if {"train", "val"} & set(splits):
            train = self.collect_documents("train", partial(self._read, self.train_split, num=self.num_examples))
            documents = self.split_off(train) | documents
        return documents

    @staticmethod
    def _refuse_same_split(split: str) -> NoReturn:
        raise InputError(f"data.train_split and data.test_split are both {split}; they must differ")

    def _read(self, split: str, on_bad: OnBad, num: int | None = None) -> Iterator[str]:
        if self.data_dir is not None:
            file = find_file(find_place(self.data_dir, "data.data_dir"), split)
            rows = read_rows(file, self.corpus.encoding, on_bad=on_bad)
        else:
            dataset = self.corpus.dataset or HUB_ID
            rows = self.corpus.read_hub(dataset, strip_separators(split) if dataset == HUB_ID else split)
        return islice(map_records(join_answers, rows, on_bad), num)


def find_file(folder: Path, split: str) -> Path:
    """The file of a split: the only one in the folder whose name contains the split, or `folder` if it is a file."""
    if folder.is_file():
        return folder
    wanted = strip_separators(split)
    files = sorted(f for f in folder.glob("*") if f.name.endswith(SUFFIXES) and wanted in strip_separators(f.name))
    if len(files) != 1:
        found = ", ".join(file.name for file in files) or "none"
        raise InputError(f"data.data_dir {folder} needs one *{split}*.json or .jsonl file (or .gz), found {found}")
    return files[0]


def strip_separators(name: str) -> str:
    """A name of a split as the Hub has it (``validation2``), where files have a hyphen (``validation-2``)."""
    return name.replace("-", "").replace("_", "") if re.fullmatch(r".*validation[-_]?\d.*", name) else name


def join_answers(row: Row) -> str:
    """The answers of a record, in any of the published layouts, joined by spaces."""
    answers = row.fields.get("answers", row.fields.get("answers.text", row.fields.get("answer")))
    if isinstance(answers, dict):  # lists by column, as on the Hub
        answers = answers.get("text")
    if isinstance(answers, str):  # a pair of question and answer
        answers = [answers]
    if isinstance(answers, list):
        texts = [answer.get("text") if isinstance(answer, dict) else answer for answer in answers]
        if all(isinstance(text, str) and is_whole(text) for text in texts):
            return PlacedText(" ".join(map(str, texts)), row.place)
    found = f"{answers!r:.80} in the columns {', '.join(row.fields)}"
    raise BadRecordError(f"{row.place}: answers.text or answer must be text, got {found}")
