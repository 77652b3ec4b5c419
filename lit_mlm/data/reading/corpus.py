"""The documents of a corpus in files or on the Hub; bad records are refused or skipped."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from datasets import Dataset

from lit_mlm.data.reading.files import SKIP_ADVICE, BadRecordError, OnBad, check_encoding
from lit_mlm.data.reading.hub import iterate_rows, load_split
from lit_mlm.data.reading.readers import PlacedText, Row, require_column
from lit_mlm.data.reading.reports import warn
from lit_mlm.data.reading.text_cache import TEXTS, store_texts
from lit_mlm.errors import InputError


class Corpus:
    """The location of documents; the arguments are options of the data modules.

    Args:
        cache_dir: folder for the extracted text.
        dataset: id on the Hub, or folder with a copy; None for files or the data module's default.
        dataset_revision: of `dataset`.
        encoding: of the files.
        skip_bad: skips bad records.
    """

    def __init__(
        self,
        cache_dir: Path,
        dataset: str | None = None,
        dataset_revision: str | None = None,
        encoding: str = "utf-8",
        skip_bad: bool = False,
    ) -> None:
        check_encoding(encoding)
        if dataset is not None and encoding != "utf-8":
            raise InputError(f"data.encoding {encoding} has no effect on data.dataset, which is not a text file")
        self.dataset, self.dataset_revision = dataset, dataset_revision
        self.encoding, self.skip_bad = encoding, skip_bad
        self._folder = cache_dir / TEXTS
        self._num_skipped: dict[str, int] = {}

    def collect_metadata(self) -> dict[str, int]:
        """The number of skipped files, lines and rows in all text read so far, for the metrics of a split."""
        return {"num_skipped": sum(self._num_skipped.values())} if self._num_skipped else {}

    def exclude(self, option: str, value: object) -> None:
        """Rejects another location of the text beside `dataset`."""
        if value is not None and (self.dataset is not None or self.dataset_revision is not None):
            raise InputError(
                f"data.{option} ({value}) and data.dataset ({self.dataset}, revision {self.dataset_revision}) are "
                "mutually exclusive: both say where the text is"
            )

    def collect(
        self, source: str, read: Callable[[OnBad], Iterable[str]], report: dict[str, list[BadRecordError]] | None = None
    ) -> Dataset:
        """Stores the texts of a source on disk.

        Args:
            source: its name, for the report and warnings.
            read: yields documents and passes bad records to its argument.
            report: collects the bad records of the source, which are then neither refused nor warned about.
        """
        is_first, bad = source not in self._num_skipped, list[BadRecordError]()
        self._num_skipped[source] = 0

        def on_bad(record: BadRecordError) -> None:
            if report is None and not self.skip_bad:
                raise InputError(f"{record}; {SKIP_ADVICE}") from record
            self._num_skipped[source] += 1
            if report is not None or not bad:
                bad.append(record)

        texts = read(on_bad)
        if report is not None:
            numbered = enumerate(texts)
            texts = (PlacedText(text, getattr(text, "place", f"{source}, document {i}")) for i, text in numbered)
        documents = store_texts(texts, self._folder, with_places=report is not None)
        if report is not None:
            report[source] = bad
        elif bad and is_first:
            warn("%s: bad records skipped: %d, the first: %s", source, self._num_skipped[source], bad[0])
        if not len(documents):
            raise InputError(f"the {source} text is empty" + (f": {bad[0]}" if bad else ""))
        return documents

    def read_hub(
        self,
        dataset: str,
        split: str,
        revision: str | None = None,
        subset: str | None = None,
        column: str | None = None,
    ) -> Iterator[Row]:
        """The rows of a split on the Hub or of a local copy.

        Args:
            dataset: as in `load_split`.
            split: as in `load_split`.
            revision: default, overridden by `dataset_revision`.
            subset: as in `load_split`.
            column: the only column to read, which must exist; by default all.
        """
        rows = load_split(dataset, split, self.dataset_revision or revision, subset)
        require_column(f"{dataset}, {split}", rows.column_names, column)
        wanted = rows if column is None else rows.select_columns([column])  # does not decode images in others
        for number, fields in enumerate(iterate_rows(wanted), start=1):
            yield Row(f"{dataset}, {split}, row {number}", fields)
