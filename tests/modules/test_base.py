"""What every task shares: the net's life, exact gradients, checkpoints."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer, seed_everything
from lightning.pytorch.plugins.precision import MixedPrecision
from transformers import AutoModelForMaskedLM

from lit_mlm import IMDBDataModule, MaskedLM
from lit_mlm.callbacks.save_checkpoints import SaveCheckpoints
from lit_mlm.errors import InputError
from lit_mlm.modules.base import LOSS_UNIT
from lit_mlm.nets.pretrained import count_parameters
from lit_mlm.runs.checkpoints import RECORD, read_checkpoint
from tests.conftest import FIXTURES, TINY_BERT, imdb_args
from tests.ranks import FORKS


@pytest.fixture
def make_data(cache_dir: str) -> Callable[..., IMDBDataModule]:
    def make(**options: Any) -> IMDBDataModule:
        defaults: dict[str, Any] = {
            "data_dir": str(FIXTURES / "aclImdb"),
            "block_size": 32,
            "batch_size": 8,
            "cache_dir": cache_dir,
        }
        return IMDBDataModule(**(defaults | options))

    return make


def test_python_in_five_lines(tiny_bert: str, make_data: Any, make_trainer: Any) -> None:
    """A trainer, a task and a data set fit together without the command line; the tokenizer is the model's."""
    module, data = MaskedLM(tiny_bert, lr=3e-3), make_data()
    trainer = make_trainer(max_epochs=3, num_sanity_val_steps=-1)
    trainer.fit(module, data)
    assert module.results["val"]["perplexity"] < 0.9 * module.results["start/val"]["perplexity"]
    trainer.test(module, data, verbose=False)
    assert module.results["test"]["num_scored_tokens"] > 0
    assert data.tokenizer.name_or_path == tiny_bert


def test_forward_is_that_of_the_net(tiny_bert: str) -> None:
    module = MaskedLM(tiny_bert)
    ids = torch.randint(5, 100, (2, 9))
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids}
    module.build()
    module.eval()
    reference = AutoModelForMaskedLM.from_pretrained(tiny_bert)
    expected, found = reference(**batch), module(**batch)
    assert torch.equal(found.logits, expected.logits)
    assert torch.equal(found.loss, expected.loss)


def test_net_arrives_in_training_mode_with_tied_embeddings(tiny_bert: str, make_data: Any, make_trainer: Any) -> None:
    losses: list[float] = []

    class Probe(MaskedLM):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            assert all(part.training for part in self.modules() if isinstance(part, torch.nn.Dropout))
            losses.extend(self.sum_loss(batch)[0].item() for _ in range(2))
            return super().training_step(batch, batch_idx)

    module = Probe(tiny_bert)
    make_trainer(max_steps=2, limit_val_batches=0).fit(module, make_data())
    assert losses[0] != losses[1]  # dropout is on
    assert module.net is not None
    assert module.net.get_output_embeddings().weight is module.net.get_input_embeddings().weight
    assert count_parameters(module.net) == sum(p.numel() for p in set(module.net.parameters()))


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_options_of_the_net(
    tiny_roberta: str, make_data: Any, make_trainer: Any, precision: str, attention: str
) -> None:
    module = MaskedLM(tiny_roberta, attn_implementation=attention, gradient_checkpointing=True, lr=3e-3)
    make_trainer(max_epochs=2, precision=precision, gradient_clip_val=1.0).fit(module, make_data())
    assert module.net is not None
    assert module.net.config._attn_implementation == attention
    assert module.net.is_activation_checkpointing
    assert all(parameter.dtype == torch.float32 for parameter in module.parameters())
    assert module.optimizers().param_groups[0]["fused"]  # type: ignore[union-attr]


def test_fp16_with_a_gradient_scaler_clips_unscaled_gradients(
    tiny_bert: str, make_data: Any, make_trainer: Any
) -> None:
    """The fp16 path of a GPU, with torch's scaler on the CPU."""
    norms = []

    class Probe(MaskedLM):
        def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
            super().optimizer_step(*args, **kwargs)
            norms.append(
                float(torch.nn.utils.get_total_norm([p.grad for p in self.parameters() if p.grad is not None]))
            )

    scaler = torch.amp.GradScaler("cpu")
    plugin = MixedPrecision("16-mixed", "cpu", scaler=scaler)
    module = Probe(tiny_bert, lr=3e-3)
    make_trainer(max_epochs=2, plugins=[plugin], gradient_clip_val=0.01).fit(module, make_data())
    assert not module.optimizers().param_groups[0]["fused"]  # type: ignore[union-attr]
    assert scaler.get_scale() > 1
    assert norms[-1] == pytest.approx(0.01, rel=1e-3)
    assert module.results["val"]["loss"] < 6


class NoDropout(MaskedLM):
    """A deterministic net whose steps record what the optimizer gets."""

    def build(self, tokenizer: Any = None) -> None:
        super().build(tokenizer)
        for part in self.modules():
            if isinstance(part, torch.nn.Dropout):
                part.p = 0.0

    def on_before_zero_grad(self, optimizer: Any) -> None:
        self.last_gradients = [None if p.grad is None else p.grad.clone() for p in self.parameters()]


def test_gradient_is_that_of_the_mean_over_the_whole_step(tiny_bert: str, make_data: Any, make_trainer: Any) -> None:
    """Against torch: one mean over all tokens of an accumulated step of uneven batches, then clipped."""
    data, module = make_data(batch_size=5), NoDropout(tiny_bert, lr=0.0, weight_decay=0.0)
    batches: list[Any] = []

    class Collect(NoDropout):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            batches.append(batch)
            return super().training_step(batch, batch_idx)

        def on_before_optimizer_step(self, optimizer: Any) -> None:
            self.raw = [p.grad.clone() for p in self.parameters() if p.grad is not None]

        def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
            super().optimizer_step(*args, **kwargs)
            self.final = [p.grad.clone() for p in self.parameters() if p.grad is not None]

    module = Collect(tiny_bert, lr=0.0, weight_decay=0.0)
    make_trainer(accumulate_grad_batches=3, max_steps=1, gradient_clip_val=0.05, limit_val_batches=0).fit(module, data)
    assert len(batches) == 3
    net = AutoModelForMaskedLM.from_pretrained(tiny_bert).eval()
    logits = [net(input_ids=b["input_ids"], attention_mask=b["attention_mask"]).logits.flatten(0, 1) for b in batches]
    labels = torch.cat([b["labels"].flatten() for b in batches])
    torch.nn.functional.cross_entropy(torch.cat(logits), labels).backward()
    expected = [p.grad for p in net.parameters() if p.grad is not None]
    scored = sum(int((b["labels"] != -100).sum()) for b in batches)
    for raw, gradient in zip(module.raw, expected, strict=True):
        torch.testing.assert_close(raw * LOSS_UNIT * 3 / scored, gradient, rtol=1e-4, atol=1e-7)
    torch.nn.utils.clip_grad_norm_(list(net.parameters()), 0.05)
    for final, gradient in zip(module.final, expected, strict=True):
        torch.testing.assert_close(final, gradient, rtol=1e-4, atol=1e-8)


def test_clipping_by_value(tiny_bert: str, make_data: Any, make_trainer: Any) -> None:
    largest = []

    class Probe(NoDropout):
        def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
            super().optimizer_step(*args, **kwargs)
            largest.append(max(float(p.grad.abs().max()) for p in self.parameters() if p.grad is not None))

    trainer = make_trainer(max_steps=1, gradient_clip_val=1e-3, gradient_clip_algorithm="value", limit_val_batches=0)
    trainer.fit(Probe(tiny_bert), make_data())
    assert largest == [pytest.approx(1e-3)]


def test_checkpoint_restores_without_first_model_or_tokenizer(
    tmp_path: Path, make_data: Any, make_trainer: Any, wordpiece: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.conftest import save_model

    folder = save_model(tmp_path / "model", TINY_BERT, wordpiece)
    module, data = MaskedLM(folder, lr=3e-3), make_data()
    trainer = make_trainer()
    trainer.fit(module, data)
    path = tmp_path / "run.ckpt"
    trainer.save_checkpoint(path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").rename(tmp_path / "elsewhere")

    restored = MaskedLM.load_from_checkpoint(path)
    assert restored.hparams == module.hparams
    for name, weight in module.state_dict().items():
        assert torch.equal(restored.state_dict()[name], weight)
    assert restored.net is not None
    assert restored.net.get_output_embeddings().weight is restored.net.get_input_embeddings().weight
    again = make_trainer()
    again.validate(restored, make_data(), verbose=False)
    assert restored.results["val"]["perplexity"] == pytest.approx(module.results["val"]["perplexity"], rel=1e-6)

    saved = read_checkpoint(path)[RECORD]
    assert set(saved["tokenizer"]) >= {"tokenizer.json", "tokenizer_config.json"}
    fresh = MaskedLM(folder)
    fresh.restore_from(saved)
    make_trainer().validate(fresh, make_data(), ckpt_path=str(path), verbose=False)
    assert fresh.results["val"]["perplexity"] == pytest.approx(module.results["val"]["perplexity"], rel=1e-6)


def test_other_tokenizer_is_refused_with_both(
    tmp_path: Path, tiny_bert: str, tiny_roberta: str, make_data: Any, make_trainer: Any
) -> None:
    trainer = make_trainer(max_steps=1, limit_val_batches=0)
    module = MaskedLM(config=TINY_BERT | {"vocab_size": 1000})
    trainer.fit(module, make_data(tokenizer=tiny_bert))
    trainer.save_checkpoint(tmp_path / "run.ckpt")
    restored = MaskedLM.load_from_checkpoint(tmp_path / "run.ckpt")
    with pytest.raises(ValueError, match=r"tokenizer of SHA-256 [0-9a-f]{64}, the data with [0-9a-f]{64}"):
        make_trainer().validate(restored, make_data(tokenizer=tiny_roberta), verbose=False)


def test_resumed_run_refuses_options_that_the_checkpoint_would_replace(
    tmp_path: Path, tiny_bert: str, make_data: Any, make_trainer: Any
) -> None:
    trainer = make_trainer(limit_val_batches=0)
    trainer.fit(MaskedLM(tiny_bert, lr=1e-3), make_data())
    path = tmp_path / "run.ckpt"
    trainer.save_checkpoint(path)
    with pytest.raises(ValueError, match=r"model.lr is 0.002, but the checkpoint was made with 0.001"):
        make_trainer(max_epochs=2).fit(MaskedLM(tiny_bert, lr=2e-3), make_data(), ckpt_path=path)
    with pytest.raises(ValueError, match=r"model.model is .*, but the checkpoint was made with"):
        MaskedLM.load_from_checkpoint(path, model="another")
    module = MaskedLM(tiny_bert, lr=1e-3, attn_implementation="eager")
    make_trainer(max_epochs=2, limit_val_batches=0).fit(module, make_data(), ckpt_path=path)
    assert module.trainer.current_epoch == 2
    assert module.net is not None
    assert module.net.config._attn_implementation == "eager"


def test_optimizer_options_reach_the_optimizer(tiny_bert: str, make_data: Any, make_trainer: Any) -> None:
    lrs = []

    class Probe(MaskedLM):
        def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
            lrs.append([group["lr"] for group in self.optimizers().param_groups])  # type: ignore[union-attr]

    module = Probe(tiny_bert, lr=1.0, layer_decay=0.5, decay_all=True, warmup_fraction=0.3, schedule="constant")
    make_trainer(max_steps=6, limit_val_batches=0).fit(module, make_data())
    factors = [0, 1 / 2, 1, 1, 1, 1]  # 0.3 of 6 steps, rounded up
    assert lrs == [[factor * lr for lr in (1.0, 0.5, 0.25, 0.125)] for factor in factors]
    groups = module.optimizers().param_groups  # type: ignore[union-attr]
    assert {group["weight_decay"] for group in groups} == {0.01}
    assert sum(len(group["params"]) for group in groups) == len(list(module.parameters()))
    with pytest.raises(ValueError, match="num_warmup_steps"):
        MaskedLM(tiny_bert, num_warmup_steps=-1)


@pytest.mark.parametrize("options", [{"layer_decay": 0.9}, {"decay_all": True}, {"warmup_fraction": 0.5}])
@pytest.mark.parametrize("is_old", [False, True])
def test_resumed_run_refuses_newer_options_too(
    is_old: bool, options: dict[str, Any], tmp_path: Path, tiny_bert: str, make_data: Any, make_trainer: Any
) -> None:
    """Checkpoints from before there were these options go on as they were made."""
    trainer = make_trainer(limit_val_batches=0)
    trainer.fit(MaskedLM(tiny_bert), make_data())
    path = tmp_path / "run.ckpt"
    trainer.save_checkpoint(path)
    if is_old:
        checkpoint = torch.load(path, weights_only=True)
        for name in ("layer_decay", "decay_all", "warmup_fraction", "decay_fraction", "optimizer"):
            del checkpoint[RECORD]["options"][name], checkpoint["hyper_parameters"][name]
        torch.save(checkpoint, path)
    (name, value), *_ = options.items()
    with pytest.raises(ValueError, match=f"model.{name} is {value}, but the checkpoint was made with"):
        make_trainer(max_epochs=2).fit(MaskedLM(tiny_bert, **options), make_data(), ckpt_path=path)
    module = MaskedLM(tiny_bert)
    make_trainer(max_epochs=2, limit_val_batches=0).fit(module, make_data(), ckpt_path=path)
    assert module.trainer.current_epoch == 2
    assert MaskedLM.load_from_checkpoint(path).hparams["layer_decay"] == 1.0


def test_schedule_may_change_on_resume_where_changes_are_allowed(
    tmp_path: Path, tiny_bert: str, make_data: Any, make_trainer: Any
) -> None:
    options: dict[str, Any] = {"limit_val_batches": 0, "enable_checkpointing": True}
    trainer, path = make_trainer(callbacks=[SaveCheckpoints()], **options), tmp_path / "run.ckpt"
    trainer.fit(MaskedLM(tiny_bert, lr=1.0, schedule="constant"), make_data())
    trainer.save_checkpoint(path)
    new: dict[str, Any] = {"lr": 0.5, "schedule": "linear", "weight_decay": 0.3, "layer_decay": 1.0}
    with pytest.raises(InputError, match=r"model.(lr|schedule|weight_decay) .*, or add --allow_changes true"):
        trainer.fit(MaskedLM(tiny_bert, **new), make_data(), ckpt_path=path)
    lrs: list[float] = []

    class Probe(MaskedLM):
        def on_train_batch_start(self, *args: Any) -> None:
            (group, plain) = self.optimizers().param_groups  # type: ignore[union-attr]
            assert (group["weight_decay"], plain["weight_decay"]) == (0.3, 0.0)
            assert group["lr"] == plain["lr"]
            lrs.append(group["lr"])

    trainer = make_trainer(callbacks=[SaveCheckpoints(allow_changes=True)], max_epochs=2, **options)
    trainer.fit(Probe(tiny_bert, **new), make_data(), ckpt_path=path)
    num_steps = 2 * len(lrs)
    assert lrs == pytest.approx([0.5 * (1 - step / num_steps) for step in range(len(lrs), num_steps)])
    with pytest.raises(InputError, match=r"model.layer_decay .* start from its hf folder"):
        trainer.fit(MaskedLM(tiny_bert, **new | {"layer_decay": 0.5}), make_data(), ckpt_path=path)


@pytest.mark.parametrize(
    ("module", "data", "message"),
    [
        ({}, {}, "give either model.model"),
        ({"model": "x", "config": {"model_type": "bert"}}, {}, "give either model.model"),
        ({"config": {"hidden_size": 8}}, {"vocab_size": 150}, "needs the field 'model_type'"),
        (
            {"config": TINY_BERT | {"hiden_size": 8}},
            {"vocab_size": 150},
            "no field 'hiden_size'; similar ones are",
        ),
        ({"config": TINY_BERT | {"num_layers": 2}}, {"vocab_size": 150}, "a bert config has no field 'num_layers'"),
        ({"config": TINY_BERT | {"dropout": 0.0}}, {"vocab_size": 150}, "a bert config has no field 'dropout'"),
        ({"config": TINY_BERT, "revision": "main"}, {}, "revision .main. has no effect without model.model"),
        ({"config": TINY_BERT}, {}, "the model is built from scratch; name one with data.tokenizer"),
        (
            {"config": TINY_BERT | {"vocab_size": 20}},
            {"vocab_size": 150},
            "has 150 tokens, but the net's vocabulary only 20",
        ),
        (
            {"config": TINY_BERT},
            {"vocab_size": 150, "block_size": 65},
            "block_size is 65, but the model takes at most 64",
        ),
    ],
)
def test_what_does_not_fit_is_refused_before_the_first_step(
    module: dict[str, Any], data: dict[str, Any], message: str, make_data: Any, make_trainer: Any
) -> None:
    with pytest.raises(ValueError, match=message):
        make_trainer().fit(MaskedLM(**module), make_data(**data))


def test_block_size_is_by_default_the_model_s_limit(
    tiny_bert: str, tiny_roberta: str, make_data: Any, make_trainer: Any
) -> None:
    for model in (tiny_bert, tiny_roberta):  # RoBERTa's table of 66 positions serves 64 tokens
        data = make_data(block_size=None)
        make_trainer(max_steps=1).fit(MaskedLM(model), data)
        assert data.sequence_length == 64


def test_weights_absent_from_a_checkpoint_are_named(
    tmp_path: Path, tiny_bert: str, make_data: Any, make_trainer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    from transformers import AutoModel, AutoTokenizer

    AutoModel.from_pretrained(tiny_bert).save_pretrained(tmp_path / "headless")
    AutoTokenizer.from_pretrained(tiny_bert).save_pretrained(tmp_path / "headless")

    def levels() -> list[str]:
        return [record.levelname for record in caplog.records if record.name.startswith("lit_mlm")]

    with caplog.at_level("INFO", logger="lit_mlm"):
        make_trainer(max_steps=1, limit_val_batches=0).fit(MaskedLM(str(tmp_path / "headless")), make_data())
        assert levels() == ["INFO"]
        assert "weights are not in" in caplog.text
        assert "cls.predictions.transform.dense.weight" in caplog.text
        caplog.clear()
        make_trainer().validate(MaskedLM(str(tmp_path / "headless")), make_data(), verbose=False)
        assert levels() == ["WARNING"]


def test_runs_are_repeatable(tiny_bert: str, cache_dir: str, run_cli: Callable[..., Path]) -> None:
    for name in ("one", "two"):
        folder = run_cli("fit", *imdb_args(tiny_bert, cache_dir), "--run_dir", name)
    one, two = (read_checkpoint(folder / name / "checkpoints" / "last.ckpt") for name in ("one", "two"))
    for name, weight in one["state_dict"].items():
        assert torch.equal(weight, two["state_dict"][name])


def take_step(step: str, module: MaskedLM, data: IMDBDataModule, folder: Path, trainer: Any = None) -> Any:
    """Calls a method of a Trainer, by default of a new one; returns the Trainer."""
    seed_everything(3)
    quiet: dict[str, Any] = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
    trainer = trainer or Trainer(accelerator="cpu", max_epochs=1, default_root_dir=folder, **quiet)
    getattr(trainer, step)(module, data)
    return trainer


def take_step_alone(step: str, start: str, data_options: dict[str, Any], folder: Path) -> None:
    """Takes a step in a process of its own, from a pretrained model or a checkpoint, and leaves its results."""
    module = MaskedLM.load_from_checkpoint(start) if start.endswith(".ckpt") else MaskedLM(start, lr=3e-3)
    take_step(step, module, IMDBDataModule(**data_options), folder)
    (folder / "results.json").write_text(json.dumps(module.results))


def test_calls_in_one_process_give_the_results_of_separate_processes(
    tiny_bert: str, cache_dir: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Training, test and validation, a second training of the same objects, and one of new objects."""
    monkeypatch.setenv("PL_GLOBAL_SEED", "3")  # is restored after the test
    options: dict[str, Any] = {"data_dir": str(FIXTURES / "aclImdb"), "block_size": 32, "cache_dir": cache_dir}
    checkpoint = str(tmp_path / "first.ckpt")
    calls = {"first": ("fit", tiny_bert), "test": ("test", checkpoint), "val": ("validate", checkpoint)}
    calls |= {"second": ("fit", checkpoint)}

    module, data, found = MaskedLM(tiny_bert, lr=3e-3), IMDBDataModule(**options), {}
    trainer = take_step("fit", module, data, tmp_path)
    found["first"] = dict(module.results)
    trainer.save_checkpoint(checkpoint)
    take_step("test", module, data, tmp_path, trainer)
    found["test"] = {"test": module.results["test"]}
    take_step("validate", module, data, tmp_path)
    found["val"] = {"val": module.results["val"]}
    take_step("fit", module, data, tmp_path)
    found["second"] = {split: module.results[split] for split in ("val", "train")}
    module = MaskedLM(tiny_bert, lr=3e-3)
    take_step("fit", module, IMDBDataModule(**options), tmp_path)

    assert module.results == found["first"]
    assert found["val"]["val"] == found["first"]["val"]
    assert found["second"]["val"]["loss"] < found["first"]["val"]["loss"]
    processes = {
        name: FORKS.Process(target=take_step_alone, args=(*call, options, tmp_path / name))
        for name, call in calls.items()
    }
    for name, process in processes.items():
        (tmp_path / name).mkdir()
        process.start()
    for name, process in processes.items():
        process.join(120)
        assert process.exitcode == 0
        alone = json.loads((tmp_path / name / "results.json").read_text())
        assert {split: alone[split] for split in found[name]} == found[name]
