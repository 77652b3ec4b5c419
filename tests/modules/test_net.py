"""The life of a net: words that the data module has added to its tokenizer."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForMaskedLM, AutoTokenizer

from lit_mlm import IMDBDataModule, MaskedLM
from lit_mlm.inference.export import export_checkpoint
from lit_mlm.nets.pretrained import hash_tokenizer
from lit_mlm.runs.checkpoints import RECORD, read_checkpoint
from tests.conftest import FIXTURES, TINY_BERT, imdb_args

WORDS = ["gladly", "mysterious"]


@pytest.fixture
def make_data(cache_dir: str) -> Callable[[], IMDBDataModule]:
    def make(**options: Any) -> IMDBDataModule:
        folder = str(FIXTURES / "aclImdb")
        options = (
            dict[str, Any]({"new_words": WORDS, "block_size": 32, "batch_size": 8, "cache_dir": cache_dir}) | options
        )
        return IMDBDataModule(data_dir=folder, **options)

    return make


def get_rows(module: MaskedLM) -> Tensor:
    assert module.net is not None
    rows = module.net.get_input_embeddings().weight
    assert isinstance(rows, Tensor)
    return rows.detach()


@pytest.mark.parametrize("model", ["tiny_bert", "tiny_roberta"])
def test_new_words_start_as_the_mean_of_their_pieces(
    model: str, make_data: Any, make_trainer: Any, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(model)
    module, data = MaskedLM(folder, lr=0.0, weight_decay=0.0), make_data()
    make_trainer().fit(module, data)
    old = AutoModelForMaskedLM.from_pretrained(folder).get_input_embeddings().weight.detach()
    assert len(data.new_words) == 2
    rows = get_rows(module)
    assert torch.equal(rows[: len(old)], old)
    torch.testing.assert_close(rows[len(old) :], torch.stack([old[ids].mean(0) for ids in data.new_words.values()]))


def test_new_words_are_learnt_and_stay_in_checkpoint_and_export(
    tiny_bert: str, make_data: Any, make_trainer: Any, tmp_path: Path
) -> None:
    module, data, trainer = MaskedLM(tiny_bert, lr=3e-3), make_data(), make_trainer()
    assert not module.has_final_tokenizer
    trainer.fit(module, data)
    start = AutoModelForMaskedLM.from_pretrained(tiny_bert).get_input_embeddings().weight.detach()
    first, second = data.new_words.values()
    assert not torch.allclose(get_rows(module)[-2:], torch.stack([start[first].mean(0), start[second].mean(0)]))
    checkpoint = tmp_path / "words.ckpt"
    trainer.save_checkpoint(checkpoint)
    assert read_checkpoint(checkpoint)[RECORD]["config"]["vocab_size"] == len(data.tokenizer) == len(start) + 2

    restored, other = MaskedLM.load_from_checkpoint(checkpoint), make_data()
    assert restored.has_final_tokenizer
    assert torch.equal(get_rows(restored), get_rows(module))
    (figures,) = make_trainer().validate(restored, other, verbose=False)
    assert figures["val/loss"] == pytest.approx(module.results["val"]["loss"])
    assert other.new_words == {}  # not added again
    assert hash_tokenizer(other.tokenizer) == hash_tokenizer(data.tokenizer)

    export_checkpoint(checkpoint, tmp_path / "hf")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "hf")
    assert tokenizer.tokenize("He felt gladly mysterious")[-2:] == WORDS
    batch = tokenizer("I left gladly [MASK].", return_tensors="pt")
    net = AutoModelForMaskedLM.from_pretrained(tmp_path / "hf").eval()
    assert torch.equal(net(**batch).logits, module.eval()(**batch).logits)
    again, more = MaskedLM(str(tmp_path / "hf"), lr=3e-3), make_data()
    make_trainer(max_steps=1).fit(again, more)  # as a pretrained model it has these words already
    assert more.new_words == {}


@pytest.mark.parametrize("is_restored_first", [False, True])  # by Python, and as the command line does it
def test_training_with_new_words_goes_on(
    is_restored_first: bool, tiny_bert: str, make_data: Any, make_trainer: Any, tmp_path: Path
) -> None:
    module, trainer = MaskedLM(tiny_bert, lr=3e-3), make_trainer()
    trainer.fit(module, make_data())
    checkpoint = tmp_path / "words.ckpt"
    trainer.save_checkpoint(checkpoint)
    resumed, data = MaskedLM(tiny_bert, lr=3e-3), make_data()
    if is_restored_first:
        resumed.restore_from(read_checkpoint(checkpoint)[RECORD])
    started: list[Tensor] = []
    resumed.on_train_start = lambda: started.append(get_rows(resumed).clone())  # type: ignore[method-assign]
    make_trainer(max_epochs=2).fit(resumed, data, ckpt_path=str(checkpoint))
    assert torch.equal(started[0], get_rows(module))
    assert not torch.equal(get_rows(resumed)[-2:], started[0][-2:])
    assert len(data.new_words) == (0 if is_restored_first else 2)


def test_words_of_a_checkpoint_are_reported_and_not_replaced(
    tiny_bert: str, cache_dir: str, run_cli: Callable[..., Path]
) -> None:
    """Its figures name them wherever it is scored; an option that asks for others is refused."""
    args = (*imdb_args(tiny_bert, cache_dir), "--run_dir", "out")
    folder = run_cli("fit", *args, "--data.num_new_words", 2) / "out"
    fitted = json.loads((folder / "metrics.json").read_text())
    run_cli("validate", *args, "--ckpt_path", "best")
    metrics = json.loads((folder / "metrics.json").read_text())
    for name in ("num_new_words", "fertility", "fertility_before", "split_fraction", "mask_fingerprint"):
        assert metrics[f"val/{name}"] == fitted[f"val/{name}"]
    with pytest.raises(ValueError, match=r"data.num_new_words is 1, but the checkpoint was made with 2"):
        run_cli("validate", *args, "--ckpt_path", "best", "--data.num_new_words", 1)
    longer = ("--allow_changes", "true", "--trainer.max_epochs", 3)
    with pytest.raises(ValueError, match=r"data.new_words is \['a'\], but the checkpoint was made with None"):
        run_cli("fit", *args, *longer, "--data.new_words", "[a]")
    run_cli("fit", *args, *longer, "--data.num_new_words", 2)
    assert json.loads((folder / "metrics.json").read_text())["last/val/num_new_words"] == 2


def test_words_are_given_to_a_net_once(tiny_bert: str, make_data: Any, make_trainer: Any) -> None:
    module = MaskedLM(tiny_bert, lr=3e-3)
    module.build()  # before there is a trainer
    make_trainer().fit(module, make_data())
    learnt = get_rows(module).clone()
    make_trainer().validate(module, make_data(), verbose=False)
    assert torch.equal(get_rows(module), learnt)
    other = make_data(new_words=["mysterious", "gladly"])  # the same ids for other words
    with pytest.raises(ValueError, match="the model was extended by 2 new words, but the data has 2 others"):
        make_trainer().validate(module, other, verbose=False)


def test_a_net_from_scratch_is_built_with_the_words(tiny_bert: str, make_data: Any, make_trainer: Any) -> None:
    """Its rows are its own random ones; the means of others would say nothing."""
    module, data = MaskedLM(config=TINY_BERT, lr=0.0, weight_decay=0.0), make_data(tokenizer=tiny_bert)
    make_trainer(max_steps=1).fit(module, data)
    assert len(data.new_words) == 2
    rows = get_rows(module)
    assert len(rows) == len(data.tokenizer)
    assert not torch.allclose(rows[-2:], torch.stack([rows[ids].mean(0) for ids in data.new_words.values()]))
