"""The table of the fault suite: a row says what was injected, what was expected and what happened."""

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass


class Skipped(Exception):  # noqa: N818 (it is no error)
    """Raised where a fault can't be injected on this machine; the message says why."""


@dataclass(frozen=True)
class Fault:
    """A row.

    Attributes:
        injected: the fault.
        expected: how a run answers it.
        check: injects it and says what happened; it raises where that is something else, `Skipped` where it can't.
    """

    injected: str
    expected: str
    check: Callable[[], str]


@dataclass(frozen=True)
class Row:
    """A row that has been run.

    Attributes:
        injected: the fault.
        expected: how a run answers it.
        happened: what it did.
        seconds: that the row took.
        state: ``ok``, ``skipped`` or ``FAILED``.
    """

    injected: str
    expected: str
    happened: str
    seconds: float
    state: str

    def __str__(self) -> str:
        cells = (self.injected, self.expected, self.happened, f"{self.seconds:.0f}", self.state)
        return f"| {' | '.join(' '.join(cell.split()).replace('|', '/') for cell in cells)} |"


def run_faults(faults: Iterable[Fault], only: str = "", num_jobs: int = 1) -> Iterator[Row]:
    """Injects faults, and gives the rows in their order.

    Args:
        faults: the rows.
        only: a part of what is injected, in any case; those without it are left out.
        num_jobs: how many are injected at a time.
    """
    with ThreadPoolExecutor(num_jobs) as pool:
        yield from pool.map(run_fault, [fault for fault in faults if only.lower() in fault.injected.lower()])


def run_fault(fault: Fault) -> Row:
    """Injects a fault; a row that can't be run to its end has failed."""
    start = time.monotonic()
    try:
        happened, state = fault.check(), "ok"
    except Skipped as reason:
        happened, state = f"skipped: {reason}", "skipped"
    except Exception as error:  # whatever it is, the other rows are run
        happened, state = f"{type(error).__name__}: {error}", "FAILED"
    return Row(fault.injected, fault.expected, happened, time.monotonic() - start, state)


def time_rows(rows: Iterable[tuple[str, str, str, bool]]) -> Iterator[Row]:
    """Rows of a table that is run as it is read: injected, expected, happened, and whether that is right."""
    start = time.monotonic()
    for injected, expected, happened, is_right in rows:
        yield Row(injected, expected, happened, time.monotonic() - start, "ok" if is_right else "FAILED")
        start = time.monotonic()


def print_table(rows: Iterable[Row]) -> int:
    """Prints rows as they come; returns the exit status: 0, 1 if one failed, 2 if there is none."""
    print("| injected | expected | happened | s |  |\n|---|---|---|---|---|", flush=True)
    states, start = [], time.monotonic()
    for row in rows:
        print(row, flush=True)
        states.append(row.state)
    counts = ", ".join(f"{states.count(state)} {state}" for state in ("ok", "skipped", "FAILED"))
    print(f"\n{len(states)} faults in {time.monotonic() - start:.0f} s: {counts}", flush=True)
    return 2 if not states else int("FAILED" in states)
