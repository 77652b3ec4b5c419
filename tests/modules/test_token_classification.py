"""Token classification: the loss, labels by name, freezing, checkpoints and folders."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F
from transformers import (
    AutoConfig,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES

from lit_mlm import CoNLLDataModule, MaskedLM, TokenClassification
from lit_mlm.callbacks.print_progress import PrintProgress
from lit_mlm.callbacks.save_checkpoints import SaveCheckpoints
from lit_mlm.callbacks.save_results import SaveResults
from lit_mlm.callbacks.stop_early import StopEarly
from lit_mlm.errors import InputError
from lit_mlm.inference.export import export_checkpoint
from lit_mlm.runs.checkpoints import RECORD, read_checkpoint
from tests.conftest import FIXTURES, NO_DROPOUT
from tests.modules.tagged_data import TaggedData, draw_sentences
from tests.nets.architectures import TINY

LABELS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
TYPES = ["PER", "ORG", "LOC", "MISC"]
SHUFFLED = ["I-LOC", "B-PER", "O", "B-LOC", "I-PER"]


@pytest.fixture
def make_data() -> Callable[..., TaggedData]:
    def make(tokenizer: Any = None, labels: list[str] | None = None, **options: Any) -> TaggedData:
        return TaggedData(draw_sentences(24), labels or LABELS, tokenizer, **options)

    return make


def get_net(module: TokenClassification) -> Any:
    assert module.net is not None
    return module.net


@pytest.mark.parametrize("name", sorted(set(TINY) & set(MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES)))
def test_loss_and_gradients_are_those_of_transformers(name: str) -> None:
    """Every architecture; a batch with padding, context and later pieces that are not scored."""
    torch.manual_seed(0)
    module = TokenClassification(config={"model_type": name})
    module.net = net = AutoModelForTokenClassification.from_config(AutoConfig.for_model(name, **TINY[name]))
    net.eval()  # SqueezeBERT and others have dropout that TINY doesn't name
    generator = torch.Generator().manual_seed(0)
    batch = {
        "input_ids": torch.randint(5, 90, (3, 16), generator=generator),
        "attention_mask": torch.ones(3, 16, dtype=torch.int64),
        "labels": torch.randint(0, 2, (3, 16), generator=generator),
    }
    batch["attention_mask"][2, 10:] = 0
    batch["labels"][2, 10:] = batch["labels"][:, ::3] = -100
    torch.manual_seed(1)
    loss = net(**batch).loss
    loss.backward()
    expected = {key: p.grad.clone() for key, p in net.named_parameters() if p.grad is not None}
    net.zero_grad()
    torch.manual_seed(1)
    nats, num_scored = module.sum_loss(batch)
    (nats / num_scored).backward()
    assert num_scored == int((batch["labels"] != -100).sum())
    torch.testing.assert_close(nats / num_scored, loss)
    found = {key: p.grad for key, p in net.named_parameters() if p.grad is not None}
    assert found.keys() == expected.keys()
    for key, gradient in expected.items():
        torch.testing.assert_close(found[key], gradient, rtol=1e-4, atol=1e-6)


def test_a_masked_language_model_becomes_a_tagger(
    tiny_bert: str, make_data: Any, make_trainer: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """From YAML's options to a folder that a pipeline loads; the figures of the run are those of the folder."""
    with caplog.at_level(logging.INFO, "lit_mlm"):
        module, data = TokenClassification(tiny_bert, lr=8e-3), make_data()
        assert module.label_names is None
        saver = SaveCheckpoints()
        callbacks = [SaveResults(), PrintProgress(), saver]
        trainer = make_trainer(max_epochs=10, num_sanity_val_steps=-1, callbacks=callbacks, enable_checkpointing=True)
        trainer.fit(module, data)
    assert "2 weights are not in" in caplog.text
    assert "classifier.bias, classifier.weight" in caplog.text
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["start/val/f1"] < 0.5
    assert 0.7 < metrics["val/f1"] <= 1
    assert metrics["val/f1/PER"] > 0.6
    for name, fact in data.describe_split("val").items():
        assert metrics[f"val/{name}"] == fact
    assert metrics["val/num_words_lost_by_truncation"] > 0
    assert "val/f1" in trainer.callback_metrics
    parts = {name: float(value) for name, value in trainer.callback_metrics.items() if name.count("/") > 1}
    assert parts == pytest.approx({f"val/f1/{kind}": metrics[f"last/val/f1/{kind}"] for kind in ("PER", "LOC")})
    assert saver.monitor == "val/f1"
    assert saver.mode == "max"

    config = json.loads((tmp_path / "hf" / "config.json").read_text())
    assert config["id2label"] == {str(i): label for i, label in enumerate(LABELS)}
    assert config["label2id"] == {label: i for i, label in enumerate(LABELS)}
    assert config["lit_mlm"] == data.tagging_options | {"decoding": "argmax"}
    assert "pipeline_tag: token-classification" in (tmp_path / "hf" / "README.md").read_text()
    again = TokenClassification(str(tmp_path / "hf"))
    assert again.label_names == LABELS
    (figures,) = make_trainer().validate(again, make_data(), verbose=False)
    assert figures["val/f1"] == pytest.approx(metrics["val/f1"])
    net = AutoModelForTokenClassification.from_pretrained(tmp_path / "hf").eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "hf")
    text = tokenizer("the film and Anna Anna , Rome", return_tensors="pt")
    with torch.inference_mode():
        tags = [LABELS[i] for i in net(**text).logits[0].argmax(-1).tolist()]
    assert {"B-PER", "B-LOC", "O"} <= set(tags)


def test_dropout_is_on_in_training(tiny_bert: str, make_data: Any, make_trainer: Any) -> None:
    losses: list[float] = []

    class Probe(TokenClassification):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            losses.extend(self.sum_loss(batch)[0].item() for _ in range(2))
            return super().training_step(batch, batch_idx)

    make_trainer(max_steps=1, limit_val_batches=0).fit(Probe(tiny_bert), make_data())
    assert losses[0] != losses[1]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"label_smoothing": 0.1},
        {"class_weights": {"O": 0.01, "B-LOC": 3.0}},
        {"class_weights": dict.fromkeys(LABELS, 1e-4)},
        {"label_smoothing": 0.3, "class_weights": {"I-PER": 0.0}},
    ],
)
def test_accumulated_gradient_is_torch_s_of_one_dense_batch(
    options: dict[str, Any], make_data: Any, make_trainer: Any, wordpiece: Any
) -> None:
    """Weights and smoothing too: the mean is over the weight of the whole step, not of each batch."""
    collected: list[Any] = []

    class Probe(TokenClassification):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            collected.append(batch)
            return super().training_step(batch, batch_idx)

        def configure_gradient_clipping(self, optimizer: Any, *args: Any, **kwargs: Any) -> None:
            super().configure_gradient_clipping(optimizer, *args, **kwargs)
            self.gradients = {n: p.grad.clone() for n, p in self.named_parameters() if p.grad is not None}

    module = Probe(config=NO_DROPOUT, lr=0.0, weight_decay=0.0, **options)
    trainer = make_trainer(accumulate_grad_batches=3, max_steps=1, limit_val_batches=0)
    trainer.fit(module, make_data(wordpiece, batch_size=3))
    assert len(collected) == 3
    net = get_net(module)
    net.zero_grad()
    logits = [net(b["input_ids"], attention_mask=b["attention_mask"]).logits.flatten(0, 1) for b in collected]
    weights = [options.get("class_weights", {}).get(label, 1.0) for label in LABELS]
    loss = F.cross_entropy(
        torch.cat(logits),
        torch.cat([b["labels"].flatten() for b in collected]),
        weight=torch.tensor(weights),
        label_smoothing=options.get("label_smoothing", 0.0),
    )
    loss.backward()
    for name, parameter in module.named_parameters():
        torch.testing.assert_close(module.gradients[name], parameter.grad, rtol=1e-4, atol=1e-7)
    assert float(module.train_loss.compute()) == pytest.approx(loss.item(), rel=1e-5)


def save_tagger(folder: Path, module: TokenClassification, tokenizer: Any) -> str:
    get_net(module).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture
def tagger(make_data: Any, make_trainer: Any, wordpiece: Any, tmp_path: Path) -> tuple[str, dict[str, Any], Path]:
    """A trained one: its folder, its figures and its checkpoint."""
    torch.manual_seed(0)
    module, trainer = TokenClassification(config=NO_DROPOUT, lr=1e-2), make_trainer(max_epochs=3)
    trainer.fit(module, make_data(wordpiece))
    trainer.save_checkpoint(tmp_path / "run.ckpt")
    folder = save_tagger(tmp_path / "tagger", module, wordpiece)
    assert module.results["val"]["f1"] > 0.3
    return folder, module.results["val"], tmp_path / "run.ckpt"


def test_labels_in_another_order_are_mapped_by_name(
    tagger: Any, make_data: Any, make_trainer: Any, tmp_path: Path
) -> None:
    """Of a pretrained tagger, by Python's way to a checkpoint, and by the command line's."""
    folder, expected, path = tagger
    pretrained = TokenClassification(folder)
    assert pretrained.label_names == LABELS
    fresh = TokenClassification(config=NO_DROPOUT, lr=1e-2)
    told = TokenClassification(config=NO_DROPOUT, lr=1e-2)
    told.restore_from(read_checkpoint(path)[RECORD])
    assert told.label_names == LABELS
    restored = TokenClassification.load_from_checkpoint(path)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    for module, ckpt in ((pretrained, None), (fresh, path), (told, path), (restored, None)):
        data = make_data(tokenizer, SHUFFLED)
        make_trainer().validate(module, data, ckpt_path=ckpt, verbose=False)
        for name in ("f1", "f1_pieces", "accuracy", "f1/LOC", "loss"):
            assert module.results["val"][name] == pytest.approx(expected[name], rel=1e-5), name
        assert get_net(module).config.id2label == dict(enumerate(LABELS))
    trainer = make_trainer(max_epochs=2, limit_train_batches=2)
    trainer.fit(pretrained, make_data(tokenizer, SHUFFLED))  # training goes by the same order
    assert pretrained.results["val"]["f1"] > expected["f1"] - 0.1
    trainer.save_checkpoint(tmp_path / "more.ckpt")
    export_checkpoint(tmp_path / "more.ckpt", tmp_path / "hf")
    assert AutoConfig.from_pretrained(tmp_path / "hf").id2label == dict(enumerate(LABELS))


def test_weights_of_classes_go_by_name_in_another_order(tagger: Any, make_data: Any, make_trainer: Any) -> None:
    folder, *_ = tagger
    losses = []
    for labels in (LABELS, SHUFFLED):
        module = TokenClassification(folder, class_weights={"B-LOC": 9.0, "O": 0.1}, lr=0.0)
        make_trainer(limit_val_batches=0).fit(module, make_data(AutoTokenizer.from_pretrained(folder), labels))
        losses.append(module.results["train"]["loss"])
    assert losses[0] == pytest.approx(losses[1])


@pytest.mark.parametrize("labels", [["O", "B-PER", "I-PER", "B-LOC", "I-LOC", "B-X"], [*SHUFFLED[:2], "O", "B", "I"]])
def test_other_labels_get_a_new_head_and_are_refused_of_a_checkpoint(
    labels: list[str], tagger: Any, make_data: Any, make_trainer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The second set is as large as the old one, so that the old head would fit."""
    folder, _, path = tagger
    tokenizer = AutoTokenizer.from_pretrained(folder)
    data = make_data(tokenizer, labels)
    data.sentences = [(words, ["O"] * len(words)) for words, _ in data.sentences]
    module = TokenClassification(folder, lr=0.0)
    with caplog.at_level(logging.INFO, "lit_mlm"):
        make_trainer(max_steps=1, limit_val_batches=0).fit(module, data)
    assert "2 weights are not in" in caplog.text
    assert get_net(module).config.id2label == dict(enumerate(labels))
    old = AutoModelForTokenClassification.from_pretrained(folder).state_dict()
    for name, weight in get_net(module).state_dict().items():
        assert torch.equal(weight, old[name]) == ("classifier" not in name)
    assert get_net(module).classifier.weight.detach().std() == pytest.approx(0.02, rel=0.3)

    names = r"has the labels O, B-PER, I-PER, B-LOC, I-LOC, but the data " + ", ".join(labels)
    for other in (TokenClassification(config=NO_DROPOUT, lr=1e-2), TokenClassification.load_from_checkpoint(path)):
        with pytest.raises(InputError, match=f"the checkpoint {names}"):
            make_trainer().validate(other, data, ckpt_path=path, verbose=False)
    with pytest.raises(InputError, match=f"the checkpoint {names}"):
        make_trainer().fit(TokenClassification(config=NO_DROPOUT, lr=1e-2), data, ckpt_path=path)
    built = TokenClassification(folder)
    built.build()
    with pytest.raises(InputError, match=f"the net {names}"):
        make_trainer().validate(built, data, verbose=False)


def test_the_head_of_another_task_is_not_taken(
    tiny_bert: str, wordpiece: Any, make_data: Any, make_trainer: Any, tmp_path: Path
) -> None:
    """A classifier of texts has a weight of the same name and, with five classes, shape."""
    net = AutoModelForSequenceClassification.from_config(AutoConfig.from_pretrained(tiny_bert, num_labels=5))
    net.classifier.weight.data.fill_(7.0)
    net.save_pretrained(tmp_path / "texts")
    wordpiece.save_pretrained(tmp_path / "texts")
    module = TokenClassification(str(tmp_path / "texts"), lr=0.0)
    make_trainer(max_steps=1, limit_val_batches=0).fit(module, make_data())
    assert module.new_weights == ["classifier.bias", "classifier.weight"]
    assert get_net(module).classifier.weight.abs().max() < 1


@pytest.mark.parametrize(
    ("options", "frozen"),
    [
        ({"freeze_embeddings": True}, ("embeddings.",)),
        ({"freeze_layers": 1}, ("layer.0.",)),
        ({"freeze_embeddings": True, "freeze_layers": 2}, ("embeddings.", "layer.0.", "layer.1.")),
        ({"freeze_layers": 1, "layer_decay": 0.5}, ("layer.0.",)),
    ],
)
def test_frozen_weights_stay(
    options: dict[str, Any], frozen: tuple[str, ...], tiny_bert: str, make_data: Any, make_trainer: Any
) -> None:
    module = TokenClassification(tiny_bert, lr=1e-2, **options)
    make_trainer(max_steps=3, limit_val_batches=0).fit(module, make_data())
    start = AutoModelForMaskedLM.from_pretrained(tiny_bert).state_dict()
    changed = 0
    for name, weight in get_net(module).named_parameters():
        is_frozen = any(part in name for part in frozen)
        assert weight.requires_grad != is_frozen
        if name in start:
            assert torch.equal(weight, start[name]) == is_frozen, name
            changed += not is_frozen
    assert changed > 0 or len(frozen) == 3
    optimized = {id(p) for group in module.optimizers().param_groups for p in group["params"]}  # type: ignore[union-attr]
    assert optimized == {id(p) for p in module.parameters() if p.requires_grad}


def test_run_goes_on(tiny_bert: str, make_data: Any, make_trainer: Any, tmp_path: Path) -> None:
    options: dict[str, Any] = {"lr": 1e-2, "label_smoothing": 0.1, "class_weights": {"O": 0.5}, "freeze_layers": 1}
    module, trainer = TokenClassification(tiny_bert, **options), make_trainer()
    trainer.fit(module, make_data())
    path = tmp_path / "run.ckpt"
    trainer.save_checkpoint(path)
    restored = TokenClassification.load_from_checkpoint(path)
    for name, weight in module.state_dict().items():
        assert torch.equal(restored.state_dict()[name], weight)
    assert restored.hparams == module.hparams
    resumed = TokenClassification(tiny_bert, **options)
    make_trainer(max_epochs=3).fit(resumed, make_data(), ckpt_path=path)
    assert resumed.trainer.current_epoch == 3
    assert resumed.results["val"]["f1"] > module.results["val"]["f1"]
    changed = TokenClassification(tiny_bert, **options | {"label_smoothing": 0.0})
    with pytest.raises(InputError, match=r"model.label_smoothing is 0.0, but the checkpoint was made with 0.1"):
        make_trainer(max_epochs=3).fit(changed, make_data(), ckpt_path=path)
    viterbi = TokenClassification(tiny_bert, **options, decoding="viterbi")  # an evaluation may decode otherwise
    make_trainer().validate(viterbi, make_data(), ckpt_path=path, verbose=False)
    assert viterbi.results["val"]["f1"] == viterbi.results["val"]["f1_strict"] != module.results["val"]["f1"]
    assert viterbi.results["val"]["f1_pieces"] == pytest.approx(module.results["val"]["f1_pieces"])


def test_checkpoints_of_other_tasks_are_refused(
    tagger: Any, tiny_bert: str, make_data: Any, make_trainer: Any, tmp_path: Path
) -> None:
    *_, path = tagger
    for load in (MaskedLM.load_from_checkpoint, lambda p: MaskedLM(tiny_bert).restore_from(read_checkpoint(p)[RECORD])):
        with pytest.raises(InputError, match=r"is of an AutoModelForTokenClassification, but MaskedLM needs"):
            load(path)


def test_figures_do_not_depend_on_batches_or_overlap_ends(tagger: Any, make_data: Any, make_trainer: Any) -> None:
    folder, expected, _ = tagger
    for options in ({"batch_size": 1}, {"batch_size": 100, "num_empty": 2}):
        module = TokenClassification(folder)
        make_trainer().test(module, make_data(AutoTokenizer.from_pretrained(folder), **options), verbose=False)
        assert module.results["test"] == pytest.approx(expected)


@pytest.fixture
def validate(news_tagger: str, cache_dir: str, make_trainer: Any) -> Callable[..., dict[str, Any]]:
    """All figures of the validation of sample news, most of whose sentences are longer than a window."""

    def validate(**options: Any) -> dict[str, Any]:
        defaults: dict[str, Any] = {
            "data_dir": str(FIXTURES / "conll"),
            "cache_dir": cache_dir,
            "window": 14,
            "stride": 3,
        }
        module, data = TokenClassification(news_tagger), CoNLLDataModule(**(defaults | options))
        make_trainer().validate(module, data, verbose=False)
        return module.results["val"]

    return validate


def test_validation_is_the_same_for_any_batches_and_workers(validate: Any) -> None:
    """All figures but the share of padding."""
    expected = validate(batch_size=7, num_workers=2)
    assert expected["num_windows"] > 2 * expected["num_sentences"]
    assert 0.2 < expected["f1_low"] < expected["f1"] < expected["f1_high"] < 1
    for options in (
        *({"batch_size": 1}, {"batch_size": 64}, {"max_tokens_per_batch": 512}),
        *({"max_tokens_per_batch": 150, "num_workers": 2}, {"batch_size": 1000, "group_by_length": True}),
    ):
        found = validate(**options)
        assert found.pop("padding_fraction") != expected["padding_fraction"]
        assert found.pop("loss") == pytest.approx(expected["loss"], rel=1e-6)
        assert found == {name: expected[name] for name in found}
        assert len(found) == len(expected) - 2


def test_both_layouts_of_the_files_give_the_same_figures(validate: Any) -> None:
    assert validate(data_dir=str(FIXTURES / "conll_iob1")) == validate()


def test_a_sentence_of_2000_words_loses_nothing(validate: Any, news_tagger: str, tmp_path: Path) -> None:
    """What is scored is what the file holds; what truncation would lose, `transformers` says."""
    (tmp_path / "2000").mkdir()
    lines = (FIXTURES / "conll" / "valid.txt").read_text().splitlines()
    rows = [line for line in lines if line and not line.startswith("-DOCSTART-")] * 3
    words, tags = ([row.split()[column] for row in rows[:2000]] for column in (0, -1))
    (tmp_path / "2000" / "valid.txt").write_text("\n".join(rows[:2000]))
    figures = validate(data_dir=str(tmp_path / "2000"), window=None, stride=None)
    starts = [i for i, tag in enumerate(tags) if tag.startswith("B-")]
    assert (figures["num_sentences"], figures["num_words"], len(words)) == (1, 2000, 2000)
    assert figures["num_gold_entities"] == sum(figures[f"num_gold/{kind}"] for kind in TYPES) == len(starts) > 300
    tokenizer = AutoTokenizer.from_pretrained(news_tagger)
    kept = tokenizer(words, is_split_into_words=True, truncation=True, max_length=64).word_ids()[1:-1]
    assert figures["num_words_lost_by_truncation"] == 2000 - 1 - kept[-1] > 1900
    ends = [next(j for j in range(i + 1, 2001) if not [*tags, "O"][j].startswith("I-")) for i in starts]
    assert figures["num_entities_lost_by_truncation"] == sum(end > kept[-1] + 1 for end in ends) > 300
    assert figures["num_windows"] > 2000 / 62


def test_words_that_were_not_scored_are_a_fault(tagger: Any, make_data: Any, make_trainer: Any) -> None:
    folder, *_ = tagger
    for name in ("num_words", "num_gold_entities"):
        data = make_data()
        data.wrong_facts = {name: 5}
        with pytest.raises(RuntimeError, match=f"val/{name}: 5 in the data, but .* were scored"):
            make_trainer().validate(TokenClassification(folder), data, verbose=False)
        module = TokenClassification(folder)
        make_trainer(limit_val_batches=1).validate(module, data, verbose=False)
        assert module.results["val"]["num_words"] < data.describe_split("val")["num_sentences"] * 40
        assert not {"data_fingerprint", "num_sentences"} & set(module.results["val"])


def test_plain_tags_go_by_accuracy(
    tiny_bert: str, make_data: Any, make_trainer: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saver, stopper = SaveCheckpoints(), StopEarly(patience=9)
    callbacks = [SaveResults(), PrintProgress(), saver, stopper]
    module, data = TokenClassification(tiny_bert, lr=1e-2, decoding="viterbi"), make_data(scheme=None)
    trainer = make_trainer(max_epochs=2, callbacks=callbacks, enable_checkpointing=True)
    trainer.fit(module, data)
    assert saver.monitor == stopper.monitor == "val/accuracy"
    assert "f1/O" in module.results["val"]
    assert not [name for name in trainer.callback_metrics if name.count("/") > 1]  # there are too many tags
    assert "f1" not in module.results["val"]
    assert "val accuracy " in capsys.readouterr().out
    lines = module.describe_results(module.results["val"])
    assert [line.split()[0] for line in lines] == ["type", *LABELS]


def test_table_at_the_end_of_test(
    tagger: Any, make_data: Any, make_trainer: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, expected, _ = tagger
    module = TokenClassification(folder)
    make_trainer(callbacks=[SaveResults(), PrintProgress()]).test(module, make_data(), verbose=False)
    lines = capsys.readouterr().out.splitlines()
    start = lines.index("type  precision  recall      F1  number")
    assert [line.split()[0] for line in lines[start + 1 : start + 4]] == ["PER", "LOC", "all"]
    assert len({len(line) for line in lines[start : start + 4]}) == 1
    _, precision, recall, f1, number = lines[start + 3].split()
    assert float(f1) == pytest.approx(expected["f1"], abs=1e-4)
    assert (float(precision), float(recall)) == pytest.approx((expected["precision"], expected["recall"]), abs=1e-4)
    assert int(number) == expected["num_gold_entities"]
    assert module.describe_results({"f1/MISC": 1.0, "precision/MISC": 1, "recall/MISC": 1, "support/MISC": 2002}) == [
        "type  precision  recall      F1  number",
        "MISC     1.0000  1.0000  1.0000   2,002",
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label_smoothing": 1.0}, "model.label_smoothing must be at least 0 and below 1, got 1.0"),
        ({"class_weights": {"O": -1.0}}, "model.class_weights must be at least 0"),
        ({"freeze_layers": -1}, "model.freeze_layers must be at least 0, got -1"),
        ({"decoding": "beam"}, "model.decoding must be one of argmax, viterbi, got 'beam'"),
        ({"class_weights": {"B-PRE": 2.0}}, "model.class_weights has B-PRE, .*; did you mean B-PER?"),
        ({"freeze_layers": 3}, "model.freeze_layers is 3, but the net has 2 layers"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    options: dict[str, Any], message: str, tiny_bert: str, make_data: Any, make_trainer: Any
) -> None:
    with pytest.raises(InputError, match=message):
        make_trainer().fit(TokenClassification(tiny_bert, **options), make_data())


def test_text_without_tags_is_refused(tiny_bert: str, cache_dir: str, make_trainer: Any) -> None:
    from lit_mlm import IMDBDataModule
    from tests.conftest import FIXTURES

    data = IMDBDataModule(str(FIXTURES / "aclImdb"), block_size=32, cache_dir=cache_dir)
    with pytest.raises(InputError, match="needs a data module of tagged words, but IMDBDataModule has no labels"):
        make_trainer().fit(TokenClassification(tiny_bert), data)


def test_step_s_loss_is_a_mean(tiny_bert: str, make_data: Any, make_trainer: Any) -> None:
    module = TokenClassification(tiny_bert, class_weights=dict.fromkeys(LABELS, 1e-3))
    trainer = make_trainer(max_steps=1, limit_val_batches=0)
    trainer.fit(module, make_data())
    assert 0.5 < float(trainer.callback_metrics["train/loss_step"]) < 3
