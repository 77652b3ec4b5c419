"""Options whose values are objects, such as a masking strategy: as plain data for checkpoints, and code as a hash."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import asdict, is_dataclass
from typing import Any

from datasets.fingerprint import Hasher

from lit_mlm.errors import name_class
from lit_mlm.text.masking.strategies import MaskingStrategy

OBJECT_OPTIONS = ("masking", "segmenter", "sources")


def describe_option(value: Any) -> Any:
    """What stands for a value in a checkpoint, which holds plain data alone.

    Returns:
        A strategy's class and attributes; the path of a function, or of another object's class; the attributes of
        each of several sources; anything else, such as what a config has, as it is.
    """
    if isinstance(value, MaskingStrategy):
        return value.describe()
    if isinstance(value, Mapping):
        return {
            name: name_class(part) if name == "class_path" else describe_option(part) for name, part in value.items()
        }
    if not callable(value):
        return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
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
