"""Minimal pairs on the command line: reads and prints them, and their accuracy by group."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from lit_mlm.cli.plain import format_json, print_result
from lit_mlm.cli.texts import read_column, refuse
from lit_mlm.errors import InputError
from lit_mlm.inference.pairs import ScoredPair, measure_accuracy

if TYPE_CHECKING:
    from lit_mlm.data.reading.readers import Row

GROUPS = ("field", "linguistics_term", "phenomenon", "UID")
"""Columns of BLiMP and of data sets like it, by whose values the accuracy is given too."""


class Pair(NamedTuple):
    """The sentences of a minimal pair, and its values of `GROUPS`."""

    good: str
    bad: str
    groups: dict[str, str]


def read_pairs(paths: Sequence[str], encoding: str) -> list[Pair]:
    """Reads minimal pairs, at least one."""
    # Lazy, as texts on the command line need no data readers.
    from lit_mlm.data.reading.files import check_encoding, find_files, get_kind
    from lit_mlm.data.reading.readers import read_rows

    check_encoding(encoding, "--encoding")
    files = find_files(paths, "--pairs")
    for file in files:
        if get_kind(file) == ".txt":
            raise InputError(f"--pairs {file} must have columns, good and bad: use .jsonl, .csv, .tsv or .parquet")
    pairs = [_read_pair(row) for file in files for row in read_rows(file, encoding, on_bad=refuse)]
    if not pairs:
        raise InputError(f"--pairs {paths[0]} has no pair")
    return pairs


def _read_pair(row: "Row") -> Pair:
    prefix = "sentence_" if "sentence_good" in row.fields else ""
    good, bad = (read_column(row, f"{prefix}{name}") for name in ("good", "bad"))
    return Pair(good, bad, {name: str(row.fields[name]) for name in GROUPS if row.fields.get(name) is not None})


def print_pairs(pairs: Sequence[Pair], scored: Iterable[ScoredPair], as_json: bool) -> Iterator[str]:
    """Prints scored pairs, and yields which sentence of each is preferred."""
    if not as_json:
        print_result(f"preferred{'good':>10}{'bad':>10}  good sentence")
    for index, (pair, scores) in enumerate(zip(pairs, scored, strict=True)):
        record = {"index": index, "good": pair.good, "bad": pair.bad} | pair.groups
        found = {"good_score": scores.good, "bad_score": scores.bad, "preferred": scores.preferred}
        line = f"{scores.preferred:9}{scores.good:10.2f}{scores.bad:10.2f}  {' '.join(pair.good.split())}"
        print_result(format_json(record | found) if as_json else line)
        yield scores.preferred


def measure_groups(pairs: Sequence[Pair], preferred: Iterable[str]) -> dict[str, Any]:
    """Returns the metrics of `measure_accuracy`, and under ``groups`` those of each value of each of `GROUPS`."""
    grouped: dict[str, dict[str, list[str]]] = {}
    found = list(preferred)
    for pair, which in zip(pairs, found, strict=True):
        for name, value in pair.groups.items():
            grouped.setdefault(name, {}).setdefault(value, []).append(which)
    groups = {
        name: {value: measure_accuracy(members) for value, members in values.items()}
        for name, values in grouped.items()
    }
    return measure_accuracy(found) | ({"groups": groups} if groups else {})


def tabulate_accuracy(metrics: dict[str, Any]) -> list[list[str]]:
    """Lays out the metrics of `measure_groups` as rows: all pairs, then each group."""
    grouped = metrics.get("groups", {}).items()
    groups = [(name, value, found) for name, values in grouped for value, found in values.items()]
    rows = [["", "", "pairs", "ties", "accuracy", "95 % interval"]]
    for name, value, found in [("all", "", metrics), *groups]:
        interval = f"{found['accuracy_low']:.4f} to {found['accuracy_high']:.4f}"
        counts = [f"{found[key]:,}" for key in ("num_pairs", "num_ties")]
        rows.append([name, value, *counts, f"{found['accuracy']:.4f}", interval])
    return rows
