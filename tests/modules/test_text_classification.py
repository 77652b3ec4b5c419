"""`TextClassification` on the fixtures' reviews: equal to `transformers`, by windows, with several labels."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from tokenizers.processors import BertProcessing
from torch.nn import functional as F
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

from lit_mlm import IMDBSentimentDataModule, LabelledFilesDataModule, MaskedLM, TextClassification, TokenClassification
from lit_mlm.errors import InputError
from lit_mlm.inference.classify import classify_texts, load_classifier
from lit_mlm.inference.export import export_checkpoint
from tests.conftest import FIXTURES, NO_DROPOUT, save_model

MakeTrainer = Callable[..., Trainer]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, wordpiece: Any) -> str:
    """The folder of a BERT without dropout."""
    return save_model(tmp_path_factory.mktemp("model"), NO_DROPOUT, wordpiece)


def make_data(cache_dir: str, **options: Any) -> IMDBSentimentDataModule:
    return IMDBSentimentDataModule(str(FIXTURES / "aclImdb"), cache_dir=cache_dir, batch_size=4, **options)


def run(trainer: Trainer, module: TextClassification, data: Any) -> dict[str, Any]:
    trainer.fit(module, data)
    trainer.test(module, data, verbose=False)
    return module.results["test"]


def test_the_loss_and_its_gradient_are_those_of_transformers(
    model: str, cache_dir: str, make_trainer: MakeTrainer
) -> None:
    data, module = make_data(cache_dir, window=24), TextClassification(model)
    trainer = make_trainer(fast_dev_run=True)
    trainer.fit(module, data)
    net: Any = module.net
    batch = next(iter(data.train_dataloader()))
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    nats, number = module.sum_loss(batch)
    ours = torch.autograd.grad(nats / number, net.classifier.weight)[0]
    theirs = net(**inputs, labels=batch["labels"]).loss
    assert (nats / number).item() == pytest.approx(theirs.item(), abs=1e-6)
    assert torch.allclose(ours, torch.autograd.grad(theirs, net.classifier.weight)[0], atol=1e-6)
    assert net.config.id2label == {0: "neg", 1: "pos"}


@pytest.mark.parametrize("long_texts", ["head", "windows"])
def test_a_run_is_the_same_for_any_batching_of_its_evaluation(
    model: str, cache_dir: str, make_trainer: MakeTrainer, long_texts: Any
) -> None:
    found = []
    for size, packs in ((1, True), (12, False)):
        torch.manual_seed(0)
        data = make_data(cache_dir, window=16, long_texts=long_texts, eval_batch_size=size, pack_batches=packs)
        metrics = run(make_trainer(), TextClassification(model, lr=1e-3), data)
        assert data.packs is packs
        assert metrics["num_texts"] == 12
        assert (metrics["num_windows"] > 12) is (long_texts == "windows")
        found.append({name: value for name, value in metrics.items() if name != "padding_fraction"})
    assert found[0] == pytest.approx(found[1], abs=1e-6)


def test_windows_are_averaged_with_their_gradient(model: str, cache_dir: str, make_trainer: MakeTrainer) -> None:
    data, module = make_data(cache_dir, window=12, stride=2, long_texts="windows"), TextClassification(model)
    make_trainer(fast_dev_run=True).fit(module, data)
    net: Any = module.net
    batch = next(batch for batch in data.train_dataloader() if len(batch["labels"]) == 4)
    assert len(batch["input_ids"]) > len(batch["labels"]) == 4
    logits = net(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    means = torch.stack([logits[batch["row_texts"] == text].mean(dim=0) for text in range(4)])
    assert torch.allclose(module.compute_logits(batch), means, atol=1e-6)
    nats, number = module.sum_loss(batch)
    assert (nats / number).item() == pytest.approx(F.cross_entropy(means, batch["labels"]).item(), abs=1e-6)
    ours = torch.autograd.grad(nats, net.classifier.weight)[0]
    theirs = torch.autograd.grad(F.cross_entropy(means, batch["labels"], reduction="sum"), net.classifier.weight)[0]
    assert torch.allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("long_texts", ["head", "both", "windows"])
def test_predictions_metrics_and_the_exported_model_agree(
    model: str, cache_dir: str, make_trainer: MakeTrainer, tmp_path: Path, long_texts: Any
) -> None:
    data, module = make_data(cache_dir, window=16, long_texts=long_texts), TextClassification(model, lr=1e-3)
    trainer = make_trainer(enable_checkpointing=False)
    metrics = run(trainer, module, data)
    records: dict[int, Any] = {}
    for outputs in trainer.predict(module, data) or ():
        records |= outputs
    assert sorted(records) == list(range(12))
    right = sum(record["label"] == record["gold"] for record in records.values())
    assert metrics["accuracy"] == right / 12
    assert records[0]["place"].endswith("aclImdb/test/neg/0_3.txt")
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    export_checkpoint(tmp_path / "last.ckpt", tmp_path / "hf")
    net, tokenizer = load_classifier(str(tmp_path / "hf"))
    texts = [text.columns[0] for text in data.texts["test"]]
    for record, found in zip((records[i] for i in range(12)), classify_texts(net, tokenizer, texts), strict=True):
        assert found["labels"] == [record["label"]]
        assert found["scores"] == pytest.approx(record["scores"], abs=2e-6)
    if long_texts == "head":
        tokenizer.model_max_length = 16
        make_pipeline: Any = pipeline
        classify = make_pipeline("text-classification", model=net, tokenizer=tokenizer, top_k=None)
        for record, found in zip((records[i] for i in range(12)), classify(texts, truncation=True), strict=True):
            assert {one["label"]: one["score"] for one in found} == pytest.approx(record["scores"], abs=2e-6)


def test_a_pretrained_classifier_with_the_same_labels_keeps_its_head(
    model: str, cache_dir: str, make_trainer: MakeTrainer, tmp_path: Path
) -> None:
    labels = {"id2label": {0: "pos", 1: "neg"}, "label2id": {"pos": 0, "neg": 1}}
    net = AutoModelForSequenceClassification.from_pretrained(model, **labels)
    net.save_pretrained(tmp_path / "classifier")
    module = TextClassification(str(tmp_path / "classifier"))
    data = make_data(cache_dir, window=24, tokenizer=model)
    make_trainer(logger=False).validate(module, data, verbose=False)
    assert data.labels == ["pos", "neg"] == module.label_names
    ours: Any = module.net
    assert torch.equal(ours.classifier.weight, net.classifier.weight)
    given = make_data(cache_dir, window=24, tokenizer=model, labels=["neg", "pos"])
    make_trainer(fast_dev_run=True).fit(module := TextClassification(str(tmp_path / "classifier")), given)
    ours = module.net
    assert ours.config.id2label == {0: "pos", 1: "neg"}
    assert module.new_weights == []


def write_topics(folder: Path) -> str:
    topics = {"boring": ["dull"], "great": ["fine"], "the": ["plain"], "great and boring": ["dull", "fine"]}
    rows = [
        {"title": f"film {i}", "text": f"a {word} film", "label": topics[word]} for i in range(8) for word in topics
    ]
    path = folder / "topics.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return str(path)


def test_several_labels_per_text(model: str, cache_dir: str, make_trainer: MakeTrainer, tmp_path: Path) -> None:
    files = write_topics(tmp_path)
    data = LabelledFilesDataModule(files, multi_label=True, cache_dir=cache_dir, batch_size=8, val_fraction=0.25)
    torch.manual_seed(0)
    module = TextClassification(model, lr=1e-2, class_weights={"dull": 2.0})
    trainer = make_trainer(max_epochs=40)
    trainer.fit(module, data)
    metrics = module.results["val"]
    assert data.labels == ["dull", "fine", "plain"]
    assert metrics["f1_micro"] > 0.8
    assert {"exact_match", "f1_micro_low", "f1_macro", "f1/dull", "support/plain"} <= metrics.keys()
    assert "accuracy" not in metrics
    assert module.monitor == "val/f1_micro"
    net: Any = module.net
    assert net.config.problem_type == "multi_label_classification"
    data.predict_split = "val"
    predicted: Any = trainer.predict(module, data)
    (record, *_) = predicted[0].values()
    assert isinstance(record["labels"], list)
    assert isinstance(record["gold"], list)


def test_predict_needs_no_labels(model: str, cache_dir: str, make_trainer: MakeTrainer, tmp_path: Path) -> None:
    files = write_topics(tmp_path)
    (tmp_path / "new.csv").write_text("text\na great film\n")
    options: dict[str, Any] = {"multi_label": True, "cache_dir": cache_dir, "labels": ["dull", "fine", "plain"]}
    data = LabelledFilesDataModule(files, test_files=str(tmp_path / "new.csv"), **options)
    module = TextClassification(model)
    trainer = make_trainer(fast_dev_run=False)
    predicted: Any = trainer.predict(module, data)
    (records,) = predicted
    assert "gold" not in records[0]
    with pytest.raises(InputError, match=r"new.csv, line 2: no column 'label', only 'text'"):
        trainer.test(module, data, verbose=False)


def test_a_pair_of_texts_is_encoded_as_transformers_does(
    model: str, wordpiece: Any, cache_dir: str, make_trainer: MakeTrainer, tmp_path: Path
) -> None:
    names = ["input_ids", "attention_mask", "token_type_ids"]
    wordpiece.save_pretrained(tmp_path / "tokenizer")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "tokenizer", model_input_names=names)
    ends: Any = [(tokenizer.sep_token, tokenizer.sep_token_id), (tokenizer.cls_token, tokenizer.cls_token_id)]
    tokenizer.backend_tokenizer.post_processor = BertProcessing(*ends)
    tokenizer.save_pretrained(tmp_path)
    options: dict[str, Any] = {"text_column": ["title", "text"], "multi_label": True, "cache_dir": cache_dir}
    data = LabelledFilesDataModule(write_topics(tmp_path), tokenizer=str(tmp_path), window=9, **options)
    make_trainer(fast_dev_run=True).fit(module := TextClassification(model), data)
    net: Any = module.net
    batch = next(iter(data.val_dataloader()))
    pairs = [data.texts["val"][i].columns for i in batch["texts"].tolist()]
    limits: dict[str, Any] = {"padding": True, "truncation": True, "max_length": 9, "return_tensors": "pt"}
    expected = data.tokenizer([a for a, _ in pairs], [b for _, b in pairs], **limits)
    for name in names:
        assert torch.equal(batch[name], expected[name])
    assert batch["token_type_ids"].any()
    theirs = net(**expected).logits
    # To rounding: the last layer runs on the first tokens alone, whose products are summed in another order.
    assert float((module.compute_logits(batch) - theirs).detach().abs().max()) < 1e-7
    alone = net(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    assert float((alone - theirs).detach().abs().max()) > 1e-5


def test_class_weights_are_exact_in_low_precision(model: str, cache_dir: str, make_trainer: MakeTrainer) -> None:
    module = TextClassification(model, class_weights={"pos": 1.001})
    make_trainer(fast_dev_run=True, precision="bf16-mixed").fit(module, make_data(cache_dir, window=24))
    weights: Any = module.weights
    assert weights.tolist() == torch.tensor([1.0, 1.001]).tolist()


def test_wrong_partners_are_refused(model: str, cache_dir: str, make_trainer: MakeTrainer) -> None:
    data = make_data(cache_dir, window=24)
    with pytest.raises(InputError, match="use --model TextClassification"):
        make_trainer(fast_dev_run=True).fit(MaskedLM(model), data)
    with pytest.raises(InputError, match="TokenClassification needs a data module of tagged words"):
        make_trainer(fast_dev_run=True).fit(TokenClassification(model), data)
    with pytest.raises(InputError, match=r"model.class_weights has good, not among the labels neg, pos"):
        make_trainer(fast_dev_run=True).fit(TextClassification(model, class_weights={"good": 2.0}), data)
