"""The language reference that every Python carries: real English prose without any download."""

from collections.abc import Collection
from pydoc_data.topics import topics
from typing import Any

from datasets import Dataset

from lit_mlm.data.masked.module import BlocksDataModule
from lit_mlm.data.reading.documents import make_documents
from lit_mlm.options import Part


class PythonDocsDataModule(BlocksDataModule):
    """The topics of ``help()`` from the running Python's `pydoc_data.topics`, a document each.

    The text is that of the user's own installation (PSF licence), so it differs between versions of Python.

    Args:
        test_fraction: share of the topics to test on.
    """

    def __init__(self, test_fraction: Part = 0.1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.test_fraction = test_fraction

    def load_documents(self, splits: Collection[str]) -> dict[str, Dataset]:
        """All three splits of the topics, which are in the order of their names."""
        documents = make_documents([topics[name] for name in sorted(topics)])
        return self.split_off(documents, self.test_fraction)
