"""Exports a checkpoint as a folder that `transformers` loads."""

import copy
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import PreTrainedModel

from lit_mlm.inference.agreement import Agreement, measure_agreement, require_agreement, require_reload
from lit_mlm.inference.card.save import CARD, save_card
from lit_mlm.nets import pretrained
from lit_mlm.nets.loading import quiet
from lit_mlm.nets.lora import add_lora, merge_lora
from lit_mlm.runs.atomic import atomic_folder
from lit_mlm.runs.checkpoints import RECORD, read_checkpoint

MERGING = 1024
"""As `lit_mlm.inference.agreement.ROUNDING`, of a sum of matrices in place of a sum of their products."""


def export_checkpoint(
    checkpoint_path: str | Path, folder: Path, metrics: Mapping[str, Any] | None = None, **options: Any
) -> Agreement:
    """Writes net, tokenizer and model card of a checkpoint, and replaces `folder` once they are complete and checked.

    Args:
        checkpoint_path: of the checkpoint.
        folder: to write.
        metrics: of the checkpoint, as in ``metrics.json``; by default those of its run.
        options: of `write_weights`.
    """
    with exporting(checkpoint_path, folder, metrics) as (net, auto_class, unfinished):
        return write_weights(net, auto_class, unfinished, **options)


@contextmanager
def exporting(
    checkpoint_path: str | Path, folder: Path, metrics: Mapping[str, Any] | None = None, licence: str | None = None
) -> Iterator[tuple[PreTrainedModel, Any, Path]]:
    """Yields a checkpoint's net, its Auto class and a folder with its tokenizer and card, which then replaces `folder`.

    Args:
        checkpoint_path: of the checkpoint.
        folder: to write.
        metrics: as in `export_checkpoint`.
        licence: of the model, by its name on the Hub, for the card.
    """
    checkpoint = read_checkpoint(checkpoint_path)
    record, state = checkpoint[RECORD], checkpoint["state_dict"]
    auto_class = getattr(transformers, record["auto_class"])
    net = pretrained.build_net(auto_class, pretrained.restore_config(record["config"]))
    lora = record["options"].get("lora")
    if lora is not None:
        add_lora(net, lora)
    net.load_state_dict({name.removeprefix("net."): state[name] for name in state if name.startswith("net.")})
    if lora is not None:
        adapted, net = net, merge_lora(net)
        require_agreement(measure_agreement(adapted, lambda batch: net(**batch)[0]), torch.float32, MERGING)
    with atomic_folder(folder) as unfinished:
        tokenizer = None
        if record["tokenizer"]:
            tokenizer = pretrained.unpack_tokenizer(record["tokenizer"])
            # A newly trained tokenizer has no limit, and pipelines need one to truncate.
            tokenizer.model_max_length = min(tokenizer.model_max_length, pretrained.get_max_length(net) or sys.maxsize)
            tokenizer.save_pretrained(unfinished)
        save_card(Path(checkpoint_path), checkpoint, net, tokenizer, unfinished, metrics, licence)
        yield net, auto_class, unfinished
        for path in unfinished.glob("*.safetensors*"):
            path.chmod((unfinished / CARD).stat().st_mode)  # safetensors makes them private


def write_weights(
    net: PreTrainedModel,
    auto_class: Any,
    folder: Path,
    dtype: torch.dtype = torch.float32,
    max_shard_size: str = "50GB",
) -> Agreement:
    """Writes a net as safetensors with its config, and checks that they load as the same net.

    Args:
        net: the checkpoint's, in float32.
        auto_class: the `transformers` class that loads it.
        folder: to write to.
        dtype: of the written weights.
        max_shard_size: of a file, such as ``200MB``.
    """
    rounded: Any = net if dtype == torch.float32 else copy.deepcopy(net)
    rounded.to(dtype)
    with quiet():
        rounded.save_pretrained(folder, max_shard_size=max_shard_size)
    return require_reload(auto_class, folder, net, dtype)
