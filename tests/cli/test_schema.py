"""The schema accepts what the command line accepts, and refuses what it refuses."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonargparse import ArgumentParser

from lit_mlm.cli.command_parsers import make_command_parsers
from lit_mlm.cli.configs import ADAPT, get_config_folder, list_configs
from lit_mlm.cli.inputs import read_config
from lit_mlm.cli.main import main, run_command
from lit_mlm.cli.option_checker import OptionChecker
from lit_mlm.cli.trust import take_trust
from lit_mlm.errors import InputError

jsonschema = pytest.importorskip("jsonschema")

FOLDER = get_config_folder()
CONFIGS = [name for name in list_configs() if not name.startswith(ADAPT)]
SCHEMA = FOLDER / "lit_mlm.schema.json"
ROOT = Path(__file__).parents[2]

RIGHT = {
    "null": "run_dir: null\nsave_every_n_steps: null\ntrainer: {max_epochs: null, logger: null, callbacks: null}",
    "short name": "model: MaskedLM\ndata: IMDBDataModule",
    "name of an import": "model: lit_mlm.MaskedLM",
    "definition": "model: {class_path: lit_mlm.modules.masked_lm.MaskedLM, init_args: {lr: 1.0}}",
    "class of the user's own": "data: {class_path: news.NewsDataModule, init_args: {anything: 1}}",
    "file": "model: model.yaml\ntrainer: trainer.yaml",
    "options without a class": "model: {init_args: {lr: 1.0e-3}}\ndata: {init_args: {block_size: 64}}",
    "full name": "trainer.max_epochs: 3\nmodel.init_args.lr: 0.1",
    "list": "trainer: {callbacks: [StopEarly, {class_path: EarlyStopping, init_args: {monitor: val/loss}}]}",
    "details": "trainer: {callbacks: {class_path: LogDetails, init_args: {probes: [Once upon a time]}}}",
    "added": "trainer: {callbacks+: {class_path: StopEarly}}",
    "optimizer": "model: {init_args: {optimizer: {class_path: torch.optim.SGD, init_args: {momentum: 0.9}}}}",
    "masking": "data: {class_path: IMDBDataModule, init_args: {masking: {class_path: SpanMasking}}}",
    "function": "data: {class_path: IMDBDataModule, init_args: {segmenter: lit_mlm.text.masking.units.choose_units}}",
    "sources": "data: {class_path: TextFilesDataModule, init_args: {sources: {a: {files: a.txt, weight: 2.0}}}}",
    "choice or number": "trainer: {devices: auto, precision: 16, deterministic: warn, max_time: {hours: 3}}",
    "choice or object": "trainer: {strategy: {class_path: DDPStrategy, init_args: {process_group_backend: gloo}}}",
    "seed": "seed_everything: true\nallow_changes: true\nckpt_path: best",
    "several types": "data: {class_path: CoNLLDataModule, init_args: {word_column: 1, tag_column: tags}}",
}
"""Configs, whole or overlays."""

WRONG = {
    "option of the command": ("modell: MaskedLM", "$", "'modell' "),
    "option of a section": ("trainer: {max_epoch: 3}", "$.trainer", "'max_epoch' was unexpected"),
    "option of a class": ("model: {class_path: MaskedLM, init_args: {learning_rate: 1}}", "$.model.init_args", "'lea"),
    "option of no class": ("model: {init_args: {learning_rate: 1}}", "$.model.init_args", "'learning_rate' was"),
    "option of a callback": (
        "trainer: {callbacks: [{class_path: StopEarly, init_args: {patienc: 3}}]}",
        "$.trainer.callbacks[0].init_args",
        "'patienc' was unexpected",
    ),
    "option of a strategy": (
        "data: {class_path: IMDBDataModule, init_args: {masking: {class_path: SpanMasking, init_args: {n: 1}}}}",
        "$.data.init_args.masking.init_args",
        "'n' was unexpected",
    ),
    "option that the task has": (
        "model: {class_path: MaskedLM, init_args: {optimizer: {class_path: SGD, init_args: {lr: 1.0}}}}",
        "$.model.init_args.optimizer.init_args",
        "'lr' was unexpected",
    ),
    "option of an entry": (
        "data: {class_path: TextFilesDataModule, init_args: {sources: {a: {weigth: 2.0}}}}",
        "$.data.init_args.sources.a",
        "'weigth' was unexpected",
    ),
    "beside the class": ("model: {class_path: MaskedLM, lr: 1.0}", "$.model", "'lr' was unexpected"),
    "class": ("model: {class_path: MaskedLLM}", "$.model.class_path", "'MaskedLLM' is not one of ['MaskedLM', "),
    "class of lit-mlm's": ("model: lit_mlm.modules.MaskedLLM", "$.model", "'lit_mlm.modules.MaskedLLM' is not"),
    "class of another base": ("model: IMDBDataModule", "$.model", "'IMDBDataModule' is not one of"),
    "callback of every run": ("trainer: {callbacks: [SaveResults]}", "$.trainer.callbacks[0]", "'SaveResults' is not"),
    "callback that can't work": ("trainer: {callbacks: [ModelPruning]}", "$.trainer.callbacks[0]", "'ModelPruning' "),
    "type": ("trainer: {max_epochs: three}", "$.trainer.max_epochs", "'three' is not of type 'integer', 'null'"),
    "type in a list": (
        "data: {class_path: IMDBDataModule, init_args: {train_mask_probs: [a]}}",
        "$.data.init_args.train_mask_probs[0]",
        "'a' is not of type 'number'",
    ),
    "null": ("trainer: {num_nodes: null}", "$.trainer.num_nodes", "None is not of type 'integer'"),
    "empty section": ("trainer:", "$.trainer", "None is not of type 'object', 'string'"),
    "number in place of text": ("run_dir: 3", "$.run_dir", "3 is not of type 'string', 'null'"),
    "above": (
        "data: {class_path: IMDBDataModule, init_args: {mask_prob: 1.5}}",
        "$.data.init_args.mask_prob",
        "maximum",
    ),
    "below": (
        "data: {class_path: IMDBDataModule, init_args: {batch_size: 0}}",
        "$.data.init_args.batch_size",
        "minimum",
    ),
    "bound": ("data: {class_path: IMDBDataModule, init_args: {mask_prob: 0}}", "$.data.init_args.mask_prob", "minimum"),
    "bound of the Trainer": ("trainer: {accumulate_grad_batches: 0}", "$.trainer.accumulate_grad_batches", "minimum"),
    "length": ("model: {class_path: MaskedLM, init_args: {betas: [0.9]}}", "$.model.init_args.betas", "too short"),
    "choice": ("model: {class_path: MaskedLM, init_args: {schedule: cosin}}", "$.model.init_args.schedule", "'linear'"),
    "precision": ("trainer: {precision: 16-mixd}", "$.trainer.precision", "'16-mixed'"),
    "strategy": ("trainer: {strategy: dpp}", "$.trainer.strategy", "'ddp'"),
    "accelerator": ("trainer: {accelerator: gpus}", "$.trainer.accelerator", "'gpu'"),
    "profiler": ("trainer: {profiler: simpel}", "$.trainer.profiler", "'simple'"),
}
"""Configs, what is wrong in them, and a part of the message."""


@pytest.fixture(scope="module")
def schema() -> Any:
    return json.loads(SCHEMA.read_text())


@pytest.fixture(scope="module")
def parser() -> ArgumentParser:
    return make_command_parsers()["fit"]


def find_error(schema: Any, content: Any) -> tuple[str, str] | None:
    """Where the most telling error is, and what it says, with what each of several parts says."""
    error = jsonschema.exceptions.best_match(jsonschema.Draft7Validator(schema).iter_errors(content))
    return error and (error.json_path, "; ".join(list_messages(error)))


def list_messages(error: Any) -> Iterator[str]:
    yield error.message
    for part in error.context:
        yield from list_messages(part)


def is_accepted(parser: ArgumentParser, path: Path) -> bool:
    """Whether the command line accepts a config on top of `imdb.yaml`."""
    try:
        OptionChecker(parser, take_trust([])[1]).check(["--config", str(FOLDER / "imdb.yaml"), "--config", str(path)])
    except InputError as error:
        return "add --trust news" in str(error)
    return True


def test_shipped_schema_is_what_the_command_writes() -> None:
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().split())
    for name in ("lightning", "torch", "transformers", "jsonargparse"):
        if version(name).partition("+")[0] != pins[name]:
            pytest.skip(f"{name} is not the pinned one")
    # In a process of its own: tests import and define further classes.
    command = [sys.executable, "-m", "lit_mlm", "schema"]
    text = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert text == SCHEMA.read_text(), "run: python -m lit_mlm schema > configs/lit_mlm.schema.json"
    assert len(text) < 300_000


def test_schema_is_valid_and_explains_every_option_of_ours(schema: Any) -> None:
    jsonschema.Draft7Validator.check_schema(schema)
    for name, definition in schema["definitions"].items():
        if name.startswith("lit_mlm."):
            assert definition["description"]
            for key, option in definition["properties"].items():
                assert "$ref" in option or option["description"], f"{name}.{key}"


@pytest.mark.parametrize("name", CONFIGS)
def test_every_config_names_the_schema_and_is_valid(name: str, schema: Any) -> None:
    path = FOLDER / name
    head = path.read_text().splitlines()[0]
    assert (path.parent / head.removeprefix("# yaml-language-server: $schema=")).resolve() == SCHEMA.resolve()
    assert find_error(schema, read_config(str(path))) is None


def test_configs_and_a_wrong_one_by_check_jsonschema(tmp_path: Path) -> None:
    pytest.importorskip("check_jsonschema")
    command = [sys.executable, "-m", "check_jsonschema", "--schemafile", str(SCHEMA)]
    found = subprocess.run([*command, *(str(FOLDER / name) for name in CONFIGS)], capture_output=True, text=True)
    assert found.returncode == 0, found.stdout
    (tmp_path / "wrong.yaml").write_text("trainer:\n  max_epoch: 3\n")
    found = subprocess.run([*command, str(tmp_path / "wrong.yaml")], capture_output=True, text=True)
    assert found.returncode == 1
    assert "$.trainer: Additional properties are not allowed ('max_epoch' was unexpected)" in found.stdout


@pytest.mark.parametrize("text", RIGHT.values(), ids=RIGHT)
def test_accepted(text: str, schema: Any, parser: ArgumentParser, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.yaml").write_text("class_path: MaskedLM")
    (tmp_path / "trainer.yaml").write_text("max_epochs: 3")
    (tmp_path / "own.yaml").write_text(text)
    assert find_error(schema, yaml.safe_load(text)) is None
    assert is_accepted(parser, tmp_path / "own.yaml")


@pytest.mark.parametrize(("text", "place", "part"), WRONG.values(), ids=WRONG)
def test_refused(text: str, place: str, part: str, schema: Any, parser: ArgumentParser, tmp_path: Path) -> None:
    found = find_error(schema, yaml.safe_load(text))
    assert found is not None
    assert found[0] == place
    assert part in found[1]
    (tmp_path / "own.yaml").write_text(text)
    assert is_accepted(parser, tmp_path / "own.yaml") == ("SaveResults" in text)  # which is refused later


@pytest.mark.parametrize("name", ["quickstart.yaml", "wnut17.yaml", "overlays/csv.yaml"])
def test_config_of_a_run_is_valid(
    name: str, schema: Any, run_cli: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """It has every option of the run."""
    with pytest.raises(SystemExit):
        run_cli("fit", "--config", "imdb.yaml", "--config", name, "--print_config")
    content = yaml.safe_load(capsys.readouterr().out)
    assert len(content["trainer"]) > 30
    assert find_error(schema, content) is None


OWN = '''
"""Poems."""
from lit_mlm.data.masked.module import BlocksDataModule

class PoemsDataModule(BlocksDataModule):
    """Poems, one a document.

    Args:
        poet: whose poems.
    """

    def __init__(self, poet: str = "Keats", **kwargs):
        super().__init__(**kwargs)

    def load_documents(self, splits):
        return {}
'''


def test_classes_of_a_trusted_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "poetry").mkdir()
    (tmp_path / "poetry" / "__init__.py").touch()
    (tmp_path / "poetry" / "poems.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    main(["schema", "--trust", "poetry"])
    schema = json.loads(capsys.readouterr().out)
    own = schema["definitions"]["poetry.poems.PoemsDataModule"]
    assert own["description"] == "Poems, one a document."
    assert own["properties"]["poet"] == {
        "description": 'whose poems. Default: "Keats".',
        "type": "string",
        "default": "Keats",
    }
    data = {"class_path": "poetry.poems.PoemsDataModule", "init_args": {"poet": "Yeats", "block_size": 128}}
    assert find_error(schema, {"data": data}) is None
    data["init_args"] = {"poets": "Yeats"}
    found = find_error(schema, {"data": data})
    assert found is not None
    assert found[0] == "$.data.init_args"
    with pytest.raises(InputError, match="there is no package poertry"):
        run_command(["schema", "--trust", "poertry"])
