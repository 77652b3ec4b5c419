"""The Python language reference: English prose without a download."""

import platform
from collections.abc import Collection
from pydoc_data.topics import topics
from typing import Any

from datasets import Dataset

from lit_mlm.data.masked.module import BlocksDataModule
from lit_mlm.data.reading.documents import make_documents
from lit_mlm.data.reading.provenance import Provenance
from lit_mlm.options import Part

PROBES = (
    "New in [MASK] 3.8.",
    "This method should return the [MASK] of the object.",
    "The for statement is used to iterate over the [MASK] of a sequence.",
)


class PythonDocsDataModule(BlocksDataModule):
    """The ``help()`` topics of the running Python (`pydoc_data.topics`, PSF licence), one document each.

    The text differs between versions of Python.

    Args:
        test_fraction: fraction of the topics to test on.

    Examples:
        >>> PythonDocsDataModule(test_fraction=0.5).load_documents(["train"])["train"].column_names
        ['text']
    """

    def __init__(self, test_fraction: Part = 0.1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.test_fraction = test_fraction

    @property
    def provenance(self) -> list[Provenance]:
        """The topics of the running Python."""
        name = f"the help topics of Python {platform.python_version()} (its language reference)"
        return [Provenance(name, licence="Python Software Foundation License", languages=("en",), probes=PROBES)]

    def load_documents(self, splits: Collection[str]) -> dict[str, Dataset]:
        """Splits the topics, sorted by name."""
        documents = make_documents([topics[name] for name in sorted(topics)])
        return self.split_off(documents, self.test_fraction)
