"""Tables as lines of plain text."""

import re
import sys
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text


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
