"""Nets and tokenizers of `transformers`."""

import copy
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForMaskedLM, AutoTokenizer

from lit_mlm.nets.pretrained import (
    build_net,
    find_max_length,
    find_special_ids,
    get_max_length,
    hash_tokenizer,
    load_config,
    load_net,
    load_tokenizer,
    make_config,
    pack_tokenizer,
    restore_config,
    unpack_tokenizer,
)
from tests.nets.architectures import TINY


@pytest.mark.parametrize("model", ["tiny_bert", "tiny_roberta"])
def test_hash_survives_use_saving_and_packing(model: str, request: pytest.FixtureRequest) -> None:
    tokenizer = AutoTokenizer.from_pretrained(request.getfixturevalue(model))
    before = hash_tokenizer(tokenizer)
    tokenizer(["a", "The story was dull."], truncation=True, max_length=4, padding=True)
    assert hash_tokenizer(tokenizer) == before
    unpacked = unpack_tokenizer(pack_tokenizer(tokenizer))
    assert hash_tokenizer(unpacked) == before
    text = "The story was [MASK], <mask>."
    assert unpacked(text)["input_ids"] == tokenizer(text, truncation=False)["input_ids"]


def test_hash_tells_tokenizers_apart(tiny_bert: str, tiny_roberta: str) -> None:
    tokenizers = [AutoTokenizer.from_pretrained(folder) for folder in (tiny_bert, tiny_roberta)]
    changed = copy.deepcopy(tokenizers[0])
    changed.add_tokens(["film"])
    assert len({hash_tokenizer(tokenizer) for tokenizer in [*tokenizers, changed]}) == 3


@pytest.mark.filterwarnings("ignore")  # warnings of the architectures themselves
@pytest.mark.parametrize("model_type", sorted(TINY))
def test_max_length_is_the_longest_that_runs(model_type: str) -> None:
    net = build_net(AutoModelForMaskedLM, AutoConfig.for_model(model_type, **TINY[model_type])).eval()
    limit = get_max_length(net)
    assert limit == find_max_length(AutoModelForMaskedLM, net.config)
    assert (limit is None) == (model_type == "funnel")  # relative positions

    def run(length: int) -> Any:
        ids = torch.full((1, length), 7)
        return net(input_ids=ids, attention_mask=torch.ones_like(ids))[0]

    limit = limit or 64
    assert run(limit).shape[1] == limit
    if model_type in ("bert", "roberta", "distilbert", "mpnet", "xlm-roberta", "ibert", "nystromformer"):
        with pytest.raises((IndexError, RuntimeError)):
            run(limit + 1)


@pytest.mark.parametrize("model_type", sorted(TINY))
def test_config_survives_a_checkpoint(model_type: str) -> None:
    net = build_net(AutoModelForMaskedLM, AutoConfig.for_model(model_type, **TINY[model_type]))
    again = build_net(AutoModelForMaskedLM, restore_config(net.config.to_dict()))
    assert {n: p.shape for n, p in again.state_dict().items()} == {n: p.shape for n, p in net.state_dict().items()}


@pytest.mark.parametrize("name", ["./nomodel", "runs/imdb/version_9/hf", "/nowhere"])
def test_missing_folders_are_called_that(name: str) -> None:
    for load in (load_tokenizer, load_config, partial(load_net, AutoModelForMaskedLM)):
        with pytest.raises(ValueError, match=f"^{name} is missing: there is no such folder"):
            load(name)


def test_fields_that_the_code_of_a_net_reads_are_taken() -> None:
    config = make_config({"model_type": "deberta-v2", "share_att_key": True})  # not declared by the config class
    assert config.share_att_key
    with pytest.raises(ValueError, match="a bert config has no field 'share_att_key'"):
        make_config({"model_type": "bert", "share_att_key": True})


def test_special_ids_are_the_tokenizer_s(bpe: Any, wordpiece: Any) -> None:
    config = make_config({"model_type": "modernbert"}, find_special_ids(wordpiece))
    ids = (config.pad_token_id, config.bos_token_id, config.eos_token_id, config.cls_token_id, config.sep_token_id)
    assert ids == (0, 2, 3, 2, 3)
    config = make_config({"model_type": "bert", "pad_token_id": 5}, find_special_ids(bpe))
    assert (config.pad_token_id, config.bos_token_id, config.eos_token_id) == (5, 0, 2)


def test_folder_without_a_tokenizer_is_refused(tmp_path: Path, tiny_bert: str) -> None:
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((Path(tiny_bert) / name).read_bytes())
    with pytest.raises(ValueError, match="has no tokenizer: its vocabulary is"):
        load_tokenizer(str(tmp_path))
