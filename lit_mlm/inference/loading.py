"""Loads a net and its tokenizer for inference."""

from pathlib import Path
from typing import Any

from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from lit_mlm.errors import InputError
from lit_mlm.nets import pretrained
from lit_mlm.nets.loading import loading
from lit_mlm.nets.remote_code import load_code


def load_model(
    auto_class: Any,
    purpose: str,
    model: str,
    revision: str | None = None,
    allow_pickle: bool = False,
    trust_remote_code: bool = False,
    allow_new_head: bool | None = None,
    head: str | None = None,
    unneeded: str | None = None,
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Loads a net and its tokenizer; a net without a trained head is refused.

    Args:
        auto_class: the `transformers` class that loads the net.
        purpose: of the net, in messages: it is used to `purpose`.
        model: name on the Hub, a folder, or the folder of a run with an ``hf`` folder.
        revision: of a model on the Hub.
        allow_pickle: reads pickled weights, as data only, if there are no safetensors.
        trust_remote_code: runs the custom code of the model; on the Hub `revision` must be a commit.
        allow_new_head: accepts a model that lacks weights, which are then random; None if it is not an option.
        head: end of the architecture's name, where the head of another task may have the same name and shape.
        unneeded: start of the names of weights that may be missing, as they are not used.
    """
    name = _find_folder(model)
    advice = f"use a model that was trained to {purpose}, such as the hf folder of a run"
    if trust_remote_code:
        load_code(auto_class, name, revision)
    architectures = find_architectures(model, revision) if head else []
    if architectures and not any(found.endswith(str(head)) for found in architectures):
        raise InputError(f"{name} is a {', '.join(architectures)}, which has no head to {purpose}; {advice}")
    net, missing = pretrained.load_net(auto_class, name, revision, allow_pickle=allow_pickle)
    if unneeded:
        missing = [name for name in missing if not name.startswith(unneeded)]
    if missing and not allow_new_head:
        raise InputError(
            f"{name} lacks {len(missing)} weights, so it would {purpose} at random: {', '.join(missing)}; {advice}"
            f"{'' if allow_new_head is None else ', or pass --allow_new_head'}"
        )
    return net, pretrained.load_tokenizer(name, revision)


def find_architectures(model: str, revision: str | None = None) -> list[str]:
    """Returns the names of the classes in a model's config; `model` as in `load_model`."""
    name = _find_folder(model)
    with loading(name, revision):
        config, _ = PreTrainedConfig.get_config_dict(name, revision=revision)
    return list(config.get("architectures") or [])


def _find_folder(model: str) -> str:
    exported = Path(model) / "hf"
    return str(exported) if exported.is_dir() else model
