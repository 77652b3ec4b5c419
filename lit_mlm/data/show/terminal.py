"""Rows of text over each other in aligned columns, as a terminal shows them."""

import unicodedata
from collections.abc import Iterator, Sequence

INDENT = "  "


def measure_cells(text: str) -> int:
    """The cells of a terminal that a text takes.

    East Asian wide and full-width characters take two (Unicode Standard Annex 11), combining marks and format
    characters none, all others one.

    Args:
        text: without control characters.
    """
    return sum(_measure_character(character) for character in text)


def align_rows(rows: Sequence[Sequence[str]], width: int) -> Iterator[str]:
    """Rows in columns, indented; what doesn't fit into a line is continued below, all rows together.

    Args:
        rows: texts, as many in each row.
        width: cells of a line; a wider column is by itself.

    Yields:
        The lines: for each part as many as there are rows, without white space at their ends.
    """
    columns = list(zip(*rows, strict=True))
    sizes = [max(map(measure_cells, column)) for column in columns]
    start = 0
    while start < len(columns):
        end, used = start + 1, len(INDENT) + sizes[start]
        while end < len(columns) and used + 1 + sizes[end] <= width:
            used += 1 + sizes[end]
            end += 1
        for row in rows:
            cells = zip(row[start:end], sizes[start:end], strict=True)
            yield (INDENT + " ".join(text + " " * (size - measure_cells(text)) for text, size in cells)).rstrip()
        start = end


def _measure_character(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1
