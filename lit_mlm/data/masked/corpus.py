"""Documents from local files or from the Hub."""

import logging
from collections.abc import Iterable, Iterator
from typing import Any

from datasets import Dataset

from lit_mlm.data.masked.module import BlocksDataModule
from lit_mlm.data.reading.files import Problem, check_encoding, sift
from lit_mlm.data.reading.hub import iterate_rows, load_split
from lit_mlm.data.reading.readers import PlacedText, Row, require_column
from lit_mlm.data.reading.text_cache import TEXTS, store_texts
from lit_mlm.errors import InputError

log = logging.getLogger(__name__)


class CorpusDataModule(BlocksDataModule):
    """Reads documents, and refuses what can't be read or leaves it out.

    Args:
        dataset: id on the Hub, or a folder with a copy of it.
        dataset_revision: of `dataset`.
        encoding: of the files.
        skip_bad: leaves out files, lines and rows that can't be read or hold no text, and says how many, in place of
            an error at the first.
    """

    def __init__(
        self,
        dataset: str | None = None,
        dataset_revision: str | None = None,
        encoding: str = "utf-8",
        skip_bad: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_encoding(encoding)
        if dataset is not None and encoding != "utf-8":
            raise InputError(f"data.encoding {encoding} has no effect on data.dataset, which is no text file")
        self.save_hyperparameters(logger=False)
        self._num_skipped: dict[str, int] = {}

    def facts(self, split: str) -> dict[str, float | int | str]:
        """Adds how many files, lines and rows of all that was read were left out."""
        return super().facts(split) | {"num_skipped": sum(self._num_skipped.values())}

    def exclude_dataset(self, option: str, value: object) -> None:
        """Refuses another place for the text beside `dataset`."""
        dataset, revision = self.hparams["dataset"], self.hparams["dataset_revision"]
        if value is not None and (dataset is not None or revision is not None):
            raise InputError(
                f"data.{option} ({value}) and data.dataset ({dataset}, revision {revision}) exclude each other: "
                "both say where the text is"
            )

    def collect_documents(self, source: str, texts: Iterable[str | Problem]) -> Dataset:
        """Keeps the texts of a source on disk, which is named in the report of what is left out.

        Raises:
            InputError: at the first problem, unless they are skipped, or if there is no text at all.
        """
        is_report, is_first = self.problems is not None, source not in self._num_skipped
        problems: list[Problem] = []
        self._num_skipped[source] = 0

        def note(problem: Problem) -> None:
            self._num_skipped[source] += 1
            if is_report or not problems:
                problems.append(problem)

        good = sift(texts, note if is_report or self.hparams["skip_bad"] else None)
        if is_report:
            good = (PlacedText(text, getattr(text, "place", f"{source}, document {i}")) for i, text in enumerate(good))
        documents = store_texts(good, self._cache_dir / TEXTS, with_places=is_report)
        if self.problems is not None:
            self.problems[source] = problems
        elif problems and is_first and (self.trainer is None or self.trainer.is_global_zero):
            number = self._num_skipped[source]
            log.warning("%s: %d left out, the first: %s", source, number, problems[0].message)
        if not len(documents):
            raise InputError(f"the {source} text is empty" + (f": {problems[0].message}" if problems else ""))
        return documents

    def read_hub(
        self,
        dataset: str,
        split: str,
        revision: str | None = None,
        subset: str | None = None,
        column: str | None = None,
    ) -> Iterator[Row]:
        """The rows of a split on the Hub, by default at a revision, or of a copy of it.

        Args:
            dataset: as of `load_split`.
            split: as of `load_split`.
            revision: in place of which `data.dataset_revision` stands, where it is given.
            subset: as of `load_split`.
            column: the one that is read, which must be there; by default all are.

        Raises:
            InputError: if there is no such data set or column.
        """
        rows = load_split(dataset, split, self.hparams["dataset_revision"] or revision, subset)
        require_column(f"{dataset}, {split}", rows.column_names, column)
        wanted = rows if column is None else rows.select_columns([column])  # others may hold images, to be decoded
        for number, fields in enumerate(iterate_rows(wanted), start=1):
            yield Row(f"{dataset}, {split}, row {number}", fields)
