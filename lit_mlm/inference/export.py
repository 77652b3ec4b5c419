"""Exports a checkpoint as a folder that `transformers` loads."""

import sys
from pathlib import Path

import transformers

from lit_mlm.inference.card import write_model_card
from lit_mlm.nets import pretrained
from lit_mlm.nets.loading import quiet
from lit_mlm.runs.atomic import atomic_folder
from lit_mlm.runs.checkpoints import RECORD, read_checkpoint


def export_checkpoint(checkpoint_path: str | Path, folder: Path) -> None:
    """Writes net, tokenizer and model card of a checkpoint, and replaces `folder` once they are complete."""
    checkpoint = read_checkpoint(checkpoint_path)
    record = checkpoint[RECORD]
    net = pretrained.build_net(getattr(transformers, record["auto_class"]), pretrained.restore_config(record["config"]))
    state = checkpoint["state_dict"]
    weights = {name.removeprefix("net."): weight for name, weight in state.items() if name.startswith("net.")}
    net.load_state_dict(weights)
    with atomic_folder(folder) as unfinished:
        with quiet():
            net.save_pretrained(unfinished)
        if record["tokenizer"]:
            tokenizer = pretrained.unpack_tokenizer(record["tokenizer"])
            # A newly trained tokenizer has no limit, and pipelines need one to truncate.
            tokenizer.model_max_length = min(tokenizer.model_max_length, pretrained.get_max_length(net) or sys.maxsize)
            tokenizer.save_pretrained(unfinished)
        card = unfinished / "README.md"
        card.write_text(write_model_card(record, checkpoint), encoding="utf-8")
        for path in unfinished.glob("*.safetensors*"):
            path.chmod(card.stat().st_mode)  # safetensors makes them private
