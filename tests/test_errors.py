"""Mistakes of users, as they are printed: a few lines and the exit status 2; faults keep their traceback."""

from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import ModelCheckpoint
from transformers import PreTrainedTokenizerFast

from lit_mlm.cli.main import main, run_command
from lit_mlm.errors import InputError
from lit_mlm.modules.masked_lm import MaskedLM
from tests.conftest import imdb_args, save_model
from tests.nets.architectures import TINY

Fail = Callable[..., str]

YAML = {
    "key.yaml": "model: {class_path: MaskedLM, init_args: {larning_rate: 3}}",
    "section.yaml": "modle: {class_path: MaskedLM}",
    "trainer.yaml": "trainer:\n  max_epoch: 3",
    "class.yaml": "data: {class_path: IMDBDataModul}",
    "other_class.yaml": "data: {class_path: MaskedLM}",
    "beside.yaml": "data: {class_path: IMDBDataModule, batch_size: 3}",
    "callback.yaml": "trainer: {callbacks: [{class_path: EarlyStopping, init_args: {monitr: val/loss}}]}",
    "type.yaml": "data: {class_path: IMDBDataModule, init_args: {batch_size: many}}",
    "list.yaml": "data: {class_path: IMDBDataModule, init_args: {train_splits: [trian]}}",
    "bracket.yaml": "model:\n  init_args: {betas: [1\ntrainer: 3",
    "tab.yaml": "model:\n\tclass_path: MaskedLM",
    "text.yaml": "just text",
    "papers.yaml": "model: {class_path: MaskedLM}",
    "latin.yaml": "model: \xe9",
    "empty.yaml": "# trainer: 3",
    "empty_section.yaml": "model:\ntrainer:\n  # max_epochs: 3",
    "command.yaml": "fit: {trainer: {max_epochs: 2}}",
    "trainer_list.yaml": "trainer:\n- max_epochs: 3",
    "trainer_text.yaml": "trainer: foo",
    "data_list.yaml": "data:\n- batch_size: 3",
    "number.yaml": "trainer: {1: 2}",
    "twice.yaml": "trainer: {max_epochs: 1}\n\ntrainer: {max_epochs: 2}",
    "class_path.yaml": "data: {clas_path: IMDBDataModule}",
    "init_arg.yaml": "trainer: {callbacks: [{class_path: StopEarly, init_arg: {patience: 1}}]}",
    "init_list.yaml": "trainer: {callbacks: [{class_path: StopEarly, init_args: [3]}]}",
    "logger_option.yaml": "trainer: {logger: [{class_path: CSVLogger, init_args: {save_dir: x, nam: y}}]}",
    "logger_missing.yaml": "trainer: {logger: [{class_path: CSVLogger, init_args: {name: y}}]}",
    "logger_type.yaml": "trainer: {logger: [{class_path: CSVLogger, init_args: {save_dir: x, name: [3]}}]}",
    "logger_class.yaml": "trainer: {logger: [{class_path: TensorBoardLogger}, {class_path: CSVLoger}]}",
}

FILES = {
    "abstract_data.py": "from lit_mlm.data.masked.module import BlocksDataModule\nclass Mine(BlocksDataModule): pass",
    "no_class.py": "",
    "signature.py": (
        "from lightning.pytorch import Callback\n"
        "class Watch(Callback):\n"
        "    def on_train_start(self, trainer): pass\n"
        "def cut(): return []\n"
    ),
}


@pytest.fixture
def fail(
    tiny_bert: str,
    cache_dir: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Fail:
    """Runs a command that must fail as a mistake does, in a folder with `YAML` and `FILES`; returns what it printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["lit_mlm"])
    for name, content in YAML.items():
        Path(name).write_bytes(content.encode("latin-1"))
    for name, content in FILES.items():
        Path(name).write_text(content)
    Path("runs/no/model").mkdir(parents=True)
    Path("runs/no/model/config.json").touch()
    monkeypatch.syspath_prepend(tmp_path)

    def run(command: str, *args: str) -> str:
        base = [] if command == "fill" else imdb_args(tiny_bert, cache_dir)
        with pytest.raises(SystemExit) as stop:
            main([command, *base, *args])
        _, error, printed = capsys.readouterr().err.rpartition("error: ")  # after the progress of tokenising
        assert stop.value.code == 2
        assert error
        assert len(printed.splitlines()) <= 5
        assert "usage:" not in printed
        assert max(map(len, printed.splitlines())) < 500
        return printed

    return run


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ("--data.batchsize 3", "there is no option --data.batchsize; did you mean --data.batch_size?"),
        ("--batch_size 3", "there is no option --batch_size; did you mean --data.batch_size?"),
        ("--modell.lr 3", "there is no option --modell.lr; did you mean --model.lr?"),
        ("--trainer.max_epoch 3", "there is no option --trainer.max_epoch; did you mean --trainer.max_epochs?"),
        ("--rundir x", "there is no option --rundir; did you mean --run_dir?"),
        ("fast", "'fast' belongs to no option"),
        ("--data.batch_size many", "data.batch_size is 'many', expected int"),
        ("--trainer.max_epochs three", "trainer.max_epochs is 'three', expected int or null"),
        ("--model.schedule liner", "; did you mean linear?"),
        ("--trainer.precision 17", "trainer.precision is '17', expected 64, 32, 16, transformer-engine, "),
        ("--data IMDBDataModul", "data: there is no class IMDBDataModul ("),
        ("--data IMDBDataModul", "did you mean IMDBDataModule?"),
        ("--trainer.logger CSVLoger", "trainer.logger: there is no class CSVLoger"),
        ("--model no_file.MyClass", "model: can't import no_file.MyClass: No module named 'no_file'"),
        ("--data.overlap 3", "there is no option --data.overlap; it is --data.stride now"),
        (
            "--data.block_policy stream",
            "data.block_policy is 'stream', expected concatenate, document or line; it is concat",
        ),
        ("--model json.JSONDecoder", "model must be a TransformerModule, which json.JSONDecoder is not"),
        ("--trainer.logger.save_dir x", "trainer.logger needs a class before its options: --trainer.logger CLASS (CSV"),
        ("--model.lr", "--model.lr has no value"),
        ("--config key.yaml", "key.yaml, line 1: there is no option model.larning_rate; there are model, revision, "),
        ("--config section.yaml", "section.yaml, line 1: there is no option modle; did you mean model?"),
        (
            "--config trainer.yaml",
            "trainer.yaml, line 2: there is no option trainer.max_epoch; did you mean trainer.max_epochs?",
        ),
        ("--config class.yaml", "class.yaml, line 1: data: there is no class IMDBDataModul ("),
        ("--config other_class.yaml", "other_class.yaml, line 1: data: there is no class MaskedLM ("),
        (
            "--config beside.yaml",
            "beside.yaml, line 1: data: options of the class belong below init_args, not beside class",
        ),
        (
            "--config callback.yaml",
            "callback.yaml, line 1: there is no option trainer.callbacks.monitr; did you mean trainer",
        ),
        ("--config type.yaml", "type.yaml, line 1: data.batch_size is 'many', expected int"),
        (
            "--config list.yaml",
            "list.yaml, line 1: data.train_splits has 'trian', expected train, test or unsupervised;",
        ),
        ("--config bracket.yaml", "bracket.yaml, line 3, column 8: invalid YAML: expected ',' or ']'"),
        ("--config tab.yaml", "tab.yaml, line 2, column 1: invalid YAML: found character '\\t'"),
        (
            "--config text.yaml",
            "text.yaml, line 1: the config must have options such as 'trainer: ...', not 'just text'",
        ),
        ("--config latin.yaml", "latin.yaml: invalid YAML: 'utf-8' codec"),
        ("--config imbd.yaml", "there is no config imbd.yaml here, nor one that comes with lit-mlm"),
        ("--config imbd.yaml", "did you mean imdb.yaml?"),
        ("--trainer.strategy dpp", "trainer.strategy: there is no strategy dpp; "),
        ("--trainer.strategy dpp", "did you mean ddp?"),
        ("--trainer.accelerator gpuu", "; did you mean gpu?"),
        ("--trainer.devices 0", "trainer.devices is '0': `Trainer(devices='0')` value is not a valid input"),
        ("--trainer.max_time soon", "trainer.max_time is 'soon': `Timer(duration='soon')` is not a valid duration"),
        ("--trainer.accumulate_grad_batches 0", "trainer.accumulate_grad_batches must be at least 1, got 0"),
        ("--trainer.check_val_every_n_epoch 0", "trainer.check_val_every_n_epoch must be at least 1, got 0"),
        (
            "--trainer.val_check_interval 5000",
            "trainer.val_check_interval is 5000: `val_check_interval` (5000)",
        ),
        (
            "--trainer.callbacks+ EarlyStopping --trainer.callbacks.monitor val/loss --trainer.callbacks.mode mni",
            "`mode` can be min, max, got mni",
        ),
        ("--data.data_dir nowhere", "data.data_dir nowhere"),
        ("--trainer.gradient_clip_val -1", "trainer.gradient_clip_val must be at least 0 and finite, got -1"),
        ("--trainer.val_check_interval 0", "trainer.val_check_interval must be above 0, got 0"),
        ("--trainer.barebones true", "trainer.barebones disables checkpoints and logging, which"),
        ("--model.lr -1", "model.lr must be at least 0 and finite, got -1.0"),
        ("--model.optimizer SGD --model.optimizer.lr 1", "there is no option --model.optimizer.lr; give --model.lr"),
        ("--model.optimizer SGD --model.optimizer.momentun 1", "did you mean --model.optimizer.momentum?"),
        (
            "--model.optimizer Adafactor",
            "several classes Adafactor: give torch.optim.Adafactor or transformers.Adafactor",
        ),
        ("--model.optimizer torch.nn.Linear", "model.optimizer must be an Optimizer, which torch.nn.Linear is not"),
        ("--data.dict_kwargs.foo 1", "there is no option --data.foo; --data.help IMDBDataModule lists them"),
        ("--model.attn_implementation flash_attention_2", "package for FlashAttention2 doesn't seem to be installed"),
        ("--model.revision abc", "revision abc has no effect on "),
        ("--trainer.logger WandbLogger", "Requirement 'wandb>="),
        ("--trainer.accelerator tpu", "Requirement 'torch_xla>="),
        ("--trainer.precision transformer-engine", "Requirement 'transformer_engine>="),
        ("--run_dir text.yaml", "--run_dir text.yaml: "),
        ("--run_dir text.yaml/x", "text.yaml is a file, not a folder; give another path"),
        ("--run_dir=", "--run_dir is empty; give the path of a folder, or leave it out"),
        ("--data.cache_dir text.yaml", "data.cache_dir text.yaml: "),
        ("--seed_everything -4", "seed_everything must be at least 0 and at most 4294967295, got -4"),
        ("--seed_everything 99999999999", "seed_everything must be at least 0 and at most 4294967295, got 99999999999"),
        (
            "--trainer.callbacks+ EarlyStopping --trainer.callbacks.monitor val/lossx",
            "trainer.callbacks: Early stopping conditioned on metric `val/lossx` which is not available.",
        ),
        (
            "--config overlays/early_stopping.yaml --trainer.callbacks+ StopEarly",
            "trainer.callbacks has StopEarly twice; leave one out",
        ),
        (
            "--trainer.callbacks+ SaveCheckpoints",
            "every run has SaveCheckpoints already; leave it out",
        ),
        (
            "--trainer.callbacks+ signature.Watch",
            "trainer.callbacks: signature.Watch: Watch.on_train_start(self, trainer) must take (self, trainer, "
            "pl_module), like Callback.on_train_start",
        ),
        ("--data.masking WordMasking --data.segmenter signature.cut", "data.segmenter cut() must take (text)"),
        ("--model.learning_rate 3", "there is no option --model.learning_rate; did you mean --model.lr?"),
        ("--data.learning_rate 3", "did you mean --model.lr?"),
        ("--per_device_train_batch_size 3", "did you mean --data.batch_size?"),
        ("--output_dir x", "there is no option --output_dir; did you mean --run_dir?"),
        (
            "--data.masking WholeWordMasking",
            "(SpanMasking, TokenMasking, WordMasking); did you mean WordMasking?",
        ),
        ("--config paper.yaml", "nor one that comes with lit-mlm; did you mean papers.yaml?"),
        ("--trst x", "there is no option --trst; did you mean --trust?"),
        ("--trust no_clas", "--trust no_clas: there is no package no_clas here; did you mean no_class?"),
        ("--data.split_seed -1", "data.split_seed must be at least 0 and at most 4294967295, got -1"),
        ("--data.eval_seed -1", "data.eval_seed must be at least 0 and at most 4294967295, got -1"),
        ("--model.model runs/no/hf", "runs/no/hf is missing: there is no such folder; there is runs/no/model"),
        ("--model.model text.yaml", "text.yaml is a file, not the folder of a model"),
        ("--data.mask_prob 3", "data.mask_prob must be above 0 and at most 1, got 3.0"),
        ("--config empty.yaml", "empty.yaml, line 1: the config is empty; give it options, or leave it out"),
        ("--config empty_section.yaml", "empty_section.yaml, line 1: model is empty; give it options, or"),
        (
            "--config command.yaml",
            "command.yaml, line 1: a config is the same for all commands: lift what is below 'fit'",
        ),
        (
            "--config trainer_list.yaml",
            "trainer_list.yaml, line 1: trainer must have options such as 'max_epochs: 3', not a",
        ),
        (
            "--config trainer_text.yaml",
            "trainer_text.yaml, line 1: trainer must have options such as 'max_epochs: 3', not 'f",
        ),
        (
            "--config data_list.yaml",
            "data_list.yaml, line 1: data must have options such as 'class_path: ...', not a list",
        ),
        ("--config number.yaml", "number.yaml, line 1: the name of an option must be text, which 1 is not"),
        (
            "--config twice.yaml",
            "twice.yaml, line 3, column 1: invalid YAML: duplicate key trainer; remove one",
        ),
        ("--config class_path.yaml", "class_path.yaml, line 1: there is no data.clas_path; did you mean class_path?"),
        (
            "--config init_arg.yaml",
            "init_arg.yaml, line 1: there is no trainer.callbacks.init_arg; did you mean init_args?",
        ),
        ("--config init_list.yaml", "trainer.callbacks.init_args must have options such as 'patience: 3', not a list"),
        ("--config logger_option.yaml", "there is no option trainer.logger.nam; did you mean trainer.logger.name?"),
        ("--config logger_missing.yaml", "missing: --trainer.logger.save_dir"),
        ("--config logger_type.yaml", "logger_type.yaml, line 1: trainer.logger.name is '[3]', expected str or null"),
        ("--config logger_class.yaml", "logger_class.yaml, line 1: trainer.logger: there is no class CSVLoger"),
        (
            "--data abstract_data.Mine",
            "data: abstract_data.Mine is abstract: it lacks load_documents; take another (",
        ),
        ("--model lit_mlm.modules.base.TransformerModule", "is abstract: it lacks make_metrics, monitor, "),
        ("--data no_class.Mine", "data: can't import no_class.Mine: no_class has no Mine"),
        (
            "--data lit_mlm.data.imbd.Mine",
            "data: can't import lit_mlm.data.imbd.Mine: No module named 'lit_mlm.data.imbd'",
        ),
        ("--data .", "data: there is no class . ("),
        (
            "--data.train_files x",
            "give --data CLASS before it (CoNLLDataModule, LabelledFilesDataModule, TextFilesDataModule)",
        ),
        (
            "--trainer.callbacks.patience 3",
            "trainer.callbacks needs a class before its options: --trainer.callbacks+ CLASS",
        ),
        ("--trainer.callbacks MaskedLM", "trainer.callbacks: there is no class MaskedLM"),
        ("--trainer.callbacks.help StopEarl", "trainer.callbacks: there is no class StopEarl; did you mean StopEarly?"),
        ("--model.help MaskedLMM", "model: there is no class MaskedLMM (MaskedLM"),
        ("--data.new_words [3]", "data.new_words has '3', expected str"),
        ("--trainer.gradient_clip_val a", "trainer.gradient_clip_val is 'a', expected int, float or null"),
        ("--data.block_size 65", "65"),
        ("--ckpt_path nowhere.ckpt", "--ckpt_path: there is no checkpoint nowhere.ckpt"),
        ("--ckpt_path text.yaml", "text.yaml is not a checkpoint of lit-mlm"),
        ("--model.model user/nosuch", "user/nosuch is neither a folder here nor in the cache, and can't be downloaded"),
        ("--model.model ./nosuch", "./nosuch is missing: there is no such folder"),
    ],
)
def test_mistakes_are_told_in_a_few_lines(args: str, message: str, fail: Fail) -> None:
    assert message in fail("fit", *args.split())


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ("fti", "there is no command fti (but fit, validate, test, predict, show, audit, prepare, fill"),
        ("fit", "missing: --model, --data; give --config with one of chinese.yaml, cleanconll.yaml"),
        ("fit --model.lr 3", "model needs a class before its options: --model CLASS (MaskedLM"),
        (
            "fit --model MaskedLM --data.batch_size 3",
            "data needs a class before its options: --data CLASS (",
        ),
        ("fill text", "the following arguments are required: --model"),
        ("fill --model x --topk 3 text", "there is no option --topk; did you mean --top_k?"),
        ("fill --model x --top_k many text", "argument --top_k: invalid int value: 'many'"),
        ("fill --model nosuch text", "nosuch is neither a folder here nor in the cache"),
    ],
)
def test_mistakes_in_whole_commands(args: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(args.split())
    printed = capsys.readouterr().err
    assert stop.value.code == 2
    assert message in printed
    assert len(printed.splitlines()) <= 2


def test_tokenizer_without_mask_is_told(wordpiece: PreTrainedTokenizerFast, tmp_path: Path, fail: Fail) -> None:
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=wordpiece.backend_tokenizer, pad_token="[PAD]")
    model = save_model(tmp_path / "maskless", TINY["bert"] | {"model_type": "bert"}, tokenizer)
    assert f"tokenizer {model} has no mask token" in fail("fit", "--model.model", model)
    assert f"the tokenizer of {model} has no mask token" in fail("fill", "--model", model, "a [MASK]")


def test_mistake_in_a_config_of_another_folder(fail: Fail) -> None:
    """Its folder is entered while it is parsed."""
    Path("configs").mkdir()
    Path("configs/gone.yaml").write_text("data: {init_args: {masking: {class_path: lit_mlm.text.gone.WordMasking}}}\n")
    assert "configs/gone.yaml, line 1: data.masking: can't import lit_mlm.text.gone.WordMasking" in fail(
        "fit", "--config", "configs/gone.yaml"
    )


@pytest.mark.parametrize("error", [RuntimeError("of the device"), ValueError("of torch"), KeyError("max_epochs")])
def test_faults_keep_their_traceback(
    error: Exception, tiny_bert: str, cache_dir: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fault(*args: object) -> torch.Tensor:
        raise error

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["lit_mlm"])
    monkeypatch.setattr(MaskedLM, "training_step", fault)
    with pytest.raises(type(error), match=str(error)) as caught:
        main(["fit", *imdb_args(tiny_bert, cache_dir)])
    assert caught.value is error
    assert caught.traceback[-1].name == "fault"


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("raise ValueError('at import')", ValueError),
        ("def f(:", SyntaxError),
        ("import os\nos.nosuch", AttributeError),
        ("import nosuchpackage", ModuleNotFoundError),
    ],
)
@pytest.mark.parametrize("args", ["--data faulty.Mine", "--config faulty.yaml --trust faulty"])
def test_file_that_can_not_be_imported_keeps_its_traceback(
    content: str, error: type[Exception], args: str, tiny_bert: str, cache_dir: str, tmp_path: Path, fail: Fail
) -> None:
    (tmp_path / "faulty.py").write_text(content)
    (tmp_path / "faulty.yaml").write_text("trainer: {callbacks: [{class_path: faulty.Mine}]}")
    with pytest.raises(error):
        main(["fit", *imdb_args(tiny_bert, cache_dir), *args.split()])


HOOKS = {
    "on_fit_start": ("self.log('strategy', 1.0)", "on_fit_start"),
    "training_step": ("return 'text'", "must return a Tensor"),
    "on_train_batch_start": (
        "self.log('max_epochs', 1.0, on_epoch=False); self.log('max_epochs', 1.0, on_epoch=True)",
        "twice in `on_train_batch_start`",
    ),
    "configure_optimizers": ("return 'text'", "Unknown configuration for model optimizers"),
}


@pytest.mark.parametrize("hook", HOOKS)
def test_complaint_of_the_user_s_code_keeps_its_traceback(
    hook: str, tiny_bert: str, cache_dir: str, tmp_path: Path, fail: Fail
) -> None:
    body, message = HOOKS[hook]
    (tmp_path / f"task_{hook}.py").write_text(
        "from lit_mlm.modules.masked_lm import MaskedLM\n"
        f"class Task(MaskedLM):\n    def {hook}(self, *args):\n        {body}\n"
    )
    with pytest.raises(MisconfigurationException, match=message):
        main(["fit", *imdb_args(tiny_bert, cache_dir), "--model", f"task_{hook}.Task", "--trainer.max_epochs", "3"])


def test_interrupt_ends_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("lit_mlm.cli.main.run_command", Mock(side_effect=KeyboardInterrupt))
    with pytest.raises(SystemExit) as stop:
        main(["fit"])
    assert stop.value.code == 130
    assert capsys.readouterr().err == ""


def test_fault_of_a_class_that_is_made_keeps_its_traceback(
    tiny_bert: str, cache_dir: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fault(*args: object, **kwargs: object) -> None:
        raise ValueError("max_epochs of a class")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["lit_mlm"])
    monkeypatch.setattr(ModelCheckpoint, "setup", fault)
    with pytest.raises(ValueError, match="max_epochs of a class"):
        main(["fit", *imdb_args(tiny_bert, cache_dir), "--trainer.callbacks+", "ModelCheckpoint"])


def test_control_characters_of_what_is_quoted_are_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["\x1b[31mred"])
    assert capsys.readouterr().err.startswith(r"error: there is no command \u001b[31mred (but fit,")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ("fit", "missing: --model, --data; give --config with one of chinese.yaml, cleanconll.yaml, .*text.yaml"),
        ("show", "missing: --model, --data; give --config with one of chinese.yaml"),
        ("fit --model MaskedLM", "missing: --data; give --config with one of chinese.yaml, "),
        (
            "fit --config imdb.yaml --config quickstart.yaml",
            "got model.model distilbert-base-uncased and a model.config of bert; where two configs give them, add "
            "--model.model null or --model.config null$",
        ),
        ("fit --config a.yaml", "missing: --data; give a --config that has it, or type it"),
        (
            "fit --config b.yaml",
            r"b.yaml, line 2: data has no class_path, which its options belong to, as in data: \{class_path: TextFiles"
            r"DataModule, init_args: \{document_per: ...\}\} \(TextFilesDataModule\)",
        ),
        (
            "fit --config c.yaml",
            r"c.yaml, line 1: trainer.logger has no class_path, .*: \{class_path: CLASS, init_args: \{save_dir: ",
        ),
        (
            "validate --run_dir runs/imdb/version_3 --data.num_mask_draws 5",
            "--run_dir: there is no run in runs/imdb/version_3, which is no folder here; runs are runs/imdb/version_0",
        ),
        ("test --run_dir runs/imdb", "no run in runs/imdb, which has no config.yaml; runs are runs/imdb/version_0"),
        ("test --run_dir other", "which is no folder here; give the folder of a run, or --config to start one"),
        ("fill --model /some/missing/hf [MASK]", "/some/missing/hf is missing: there is no such folder$"),
        ("tag --model runs/imdb/version_0/hf a", "runs/imdb/version_0/hf is missing: there is no such folder$"),
        ("fill --model a,b [MASK]", r"a,b is neither a folder nor a valid name on the Hub \(NAME or USER/NAME\)$"),
    ],
)
def test_commands_without_what_they_need(
    args: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.yaml").write_text("model: {class_path: MaskedLM, init_args: {model: x}}")
    Path("b.yaml").write_text("model: {class_path: MaskedLM, init_args: {model: x}}\ndata:\n  document_per: line\n")
    Path("c.yaml").write_text("trainer: {logger: {save_dir: x}}")
    Path("runs/imdb/version_0").mkdir(parents=True)
    Path("runs/imdb/version_0/config.yaml").touch()
    with pytest.raises(InputError, match=message):
        run_command(args.split())
