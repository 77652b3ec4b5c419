"""Data sets from the Hub, or from a folder that holds a copy of one."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from datasets import Dataset, IterableDataset, load_dataset
from datasets.exceptions import DatasetGenerationError, DatasetNotFoundError

from lit_mlm.errors import InputError

RENAMED = {
    "imdb": "stanfordnlp/imdb",
    "conll2003": "lhoestq/conll2003",
    "eli5": "dany0407/eli5_category",
    "eli5_category": "dany0407/eli5_category",
}
"""Old ids, whose loading scripts `datasets` no longer runs, and where the same data is today."""

NUM_ROWS = 100
"""Rows that are read at a time."""


def load_split(
    dataset: str, split: str, revision: str | None = None, subset: str | None = None, streaming: bool = False
) -> Dataset | IterableDataset:
    """Loads one split.

    Args:
        dataset: id on the Hub, or folder.
        split: its name there.
        revision: of an id on the Hub.
        subset: the name of the configuration, where the data set has several.
        streaming: copies nothing to the disk; the rows are read when they are asked for.

    Raises:
        InputError: if there is no such data set, subset or split, or the Hub can't be reached.
    """
    name = f"data.dataset {dataset}"
    if dataset in RENAMED and not Path(dataset).is_dir():
        raise InputError(f"{name} is a script, which can't be loaded any more; today's id is {RENAMED[dataset]}")
    try:
        loaded = load_dataset(dataset, subset, split=split, revision=revision, streaming=streaming)
    except DatasetNotFoundError as error:
        raise InputError(
            f"{name}: {error}. For a private one set HF_TOKEN or run hf auth login; a folder with a copy will do too"
        ) from error
    except ConnectionError as error:
        raise InputError(
            f"{name} is neither a folder here nor in the cache, and the Hub can't be reached; give a folder with a "
            f"copy, or connect to the network ({error})"
        ) from error
    except FileNotFoundError as error:
        raise InputError(f"{name}: {error}") from error
    except DatasetGenerationError as error:
        raise InputError(f"{name} can't be read: {error.__cause__ or error}") from error
    except ValueError as error:  # an unknown split or subset: the message has those that there are
        raise InputError(f"{name}: {error}") from error
    except RuntimeError as error:
        if "scripts are no longer supported" not in str(error):
            raise
        raise InputError(
            f"{name} is a script, which can't be loaded any more; the Hub may have a copy of its data at "
            "data.dataset_revision refs/convert/parquet"
        ) from error
    return loaded


def iterate_rows(rows: Dataset | IterableDataset) -> Iterator[dict[str, Any]]:
    """The rows of a split by column.

    One by one it would take several times as long, and `datasets` would deal a stream's to torch's workers once more.
    """
    for batch in rows.iter(batch_size=NUM_ROWS):
        for values in zip(*batch.values(), strict=True):
            yield dict(zip(batch, values, strict=True))
