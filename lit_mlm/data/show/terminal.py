"""Aligns rows of text over each other, as a terminal shows them."""

from collections.abc import Iterator, Sequence

from rich.cells import cell_len, set_cell_size

INDENT = "  "


def align_rows(rows: Sequence[Sequence[str]], width: int) -> Iterator[str]:
    """Aligns rows in indented columns and wraps all rows together.

    Args:
        rows: texts without control characters, the same number in each row.
        width: of a line, in terminal cells; a wider column gets lines of its own.

    Yields:
        One line per row for each group of columns, without trailing white space.
    """
    columns = list(zip(*rows, strict=True))
    sizes = [max(map(cell_len, column)) for column in columns]
    start = 0
    while start < len(columns):
        end, used = start + 1, len(INDENT) + sizes[start]
        while end < len(columns) and used + 1 + sizes[end] <= width:
            used += 1 + sizes[end]
            end += 1
        for row in rows:
            yield (INDENT + " ".join(map(set_cell_size, row[start:end], sizes[start:end]))).rstrip()
        start = end
