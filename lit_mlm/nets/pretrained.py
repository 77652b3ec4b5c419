"""Nets and tokenizers of `transformers`: loaded, built, compared and packed, quietly and in float32."""

import copy
import difflib
import hashlib
import importlib
import inspect
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from torch import Tensor, nn
from transformers import (
    CONFIG_MAPPING,
    AutoConfig,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from lit_mlm.errors import InputError, suggest
from lit_mlm.nets.loading import CONFIG_ERRORS, explain, loading, quiet
from lit_mlm.nets.remote_code import refuse_kernels


def load_config(name: str, revision: str | None = None) -> PretrainedConfig:
    """The configuration of a model on the Hub or in a folder.

    Raises:
        InputError: see `loading`.
    """
    with loading(name, revision):
        # Left out, it would ask on the terminal; what `load_code` made known needs it no more.
        config: PretrainedConfig = AutoConfig.from_pretrained(name, revision=revision, trust_remote_code=False)
    return config


def make_config(fields: dict[str, Any], special_ids: dict[str, int] | None = None) -> PretrainedConfig:
    """A configuration from its `model_type` and any other of its fields.

    Args:
        fields: as in a model's ``config.json``.
        special_ids: what `find_special_ids` gives; taken where the type has such a field and `fields` don't give it.

    Raises:
        InputError: if there is no `model_type`, `transformers` has no such type, or neither the type's config class
            declares a field nor the code of its nets reads it: `transformers` would take it and ignore it.
    """
    fields = dict(fields)
    model_type = fields.pop("model_type", None)
    if model_type is None:
        raise InputError(f"a model config needs the field 'model_type' (for example bert), got only {sorted(fields)}")
    if model_type not in CONFIG_MAPPING:
        raise InputError(
            f"transformers has no model_type {model_type!r}{suggest(str(model_type), CONFIG_MAPPING.keys())}"
        )
    default = AutoConfig.for_model(model_type)
    declared = {*default.to_dict(), *default.attribute_map, *dir(default)}
    code = inspect.getsource(importlib.import_module(type(default).__module__.replace(".configuration_", ".modeling_")))
    for name in sorted(fields.keys() - declared):
        if not re.search(rf"config\.{name}\b|[\"']{name}[\"']", code):
            similar = difflib.get_close_matches(name, default.to_dict(), n=3, cutoff=0.5)
            raise InputError(f"a {model_type} config has no field {name!r}; similar ones are {similar}")
    known_ids = {name: token_id for name, token_id in (special_ids or {}).items() if name in declared}
    try:
        config: PretrainedConfig = AutoConfig.for_model(model_type, **(known_ids | fields))
    except StrictDataclassError as error:
        raise InputError(f"model.config is no {model_type} config: {' '.join(str(error).split())}") from error
    return config


def find_special_ids(tokenizer: PreTrainedTokenizerBase) -> dict[str, int]:
    """The special ids of a tokenizer by the name that a config has for them.

    A tokenizer without tokens for begin and end of text has ``cls`` and ``sep`` in their place, where it has these.
    """
    names = {
        "bos_token_id": (tokenizer.bos_token_id, tokenizer.cls_token_id),
        "eos_token_id": (tokenizer.eos_token_id, tokenizer.sep_token_id),
        **{
            name: (getattr(tokenizer, name),)
            for name in ("pad_token_id", "cls_token_id", "sep_token_id", "mask_token_id")
        },
    }
    return {name: ids[0] for name, found in names.items() if (ids := [i for i in found if i is not None])}


def restore_config(fields: dict[str, Any]) -> PretrainedConfig:
    """The configuration that `PretrainedConfig.to_dict` wrote.

    Raises:
        InputError: if `transformers` doesn't know it.
    """
    try:
        restored: PretrainedConfig = type(AutoConfig.for_model(fields["model_type"])).from_dict(fields)
    except (ValueError, *CONFIG_ERRORS) as error:
        raise InputError(
            f"transformers can't read the config of the checkpoint: {explain(error)} (one whose model brings code of "
            "its own needs trust_remote_code)"
        ) from error
    return restored


def load_net(
    auto_class: Any,
    name: str,
    revision: str | None = None,
    labels: Sequence[str] | None = None,
    allow_pickle: bool = False,
    **options: Any,
) -> tuple[PreTrainedModel, list[str]]:
    """Loads a pretrained net in float32.

    Args:
        auto_class: a `transformers` class such as `AutoModelForMaskedLM`.
        name: Hub id or folder.
        revision: of a Hub id.
        labels: of a new head, by id; one that the checkpoint has, even for as many labels, is not taken.
        allow_pickle: reads a pickle of weights, as data alone, where there are no safetensors.
        options: further arguments of `from_pretrained`.

    Returns:
        The net, and the names of those of its weights that start at random, as the checkpoint lacks them or they are a
        new head's.

    Raises:
        InputError: see `loading`.
    """
    config = load_config(name, revision)
    if labels is not None:
        set_labels(config, labels)
    refuse_kernels(config, options)
    os.environ.setdefault(
        "DISABLE_SAFETENSORS_CONVERSION", "1"
    )  # else it asks a bot to send the model's owner a change
    with loading(name, revision):
        net, info = auto_class.from_pretrained(
            name,
            config=config,
            revision=revision,
            trust_remote_code=False,
            use_safetensors=None if allow_pickle else True,
            weights_only=True,
            dtype=torch.float32,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # told below: its own error names none of them
            **options,
        )
    missing = set(info["missing_keys"])
    head = set() if labels is None else _renew_head(auto_class, net, missing)
    for weight, found, expected in sorted(info["mismatched_keys"]):
        if weight not in head:
            raise InputError(
                f"the weights of {name} are not those of its config: {weight} has the shape {list(found)}, and by the "
                f"config {list(expected)}"
            )
    return net, sorted(missing | head)


def set_labels(config: PretrainedConfig, labels: Sequence[str]) -> None:
    """Gives a config its labels, by id."""
    config.id2label = dict(enumerate(labels))
    config.label2id = {label: i for i, label in enumerate(labels)}


def get_labels(config: PretrainedConfig) -> list[str]:
    """The labels of a config, by id; where none were given those that `transformers` makes up, ``LABEL_0``."""
    names: dict[Any, str] = dict(config.id2label or {})
    return [names[i] for i in range(len(names))]


def _renew_head(auto_class: Any, net: PreTrainedModel, missing: set[str]) -> set[str]:
    """Draws anew the weights that have one row a label, which another task may have left; returns their names.

    They are found by their shape, which changes with the number of labels.
    """
    config = copy.deepcopy(net.config)
    set_labels(config, [*get_labels(config), "another"])
    with torch.device("meta"), quiet():
        larger = type(net)(config).state_dict()
    head = {name for name, weight in net.state_dict().items() if weight.shape != larger[name].shape}
    if not head <= missing:
        fresh = build_net(auto_class, net.config).state_dict()
        net.load_state_dict({name: fresh[name] for name in head}, strict=False)
    return head


def build_net(auto_class: Any, config: PretrainedConfig, **options: Any) -> PreTrainedModel:
    """Builds a net with random weights in float32.

    Raises:
        InputError: if `auto_class` has no net of that type, or the values of the config exclude each other.
    """
    refuse_kernels(config, options)
    with quiet():
        try:
            net: PreTrainedModel = auto_class.from_config(
                config, dtype=torch.float32, trust_remote_code=False, **options
            )
        except (ValueError, ImportError, *CONFIG_ERRORS) as error:
            raise InputError(f"transformers can't build this {config.model_type}: {explain(error)}") from error
    return net


def find_max_length(auto_class: Any, config: PretrainedConfig) -> int | None:
    """`get_max_length` of the net that a config describes, which is built without memory for its weights."""
    with torch.device("meta"):
        net = build_net(auto_class, config)
    return get_max_length(net)


def get_max_length(net: PreTrainedModel) -> int | None:
    """The longest sequence that a net takes, in tokens; None where nothing limits it.

    A table of absolute positions has one row a position, less the rows up to `padding_idx` where it has one: RoBERTa
    and its relatives number positions from there on, so 514 rows serve 512 tokens. A buffer of position ids and the
    config's `max_position_embeddings` are limits too.
    """
    limits = [
        module.weight.shape[0] - (0 if module.padding_idx is None else module.padding_idx + 1)
        for name, module in net.named_modules()
        if name.endswith("position_embeddings") and hasattr(module, "padding_idx")
    ]
    limits += [buffer.shape[-1] for name, buffer in net.named_buffers() if name.endswith("position_ids")]
    declared = getattr(net.config, "max_position_embeddings", None)
    limits += [declared] if declared and declared > 0 else []
    return min(limits, default=None)


def count_parameters(net: nn.Module) -> int:
    """Number of parameters, tied ones once."""
    return sum(parameter.numel() for parameter in net.parameters())


def load_tokenizer(name: str, revision: str | None = None) -> PreTrainedTokenizerBase:
    """The tokenizer of a model on the Hub or in a folder.

    Raises:
        InputError: if it can't be loaded, or is a slow tokenizer, which knows no words and no offsets.
    """
    with loading(name, revision):
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            name, revision=revision, trust_remote_code=False
        )
    vocab = tokenizer.get_vocab()
    if set(vocab) <= set(tokenizer.all_special_tokens):  # what `transformers` makes of a folder without its files
        raise InputError(f"{name} has no tokenizer: its vocabulary is {', '.join(vocab) or 'empty'}")
    if not tokenizer.is_fast:
        raise InputError(
            f"the tokenizer of {name} is a slow one ({type(tokenizer).__name__}); lit-mlm needs a fast one"
        )
    return tokenizer


def hash_tokenizer(tokenizer: PreTrainedTokenizerBase) -> str:
    """SHA-256 (hex) of all that decides which ids a text becomes: vocabulary, rules and special tokens.

    Truncation and padding are left out: they are settings of the last call, not of the tokenizer.
    """
    backend = json.loads(tokenizer.backend_tokenizer.to_str())
    backend["truncation"] = backend["padding"] = None
    special = {name: str(token) for name, token in tokenizer.special_tokens_map.items()}
    return hashlib.sha256(json.dumps([backend, special], sort_keys=True).encode()).hexdigest()


def pack_tokenizer(tokenizer: PreTrainedTokenizerBase) -> dict[str, Tensor]:
    """The tokenizer's files as bytes, shape (size,) uint8 each, for a checkpoint that stands by itself."""
    with TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        files = sorted(path for path in Path(folder).iterdir() if path.is_file())
        return {path.name: torch.frombuffer(bytearray(path.read_bytes()), dtype=torch.uint8) for path in files}


def unpack_tokenizer(files: dict[str, Tensor]) -> PreTrainedTokenizerBase:
    """The tokenizer that `pack_tokenizer` packed.

    Raises:
        InputError: if a name would leave the folder that the files are written to.
    """
    with TemporaryDirectory() as folder:
        for name, content in files.items():
            if not re.fullmatch(r"\w[\w.-]*", name):
                raise InputError(
                    f"the checkpoint has a tokenizer's file {name!r}, which is no plain name: don't trust it"
                )
            (Path(folder) / name).write_bytes(content.cpu().numpy().tobytes())
        return load_tokenizer(folder)
