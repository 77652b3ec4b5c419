"""Models that can't be loaded."""

import errno
import json
from pathlib import Path
from unittest.mock import Mock

import pytest
from huggingface_hub import errors
from transformers import AutoConfig, AutoModelForMaskedLM, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging

from lit_mlm.errors import InputError
from lit_mlm.nets.loading import loading
from lit_mlm.nets.pretrained import build_net, load_config, load_net, load_tokenizer, make_config
from tests.hub_server import Hub

BERT = {
    "model_type": "bert",
    "hidden_size": 8,
    "num_attention_heads": 2,
    "num_hidden_layers": 1,
    "intermediate_size": 8,
    "vocab_size": 9,
}


def make_hub_error(kind: type[errors.HfHubHTTPError]) -> OSError:
    """An error as `transformers` raises it, from one of the Hub's."""
    error = OSError("We couldn't load it. " + "Long advice. " * 9)
    error.__cause__ = kind("the Hub's words", response=Mock())
    return error


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (make_hub_error(errors.GatedRepoError), "the repository is gated .*HF_TOKEN or run hf auth login"),
        (make_hub_error(errors.RepositoryNotFoundError), "the Hub has no such repository, or it is private"),
        (make_hub_error(errors.RevisionNotFoundError), "the Hub has no such revision"),
        (make_hub_error(errors.HfHubHTTPError), "We couldn't load it"),
        (errors.OfflineModeIsEnabled("off"), "the Hub can't be reached, as HF_HUB_OFFLINE is set"),
    ],
)
def test_the_hub_s_refusals_have_their_reason(error: Exception, reason: str) -> None:
    with pytest.raises(InputError, match=reason) as caught, loading("user/model"):
        raise error
    assert str(caught.value).startswith("user/model is neither a folder here nor in the cache")
    assert len(str(caught.value).splitlines()) == 2
    assert caught.value.__cause__ is error


def test_model_that_is_nowhere_is_told_by_each_loader() -> None:
    for load in (load_config, load_tokenizer, lambda name: load_net(AutoModelForMaskedLM, name)):
        with pytest.raises(
            InputError, match="can't be downloaded: the Hub can't be reached, as HF_HUB_OFFLINE is set;"
        ):
            load("user/nosuch")


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), RuntimeError("of torch")])
def test_faults_are_not_taken_for_mistakes(error: Exception) -> None:
    before = logging.get_verbosity()
    with pytest.raises(type(error)) as caught, loading("user/model"):
        raise error
    assert caught.value is error
    assert logging.get_verbosity() == before


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({}, "it has no config.json"),
        ({"config.json": "{}"}, "it has no config.json with a model_type"),
        ({"config.json": "{x"}, "is not a valid JSON file"),
        ({"config.json": '{"model_type": "bertt"}'}, r"an unknown model_type bertt; did you mean bert\?"),
        ({"config.json": json.dumps(BERT)}, "Error no file named model.safetensors"),
        ({"config.json": json.dumps(BERT), "model.safetensors": "junk"}, "Error while deserializing header"),
        ({"config.json": "[]"}, "it has no config.json with a model_type"),
        ({"config.json": json.dumps(BERT | {"num_hidden_layers": "2"})}, "'num_hidden_layers' expected int, got str"),
        ({"config.json": json.dumps(BERT | {"hidden_act": "foo"}), "model.safetensors": ""}, "'foo' is missing or un"),
        (
            {"config.json": '{"model_type": "gpt2"}'},
            "Unrecognized configuration class GPT2Config for this kind",
        ),
    ],
)
def test_folders_that_are_no_models(files: dict[str, str], reason: str, tmp_path: Path) -> None:
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=rf"transformers can't read {tmp_path}: .*{reason}") as caught:
        load_net(AutoModelForMaskedLM, str(tmp_path))
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("field", "value", "shapes"),
    [
        ("hidden_size", 16, r"bert.embeddings.LayerNorm.bias has the shape \[8\], but the config implies \[16\]"),
        ("vocab_size", 5, r"word_embeddings.weight has the shape \[9, 8\], but the config implies \[5, 8\]"),
    ],
)
def test_weights_of_another_shape_are_told(field: str, value: int, shapes: str, tmp_path: Path) -> None:
    build_net(AutoModelForMaskedLM, make_config(BERT)).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {field: value}))
    with pytest.raises(InputError, match=f"the weights of {tmp_path} do not match its config: .*{shapes}"):
        load_net(AutoModelForMaskedLM, str(tmp_path))


def test_broken_tokenizer_is_told(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(BERT))
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(InputError, match=f"transformers can't read {tmp_path}: 'added_tokens' is missing or unknown"):
        load_tokenizer(str(tmp_path))


def test_revision_of_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"revision abc has no effect on {tmp_path}, which is a folder"):
        load_config(str(tmp_path), "abc")


def test_folder_without_a_tokenizer(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"transformers can't read {tmp_path}: it has no tokenizer"):
        load_tokenizer(str(tmp_path))


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"model_type": "bertt"}, r"no model_type 'bertt'; did you mean bert\?"),
        ({"hidden_size": "big"}, "model.config is not a valid bert config: Validation error for field 'hidden_size'"),
        ({"hidden_act": "foo"}, "can't build this bert: 'foo' is missing or unknown"),
        ({"hidden_size": 9}, r"can't build this bert: The hidden size \(9\) is not a multiple"),
    ],
)
def test_configs_that_make_no_net(changed: dict[str, object], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        build_net(AutoModelForMaskedLM, make_config(BERT | changed))


def test_net_of_another_task_is_told() -> None:
    with pytest.raises(InputError, match="can't build this gpt2: Unrecognized configuration class GPT2Config"):
        build_net(AutoModelForMaskedLM, AutoConfig.for_model("gpt2"))


def read_files(folder: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def load_from_hub(name: str, revision: str | None = None) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    net, missing = load_net(AutoModelForMaskedLM, name, revision)
    assert missing == []
    return net, load_tokenizer(name, revision)


def test_model_of_the_hub_is_loaded_by_revision(hub: Hub, tiny_bert: str) -> None:
    repo = hub.add_repo("models", "user/tiny", read_files(tiny_bert))
    first = repo.branches["main"]
    repo.commit("broken", {"config.json": b"{}"})
    repo.commit("released", read_files(tiny_bert), branch="v1.0/final")
    expected, _ = load_net(AutoModelForMaskedLM, tiny_bert)
    for revision in (first, "v1.0/final"):
        net, tokenizer = load_from_hub("user/tiny", revision)
        assert len(tokenizer) == 150
        for name, weight in net.state_dict().items():
            assert weight.equal(expected.state_dict()[name])
    with pytest.raises(InputError, match=r"can't read user/tiny: it has no config\.json"):
        load_from_hub("user/tiny")
    with pytest.raises(InputError, match="the Hub has no such revision"):
        load_from_hub("user/tiny", "v2")


def test_private_model_needs_the_token(hub: Hub, tiny_bert: str, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add_repo("models", "user/secret", read_files(tiny_bert), private=True)
    load_from_hub("user/secret")
    hub.add_repo("models", "user/other", read_files(tiny_bert), private=True)
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(InputError, match="no such repository, or it is private"):
        load_from_hub("user/other")
    hub.add_repo("models", "user/gated", read_files(tiny_bert), is_gated=True)
    with pytest.raises(InputError, match="the repository is gated"):
        load_from_hub("user/gated")


@pytest.mark.parametrize("file", ["config.json", "model.safetensors", "tokenizer.json"])
@pytest.mark.parametrize(
    ("status", "reason"), [(503, "the Hub answers 503|did not deliver it"), (0, "can't be reached")]
)
def test_hub_that_fails_is_told_from_a_model_without_a_file(
    status: int, reason: str, file: str, hub: Hub, tiny_bert: str, waits: list[float]
) -> None:
    name = f"user/{file}-{status}"
    hub.add_repo("models", name, read_files(tiny_bert))
    fault = hub.fail(f"/{name}/resolve/.*{file}", status)
    with pytest.raises(InputError, match=f"{name} .*({reason}).*; repeat the command later"):
        load_from_hub(name)
    fault.times = 0
    load_from_hub(name)
    without = {path: content for path, content in read_files(tiny_bert).items() if path != file}
    hub.add_repo("models", f"{name}-without", without)
    with pytest.raises(InputError, match=f"can't read {name}-without: it has no"):
        load_from_hub(f"{name}-without")
