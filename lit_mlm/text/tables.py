"""Numbers, lines and tables of plain text."""

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

MAX_WIDTH = 100
"""How many columns the lines of a run take."""


def format_number(value: float | None) -> str:
    """Formats a number with the digits that matter; None, which is JSON's infinity, as ``inf``.

    >>> format_number(4275.941), format_number(0.261234), format_number(None)
    ('4,275.94', '0.2612', 'inf')
    """
    if value is None:
        return "inf"
    return f"{value:,.2f}" if abs(value) >= 100 else f"{value:.4g}"


def format_metrics(metrics: Mapping[str, Any], names: Iterable[str]) -> str:
    """Formats those of the named metrics that there are, with the interval of one that has ``_low`` and ``_high``.

    >>> format_metrics({"f1": 0.85121, "f1_low": 0.8301, "f1_high": 0.8714, "recall": 1.0}, ["f1", "recall"])
    'f1 0.8512 (0.830-0.871), recall 1'
    """
    parts = []
    for name in (name for name in names if name in metrics):
        ends = [metrics[f"{name}_{end}"] for end in ("low", "high") if metrics.get(f"{name}_{end}") is not None]
        interval = f" ({'-'.join(f'{end:,.1f}' if end >= 10 else f'{end:.3f}' for end in ends)})" if ends else ""
        parts.append(f"{name} {format_number(metrics[name])}{interval}")
    return ", ".join(parts)


def shorten_middle(text: str, length: int = 240) -> str:
    """Leaves out the middle of a text that is longer than `length` characters, between words where there are any.

    >>> shorten_middle("It begins well and ends badly.", 18)
    'It … badly.'
    """
    if len(text) <= length:
        return text
    start, end = text[: length // 2], text[len(text) - length // 2 :]
    return f"{start.rsplit(maxsplit=1)[0] if ' ' in start.strip() else start} … {end.split(maxsplit=1)[-1]}"


def format_table(rows: Iterable[Sequence[str]], justify: str) -> list[str]:
    """Aligns columns by the width of their characters on a terminal, however wide the lines become.

    >>> format_table([["type", "F1"], ["MISC", "1.0000"]], "<>")
    ['type      F1', 'MISC  1.0000']

    Args:
        rows: cells, printed literally; tabs and line breaks become spaces.
        justify: ``<`` (left) or ``>`` (right) for each column.
    """
    table = Table.grid(padding=(0, 2))
    for side in justify:
        table.add_column(justify="left" if side == "<" else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(re.sub(r"\s", " ", cell)) for cell in row))
    console = Console(width=sys.maxsize, force_jupyter=False)
    return ["".join(segment.text for segment in line).rstrip() for line in console.render_lines(table, pad=False)]
