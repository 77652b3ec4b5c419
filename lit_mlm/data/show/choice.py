"""Chooses the texts to show."""

from collections.abc import Sequence

from lit_mlm.errors import InputError


def choose_examples(
    split: str,
    kind: str,
    num: int,
    indices: Sequence[int] | None,
    num_examples: int | None,
    order: Sequence[int] | None = None,
) -> Sequence[int]:
    """Returns the indices of the texts to show.

    Args:
        split: name of the split, for messages.
        kind: ``documents`` or ``sentences``, for messages.
        num: number of texts.
        indices: requested indices, in [0, num).
        num_examples: instead of `indices`, the number of texts from the start, at least 1; 3 by default.
        order: of all texts; by default their own.
    """
    if indices is not None and num_examples is not None:
        raise InputError(
            f"--indices and --num_examples are mutually exclusive: the first selects {kind} by index, the second "
            f"the first {num_examples}"
        )
    if num_examples is not None and num_examples < 1:
        raise InputError(f"--num_examples must be at least 1, got {num_examples}")
    if indices is None:
        return (range(num) if order is None else order)[: num_examples or 3]
    for index in indices:
        if not 0 <= index < num:
            raise InputError(f"--indices {index}: the {split} split has {num} {kind}, numbered from 0 to {num - 1}")
    return indices
