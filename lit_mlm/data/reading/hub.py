"""Data sets from the Hub or from a folder with a copy."""

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
"""Current ids of data sets whose old ids are loading scripts, which `datasets` no longer runs."""

NUM_ROWS = 100  # read at a time


def load_split(
    dataset: str, split: str, revision: str | None = None, subset: str | None = None, streaming: bool = False
) -> Dataset | IterableDataset:
    """Loads a split.

    Args:
        dataset: id on the Hub, or folder.
        split: its name there.
        revision: of an id on the Hub.
        subset: configuration of the data set, if it has several.
        streaming: reads rows on demand and stores nothing on disk.
    """
    name = f"data.dataset {dataset}"
    if dataset in RENAMED and not Path(dataset).is_dir():
        raise InputError(f"{name} is a loading script, which datasets no longer supports; use {RENAMED[dataset]}")
    try:
        loaded = load_dataset(dataset, subset, split=split, revision=revision, streaming=streaming)
    except DatasetNotFoundError as error:
        raise InputError(
            f"{name}: {error}. If it is private, set HF_TOKEN or run hf auth login; a folder with a copy works too"
        ) from error
    except ConnectionError as error:
        raise InputError(
            f"{name}{f', revision {revision},' if revision else ''} is neither a folder nor in the "
            "cache, and the Hub can't be reached: run prepare with these options where it can be, which fills the "
            f"cache (HF_HOME) for a machine without a network, or give a folder with a copy ({error})"
        ) from error
    except DatasetGenerationError as error:
        raise InputError(f"{name} can't be read: {error.__cause__ or error}") from error
    except (FileNotFoundError, ValueError) as error:  # the message of an unknown split or subset lists the known ones
        raise InputError(f"{name}: {error}") from error
    except RuntimeError as error:
        if "scripts are no longer supported" not in str(error):
            raise
        raise InputError(
            f"{name} is a loading script, which datasets no longer supports; the Hub may have its data at "
            "data.dataset_revision refs/convert/parquet"
        ) from error
    return loaded


def iterate_rows(rows: Dataset | IterableDataset) -> Iterator[dict[str, Any]]:
    """Yields the rows of a split.

    Single rows would take several times as long as batches, and `datasets` would split a stream among torch's workers.
    """
    for batch in rows.iter(batch_size=NUM_ROWS):
        for values in zip(*batch.values(), strict=True):
            yield dict(zip(batch, values, strict=True))
