"""Loads, builds, hashes and serialises nets and tokenizers of `transformers`, quietly and in float32."""

import copy
import difflib
import hashlib
import importlib
import inspect
import json
import os
import re
from collections.abc import Sequence
from functools import lru_cache
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
    """Loads the config of a model on the Hub or in a folder."""
    with loading(name, revision):
        # Without trust_remote_code=False, transformers prompts; classes that `load_code` registered need no trust.
        config: PretrainedConfig = AutoConfig.from_pretrained(name, revision=revision, trust_remote_code=False)
    return config


def make_config(fields: dict[str, Any], special_ids: dict[str, int] | None = None) -> PretrainedConfig:
    """Makes a config from a `model_type` and other fields.

    Unknown fields, which `transformers` would ignore, are an `InputError`; a field is known if the config class
    declares it or the net's code reads it.

    Args:
        fields: as in a model's ``config.json``.
        special_ids: from `find_special_ids`; used for fields that the type has and `fields` lacks.
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
        raise InputError(f"model.config is not a valid {model_type} config: {' '.join(str(error).split())}") from error
    return config


def find_special_ids(tokenizer: PreTrainedTokenizerBase) -> dict[str, int]:
    """Returns a tokenizer's special ids by config field; ``cls`` and ``sep`` stand in for a missing bos and eos."""
    names = ("bos_token_id", "eos_token_id", "pad_token_id", "cls_token_id", "sep_token_id", "mask_token_id")
    ids = {name: getattr(tokenizer, name) for name in names}
    for name, other in (("bos_token_id", "cls_token_id"), ("eos_token_id", "sep_token_id")):
        ids[name] = ids[other] if ids[name] is None else ids[name]
    return {name: token_id for name, token_id in ids.items() if token_id is not None}


def restore_config(fields: dict[str, Any]) -> PretrainedConfig:
    """Restores a config from `PretrainedConfig.to_dict`."""
    try:
        restored: PretrainedConfig = type(AutoConfig.for_model(fields["model_type"])).from_dict(fields)
    except (ValueError, *CONFIG_ERRORS) as error:
        raise InputError(
            f"transformers can't read the config of the checkpoint: {explain(error)} (a model with "
            "custom code needs trust_remote_code)"
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
        labels: of a new head, by id; a head in the checkpoint is then ignored.
        allow_pickle: reads pickled weights, as data only, if there are no safetensors.
        options: further arguments of `from_pretrained`.

    Returns:
        The net, and the names of its weights that are randomly initialised.
    """
    config = load_config(name, revision)
    if labels is not None:
        set_labels(config, labels)
    refuse_kernels(config, options)
    os.environ.setdefault("DISABLE_SAFETENSORS_CONVERSION", "1")  # else a bot opens a pull request on the Hub
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
            ignore_mismatched_sizes=True,  # reported below, by name
            **options,
        )
    missing = set(info["missing_keys"])
    head = set() if labels is None else _renew_head(auto_class, net, missing)
    for weight, found, expected in sorted(info["mismatched_keys"]):
        if weight not in head:
            raise InputError(
                f"the weights of {name} do not match its config: {weight} has the shape {list(found)}, but the config "
                f"implies {list(expected)}"
            )
    return net, sorted(missing | head)


def set_labels(config: PretrainedConfig, labels: Sequence[str]) -> None:
    """Sets the labels of a config, by id."""
    config.id2label = dict(enumerate(labels))
    config.label2id = {label: i for i, label in enumerate(labels)}


def get_labels(config: PretrainedConfig) -> list[str]:
    """Returns the labels of a config, by id; by default those of `transformers`, ``LABEL_0``."""
    names: dict[Any, str] = dict(config.id2label or {})
    return [names[i] for i in range(len(names))]


def _renew_head(auto_class: Any, net: PreTrainedModel, missing: set[str]) -> set[str]:
    """Re-initialises the weights with one row per label, which another task may have left, and returns their names.

    They are recognised by a shape that changes with the number of labels.
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
    """Builds a net with random weights in float32."""
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
    """`get_max_length` for a config, without allocating weights."""
    with torch.device("meta"):
        net = build_net(auto_class, config)
    return get_max_length(net)


def get_max_length(net: PreTrainedModel) -> int | None:
    """Returns the longest sequence that a net takes, in tokens; None if it is unlimited.

    The limits are absolute position tables, buffers of position ids and the config's `max_position_embeddings`. Tables
    with a `padding_idx` (RoBERTa) count positions from there, so 514 rows serve 512 tokens.
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
    """Counts parameters, tied ones once."""
    return sum(parameter.numel() for parameter in net.parameters())


def load_tokenizer(name: str, revision: str | None = None) -> PreTrainedTokenizerBase:
    """Loads the tokenizer of a model on the Hub or in a folder; slow tokenizers lack offsets and are refused."""
    with loading(name, revision):
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            name, revision=revision, trust_remote_code=False
        )
    vocab = tokenizer.get_vocab()
    if set(vocab) <= set(tokenizer.all_special_tokens):  # as for a folder without tokenizer files
        raise InputError(f"{name} has no tokenizer: its vocabulary is {', '.join(vocab) or 'empty'}")
    if not tokenizer.is_fast:
        raise InputError(
            f"the tokenizer of {name} is a slow one ({type(tokenizer).__name__}); lit-mlm needs a fast one"
        )
    return tokenizer


def hash_tokenizer(tokenizer: PreTrainedTokenizerBase) -> str:
    """Returns the SHA-256 (hex) of vocabulary, rules and special tokens.

    Truncation and padding are left out, as they are settings of the last call.
    """
    special = {name: str(token) for name, token in tokenizer.special_tokens_map.items()}
    return _hash_tokenizer(tokenizer.backend_tokenizer.to_str(), tuple(special.items()))


@lru_cache(maxsize=2)  # it takes 0.2 s, and a run asks several times
def _hash_tokenizer(backend: str, special: tuple[tuple[str, str], ...]) -> str:
    content = json.loads(backend) | {"truncation": None, "padding": None}
    return hashlib.sha256(json.dumps([content, dict(special)], sort_keys=True).encode()).hexdigest()


def pack_tokenizer(tokenizer: PreTrainedTokenizerBase) -> dict[str, Tensor]:
    """Serialises a tokenizer's files to uint8 tensors by file name, for a self-contained checkpoint."""
    with TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        files = sorted(path for path in Path(folder).iterdir() if path.is_file())
        return {path.name: torch.frombuffer(bytearray(path.read_bytes()), dtype=torch.uint8) for path in files}


def unpack_tokenizer(files: dict[str, Tensor]) -> PreTrainedTokenizerBase:
    """Restores the tokenizer of `pack_tokenizer`; file names that would leave the folder are refused."""
    with TemporaryDirectory() as folder:
        for name, content in files.items():
            if not re.fullmatch(r"\w[\w.-]*", name):
                raise InputError(f"the checkpoint has a tokenizer file {name!r}, not a plain name: don't trust it")
            (Path(folder) / name).write_bytes(content.cpu().numpy().tobytes())
        return load_tokenizer(folder)
