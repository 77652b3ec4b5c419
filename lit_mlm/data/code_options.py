"""Options whose values are code, a masking strategy or a segmenter: as plain data for checkpoints, and as a hash."""

import inspect
from collections.abc import Callable
from typing import Any

from datasets.fingerprint import Hasher

from lit_mlm.text.strategies import MaskingStrategy

CODE_OPTIONS = ("masking", "segmenter")


def describe_option(value: Any) -> Any:
    """What stands for a value in a checkpoint, which holds plain data alone.

    Returns:
        A strategy's class and attributes; the path of a function, or of another object's class; anything else, such as
        what a config has, as it is.
    """
    if isinstance(value, MaskingStrategy):
        return value.describe()
    if not callable(value):
        return value
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"{named.__module__}.{named.__qualname__}"


def hash_code(value: Callable[..., Any] | None) -> str | None:
    """Changes with the name of a function or class, an object's state and the file that it is written in."""
    if value is None:
        return None
    try:
        source = inspect.getsource(inspect.getmodule(value) or type(value))
    except (OSError, TypeError):  # not of a file
        source = ""
    return str(Hasher.hash([describe_option(value), value, source]))
