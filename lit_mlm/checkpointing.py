"""What a checkpoint holds beside Lightning's own, what runs are called, and how files reach the disk whole."""

import json
import math
import re
import tempfile
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from zipfile import is_zipfile

import torch

from lit_mlm.errors import InputError, shorten

RECORD = "lit_mlm"
"""The key of our record in a checkpoint: what it takes to restore the net with neither Hub nor first model."""


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Reads a checkpoint without running code from it; tensors stay on disk until they are used.

    Raises:
        InputError: if there is no such file, or lit-mlm did not write it.
    """
    if not Path(path).is_file():
        raise InputError(f"there is no checkpoint {path}")
    try:
        checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (RuntimeError, UnpicklingError, EOFError) as error:  # what torch raises for files that it didn't write
        state = f"damaged ({shorten(error)[:120]})" if is_zipfile(path) else "cut off, or something else"
        raise InputError(f"{path} is not a checkpoint of lit-mlm: it is {state}") from error
    if not isinstance(checkpoint, dict) or RECORD not in checkpoint:
        found = f"the keys {', '.join(sorted(map(str, checkpoint)))}" if isinstance(checkpoint, dict) else "no keys"
        raise InputError(f"{path} is not a checkpoint of lit-mlm: it has {found[:200]}")
    _check_record(path, checkpoint[RECORD])
    return checkpoint


def _check_record(path: str | Path, record: Any) -> None:
    """Refuses a record that lit-mlm did not write, before its values are taken for names and options."""
    kinds = {"auto_class": str, "config": dict, "options": dict, "tokenizer": dict, "results": dict}
    fields = record if isinstance(record, dict) else {}
    wrong = [name for name, kind in kinds.items() if not isinstance(fields.get(name), kind)]
    if not wrong and not re.fullmatch(r"AutoModel\w*", fields["auto_class"]):
        wrong = ["auto_class"]
    files = {} if wrong else fields["tokenizer"]
    if not all(isinstance(name, str) and isinstance(content, torch.Tensor) for name, content in files.items()):
        wrong = ["tokenizer"]
    if wrong:
        raise InputError(f"{path} is not a checkpoint of lit-mlm: its record has a wrong {', '.join(wrong)}")


def refuse_changes(section: str, options: dict[str, Any], saved: dict[str, Any]) -> None:
    """Compares options with those that a checkpoint was made with, and that loading it would silently put in place.

    Args:
        section: where the options stand in a config, for the message.
        options: the options that must not differ, by name.
        saved: the checkpoint's; those that it lacks are not compared.

    Raises:
        InputError: if one differs; the message has both values.
    """
    for name, value in options.items():
        # A YAML or a checkpoint may have made a list of a tuple.
        ours, theirs = (list(v) if isinstance(v, tuple) else v for v in (value, saved.get(name, value)))
        if ours != theirs:
            raise InputError(
                f"{section}.{name} is {ours!r}, but the checkpoint was made with {theirs!r}, which would take its "
                "place; give the checkpoint's value, or start from its hf folder instead"
            )


def name_run(config: Path) -> str:
    """What runs of a config are called: by its file, or, for the ``config.yaml`` of a run, as that run was."""
    if config.name != "config.yaml":
        return config.stem
    folder = config.resolve().parent
    return folder.parent.name if folder.name.startswith("version_") else folder.name


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Writes a JSON file whole or not at all; infinities and NaN become null, which JSON can hold."""
    path.parent.mkdir(parents=True, exist_ok=True)
    finite = {
        key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in content.items()
    }
    text = json.dumps(finite, indent=2, allow_nan=False)  # before the file is there: a failure leaves none
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}-", delete=False) as file:
        file.write(text + "\n")
    Path(file.name).chmod(0o644)
    Path(file.name).replace(path)
