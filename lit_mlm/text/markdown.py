"""Text of users in Markdown, where it stays text."""

import html
import re
from collections.abc import Iterable, Sequence

SPECIAL = re.compile(r"[\\`*_\[\]|~$#!]")


def escape(text: str) -> str:
    r"""Escapes what Markdown or HTML would read as markup; white space, and control characters, become one space.

    >>> print(escape("<b>2 * 3</b> | [a](b)\n& c"))
    &lt;b&gt;2 \* 3&lt;/b&gt; \| \[a\](b) &amp; c
    """
    return html.escape(SPECIAL.sub(r"\\\g<0>", _flatten(text)), quote=False)


def quote_code(text: str) -> str:
    """Formats a text as code in a line.

    >>> quote_code("a`b")
    '``a`b``'
    """
    text = _flatten(text)
    fence = "`" * (_count_ticks(text) + 1)
    space = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{space}{text}{space}{fence}"


def fence_code(text: str, language: str) -> list[str]:
    """Formats a text as a block of code, whatever fences it contains."""
    fence = "`" * max(3, _count_ticks(text) + 1)
    return [f"{fence}{language}", *text.rstrip("\n").split("\n"), fence]


def format_table(rows: Iterable[Sequence[str]], justify: str) -> list[str]:
    """Formats a table; the first row is its header.

    >>> format_table([["type", "F1"], ["MISC", "1.00"]], "<>")
    ['| type | F1 |', '|:---|---:|', '| MISC | 1.00 |']

    Args:
        rows: cells in Markdown, without line breaks; bars are escaped.
        justify: ``<`` (left) or ``>`` (right) for each column.
    """
    header, *others = ["| " + " | ".join(re.sub(r"(?<!\\)\|", r"\|", cell) for cell in row) + " |" for row in rows]
    return [header, "|" + "|".join(":---" if side == "<" else "---:" for side in justify) + "|", *others]


def _flatten(text: str) -> str:
    return " ".join(re.sub(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]", " ", text).split())


def _count_ticks(text: str) -> int:
    """The length of the longest run of backticks."""
    return max(map(len, re.findall("`+", text)), default=0)
