"""What the weights of a net were made from, without the path of a machine."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict

import yaml
from huggingface_hub.repocard import metadata_load

HUB_ID = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")


class Origin(TypedDict):
    """The origin of weights.

    `name` is the model's, None from scratch; `revision` its revision; `hub_id` its id on the Hub, or that of the model
    that a local one was trained from; `is_local` whether it was a folder.
    """

    name: str | None
    revision: str | None
    hub_id: str | None
    is_local: bool


def describe_origin(options: Mapping[str, Any]) -> Origin:
    """Describes the origin of a net by its options `model` and `revision`.

    >>> describe_origin({"model": "distilbert-base-uncased", "revision": None})["hub_id"]
    'distilbert-base-uncased'
    """
    model, revision = options.get("model"), options.get("revision")
    if model is None:
        return Origin(name=None, revision=None, hub_id=None, is_local=False)
    folder = Path(model).expanduser()
    if folder.exists() or not HUB_ID.fullmatch(model):
        card, config = (_read(folder / name) for name in ("README.md", "config.json"))
        name = config.get("_name_or_path") if folder.name != "hf" else None
        base = card.get("base_model")
        return Origin(
            name=name if _is_id(name) else name_folder(folder),
            revision=None,
            hub_id=base if _is_id(base) else None,
            is_local=True,
        )
    return Origin(name=model, revision=revision, hub_id=model, is_local=False)


def name_folder(folder: Path) -> str:
    """The name of a model in a folder: of a run, in whose ``hf`` it is, or of the folder itself.

    >>> name_folder(Path("/home/ada/runs/imdb/version_0/hf")), name_folder(Path("models/bert"))
    ('imdb/version_0', 'bert')
    """
    folder = folder.resolve()
    if folder.name != "hf":
        return folder.name
    run = folder.parent
    return f"{run.parent.name}/{run.name}" if run.name.startswith("version_") else run.name


def _is_id(name: Any) -> bool:
    return isinstance(name, str) and HUB_ID.fullmatch(name) is not None


def _read(path: Path) -> dict[str, Any]:
    """The metadata of a card, or a config; empty where there is none that can be read."""
    try:
        found = json.loads(path.read_text(encoding="utf-8")) if path.suffix == ".json" else metadata_load(path)
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return found if isinstance(found, dict) else {}
