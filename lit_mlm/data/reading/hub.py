"""Data sets from the Hub or from a folder with a copy."""

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from datasets import Dataset, IterableDataset, load_dataset
from datasets.exceptions import DatasetGenerationError, DatasetNotFoundError

from lit_mlm.errors import InputError, shorten, suggest
from lit_mlm.nets.hub import describe, retry
from lit_mlm.upstream import get_http_error

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
        load = partial(load_dataset, dataset, subset, split=split, revision=revision, streaming=streaming)
        loaded = retry(load, get_http_error())
    except DatasetNotFoundError as error:
        found = str(error).rstrip(".")
        if found.startswith("Revision"):
            raise InputError(f"{name}: {found}; data.dataset_revision must be a branch, a tag or a commit") from error
        raise InputError(
            f"{name}: {found}{suggest(dataset, RENAMED.values())}. If it is private or gated, set HF_TOKEN or run hf "
            "auth login; a folder with a copy works too"
        ) from error
    except get_http_error() as error:
        raise InputError(f"{name} can't be downloaded: {describe(error) or shorten(error)}") from error
    except ConnectionError as error:
        raise InputError(
            f"{name}{f', revision {revision},' if revision else ''} is neither a folder nor in the "
            "cache, and the Hub can't be reached: run prepare with these options where it can be, which fills the "
            f"cache (HF_HOME) for a machine without a network, or give a folder with a copy ({error})"
        ) from error
    except DatasetGenerationError as error:
        raise InputError(f"{name} can't be read: {error.__cause__ or error}") from error
    except (FileNotFoundError, ValueError) as error:
        if passing := describe(error):
            raise InputError(f"{name} can't be downloaded: {passing}") from error
        # The message of an unknown split or subset lists the known ones.
        raise InputError(f"{name}: {error}") from error
    except RuntimeError as error:
        if "scripts are no longer supported" not in str(error):
            raise
        raise InputError(
            f"{name} is a loading script, which datasets no longer supports; the Hub may have its data at "
            "data.dataset_revision refs/convert/parquet"
        ) from error
    _check_revision(name, loaded, revision)
    return loaded


def _check_revision(name: str, loaded: Dataset | IterableDataset, revision: str | None) -> None:
    """Refuses another commit than the one that was asked for.

    Without the Hub, `datasets` takes whatever commit is in the cache; the folder of a commit is named after it.
    """
    files = [file["filename"] for file in getattr(loaded, "cache_files", ())]
    if re.fullmatch(r"[0-9a-f]{40}", revision or "") and any("___" in file and revision not in file for file in files):
        raise InputError(
            f"{name}, revision {revision}, is not in the cache, which has {Path(files[0]).parent.name}, and can't be "
            "downloaded: repeat the command where the Hub can be reached"
        )


def iterate_rows(rows: Dataset | IterableDataset) -> Iterator[dict[str, Any]]:
    """Yields the rows of a split.

    Single rows would take several times as long as batches, and `datasets` would split a stream among torch's workers.
    """
    for batch in rows.iter(batch_size=NUM_ROWS):
        for values in zip(*batch.values(), strict=True):
            yield dict(zip(batch, values, strict=True))
