"""Injects faults into runs and prints a table of what happened.

    python -m tests.faults
    python -m tests.faults --only SIGTERM

The exit status is 1 if a run answered a fault otherwise than expected. What can't be injected on a machine (mounts need
root) is skipped, with the reason.
"""

import argparse
import importlib
import importlib.util
import sys
import tempfile
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from tests.faults import caches, damage, disks, kills, launchers, ranks, refusals, signals
from tests.faults.runs import Lab
from tests.faults.table import Fault, Row, print_table, run_faults, time_rows

TABLES = ("tests.faults.ranks_table", "tests.faults.resume_table")
"""Modules with a function `rows` that runs a table of its own."""


def make_faults(lab: Lab) -> Iterator[Fault]:
    """All rows, in the order of the table."""
    parts = (kills, signals, launchers, disks, caches, damage, ranks, refusals)
    return chain.from_iterable(part.make_faults(lab) for part in parts)


def run_tables(only: str) -> Iterator[Row]:
    """The rows of the modules in `TABLES`; each is run whole, if its name has the word in it."""
    for name in TABLES:
        if importlib.util.find_spec(name) is not None and only.lower() in name:
            yield from time_rows(importlib.import_module(name).rows())


def main(args: list[str] | None = None) -> int:
    """Runs the suite; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description="Injects faults into runs.")
    parser.add_argument("--only", metavar="WORD", default="", help="the rows whose fault has this word in its name")
    parser.add_argument("--jobs", metavar="N", type=int, default=2, help="rows that run at a time; 2 by default")
    options = parser.parse_args(args)
    with tempfile.TemporaryDirectory(prefix="lit-mlm-faults-") as folder:
        lab = Lab(Path(folder))
        faults = run_faults(make_faults(lab), options.only, options.jobs)
        return print_table(chain(faults, run_tables(options.only)))


if __name__ == "__main__":
    sys.exit(main())
