"""What tasks with labels share: labels of a net and of the data, and class weights."""

from collections.abc import Mapping, Sequence

from lit_mlm.errors import InputError, suggest


def match_labels(names: Sequence[str], labels: Sequence[str], owner: str) -> list[int] | None:
    """Returns the column of each of the data's labels among the net's; None if they are in the same order.

    >>> match_labels(["neg", "pos"], ["pos", "neg"], "net")
    [1, 0]
    """
    if set(names) != set(labels):
        raise InputError(
            f"the {owner} has the labels {', '.join(names) or 'none'}, but the data {', '.join(labels)}; use data "
            f"with the {owner}'s labels, or give the model as model.model to train a new head"
        )
    columns = [names.index(label) for label in labels]
    return None if columns == sorted(columns) else columns


def list_weights(weights: Mapping[str, float] | None, labels: Sequence[str]) -> list[float] | None:
    """Returns the weight of each label, 1 by default; refuses unknown labels."""
    unknown = [name for name in weights or {} if name not in labels]
    if unknown:
        raise InputError(
            f"model.class_weights has {', '.join(unknown)}, not among the labels {', '.join(labels)}"
            f"{suggest(unknown[0], labels)}"
        )
    return None if weights is None else [float(weights.get(label, 1.0)) for label in labels]
