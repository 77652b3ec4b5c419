"""What a user may have meant by the name or the value of an option that there is not."""

import difflib
from collections.abc import Collection, Iterable, Sequence

from lit_mlm.errors import suggest

RENAMED = {"data.overlap": "data.stride", "data.context_pieces": "data.context_tokens"}
"""Options that have another name now."""

RENAMED_VALUES = {("data.block_policy", "stream"): "concatenate"}
"""Values of options that are spelt differently now."""


def suggest_option(name: str, siblings: Iterable[str], valid: Collection[str], dashes: str = "") -> str:
    """`suggest` for the full name of an option: of its own section, else of any.

    Args:
        name: what was found.
        siblings: the full names of the options of its section; none if there is no such section.
        valid: the full names of all options.
        dashes: before names on the command line.
    """
    if name in RENAMED:
        return f"; it is {dashes}{RENAMED[name]} now"
    last = name.rpartition(".")[2]
    own = {full.rpartition(".")[2]: full for full in siblings}
    by_last = {full.rpartition(".")[2]: full for full in sorted(valid, key=len, reverse=True)}
    # Compared in full, two names of one section are near for their section alone.
    first = (last, own, 0.6) if own else (name, {full: full for full in valid}, 0.6)
    # Within a section that is right, the name of another one's option must be right too.
    for part, table, cutoff in (first, (last, by_last, 1.0 if own else 0.6)):
        if near := [match for match in difflib.get_close_matches(part, table, 1, cutoff) if table[match] != name]:
            return f"; did you mean {dashes}{table[near[0]]}?"
    return ""


def suggest_value(key: str, found: str, choices: Sequence[str]) -> str:
    """`suggest` for the value of an option.

    Args:
        key: the option's full name.
        found: its value.
        choices: the values that it may have.
    """
    new = RENAMED_VALUES.get((key, found))
    return f"; it is {new} now" if new else suggest(found, choices)
