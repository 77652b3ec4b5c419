"""What others wrote runs nothing: configs, checkpoints and models; and no token is written down."""

import builtins
import inspect
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from lightning.pytorch import Callback
from lightning.pytorch.accelerators import Accelerator
from lightning.pytorch.loggers import Logger
from lightning.pytorch.plugins import CheckpointIO, Precision
from lightning.pytorch.profilers import Profiler
from lightning.pytorch.strategies import Strategy
from transformers import AutoModelForMaskedLM

import lit_mlm.callbacks
from lit_mlm.cli.class_paths import import_all, list_subclasses
from lit_mlm.cli.main import main
from lit_mlm.errors import InputError
from lit_mlm.inference.fill import load_masked_lm
from lit_mlm.modules.masked_lm import MaskedLM
from lit_mlm.nets.pretrained import build_net, load_config, load_net, load_tokenizer, restore_config, unpack_tokenizer
from lit_mlm.nets.remote_code import load_code
from tests import hostile
from tests.conftest import imdb_args

RunCLI = Callable[..., Path]


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """The file that hostile inputs write."""
    return tmp_path / "marker"


@pytest.fixture
def model(tiny_bert: str, tmp_path: Path) -> Path:
    """A folder of a model, to be changed."""
    return Path(shutil.copytree(tiny_bert, tmp_path / "model"))


@pytest.fixture(autouse=True)
def never_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A question on the terminal would wait for an answer that a job can't give."""

    def ask(prompt: str = "") -> str:
        raise AssertionError(prompt)

    monkeypatch.setattr(builtins, "input", ask)


@pytest.fixture(scope="module")
def checkpoint(tiny_bert: str, cache_dir: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A good checkpoint."""
    folder = tmp_path_factory.mktemp("run") / "run"
    args = [*imdb_args(tiny_bert, cache_dir), "--trainer.max_steps", "1", "--trainer.limit_val_batches", "1"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["lit_mlm"])
        main(["fit", *args, "--run_dir", str(folder)])
    return folder / "checkpoints" / "last.ckpt"


@pytest.mark.parametrize("case", hostile.YAML)
def test_config_imports_nothing_that_is_not_trusted(
    case: str, model: Path, marker: Path, run_cli: RunCLI, cache_dir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = hostile.EVIL.format(list(hostile.YAML).index(case))
    monkeypatch.syspath_prepend(marker.parent)
    hostile.write_module(marker.parent, name, marker)
    hostile.add_code(model, marker)
    config = hostile.write_yaml(marker.parent, case, name, str(model), marker)
    with pytest.raises(InputError) as caught:
        run_cli("fit", *imdb_args(str(model), cache_dir)[:4], "--data.cache_dir", cache_dir, "--config", config)
    assert not marker.exists()
    assert name not in sys.modules
    if "EVIL" in hostile.YAML[case] and "!!" not in hostile.YAML[case] and case != "trust":
        assert f"if you trust the code of {name}, add --trust {name}" in str(caught.value)


def list_callables() -> list[tuple[str, str]]:
    """Each option of a class of Lightning's that a config may name, and that takes a function."""
    import_all(lit_mlm.callbacks)
    found = set()
    for base in (Callback, Logger, Profiler, Strategy, Accelerator, CheckpointIO, Precision):
        for cls in list_subclasses(base):
            if cls.__module__.startswith("lightning."):
                parameters = inspect.signature(inspect.getattr_static(cls, "__init__")).parameters.values()
                found |= {(cls.__name__, p.name) for p in parameters if "Callable" in str(p.annotation)}
    return sorted(found)


def test_no_option_takes_a_function_of_a_library(
    tiny_bert: str, cache_dir: str, run_cli: RunCLI, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.hub.load", fail)
    options = list_callables()
    assert {"LambdaCallback", "StochasticWeightAveraging", "ModelPruning", "DDPStrategy"} <= {
        name for name, _ in options
    }
    for name, option in options:
        for value in ("torch.hub.load", "{class_path: torch.hub.load}"):
            text = f"trainer: {{callbacks: [{{class_path: {name}, init_args: {{{option}: {value}}}}}]}}"
            (tmp_path / "own.yaml").write_text(text)
            with pytest.raises(InputError, match=r"own.yaml, line 1: a config may name .*, not torch.hub.load; "):
                run_cli("fit", *imdb_args(tiny_bert, cache_dir), "--config", "own.yaml")


def fail(*args: object, **options: object) -> None:
    """In the place of what must not be called."""
    raise AssertionError(args)


@pytest.mark.parametrize("command", ["fit", "show"])
def test_text_is_given_to_no_function_of_a_library(command: str, run_cli: RunCLI, tmp_path: Path) -> None:
    """`torch.utils.collect_env.run` hands what it is given to a shell."""
    (tmp_path / "text.txt").write_text("one two three\n\necho ran > RAN\n")
    (tmp_path / "own.yaml").write_text(
        "model: {class_path: MaskedLM, init_args: {config: {model_type: bert}}}\n"
        "data:\n  class_path: TextFilesDataModule\n"
        "  init_args: {train_files: [text.txt], vocab_size: 100, masking: WordMasking,\n"
        "    segmenter: torch.utils.collect_env.run}\n"
    )
    with pytest.raises(InputError, match=r"own.yaml, line 5: a config may name .*, not torch.utils.collect_env.run"):
        run_cli(command, "--config", "own.yaml")
    assert not (tmp_path / "RAN").exists()


@pytest.mark.parametrize("trust", [["--trust", "torch"], ["--data.segmenter", "torch.hub.load"]])
def test_function_of_a_library_that_is_asked_for(
    trust: list[str], tiny_bert: str, cache_dir: str, run_cli: RunCLI, tmp_path: Path
) -> None:
    (tmp_path / "own.yaml").write_text(
        "data: {class_path: IMDBDataModule, init_args: {masking: WordMasking, segmenter: torch.hub.load}}"
    )
    with pytest.raises(SystemExit) as stop:
        run_cli("fit", *imdb_args(tiny_bert, cache_dir), "--config", "own.yaml", *trust, "--print_config")
    assert not stop.value.code


@pytest.mark.parametrize(
    "text",
    [
        "trainer: {strategy: {class_path: DeepSpeedStrategy, init_args: {config: x.json}}}",
        "trainer: {logger: {class_path: WandbLogger, dict_kwargs: {settings: {x_executable: ./x}}}}",
    ],
)
def test_option_that_says_what_is_run_must_be_typed(
    text: str, tiny_bert: str, cache_dir: str, run_cli: RunCLI, tmp_path: Path
) -> None:
    (tmp_path / "own.yaml").write_text(text)
    with pytest.raises(InputError, match=r"a config can't give (config|settings) of .*, which says what is run; type"):
        run_cli("fit", *imdb_args(tiny_bert, cache_dir), "--config", "own.yaml")


@pytest.mark.parametrize(
    "args", ["--config own.yaml --trust OWN", "--trust=OWN --config own.yaml", "--trainer.callbacks OWN.Bell"]
)
def test_what_is_typed_is_trusted(
    args: str, marker: Path, run_cli: RunCLI, tiny_bert: str, cache_dir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"own_{abs(hash(args))}"
    monkeypatch.syspath_prepend(marker.parent)
    hostile.write_module(marker.parent, name, marker)
    (marker.parent / "own.yaml").write_text(f"trainer: {{callbacks: [{{class_path: {name}.Bell}}]}}")
    with pytest.raises(SystemExit) as stop:
        run_cli("fit", *imdb_args(tiny_bert, cache_dir), *args.replace("OWN", name).split(), "--print_config")
    assert not stop.value.code
    assert marker.exists()


def test_names_of_files_trust_nothing(tiny_bert: str, cache_dir: str, run_cli: RunCLI, tmp_path: Path) -> None:
    """Only where a class may stand is a dotted word one."""
    (tmp_path / "own.yaml").write_text("trainer: {callbacks: [{class_path: reviews.Bell}]}")
    with pytest.raises(
        InputError, match=r"own.yaml, line 1: a config may name .*, not reviews.Bell; .*--trust reviews"
    ):
        run_cli("fit", *imdb_args(tiny_bert, cache_dir), "--data.tokenizer", "reviews.csv", "--config", "own.yaml")


@pytest.mark.parametrize(
    "args", ["--config own.yaml --trainer.max_epochs many", "--data.block_size OWN.Data --data.batch_size many"]
)
def test_explaining_a_mistake_imports_nothing(
    args: str, marker: Path, run_cli: RunCLI, tiny_bert: str, cache_dir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of that name keeps a dotted word from being taken for a class at first."""
    name = f"explained_{abs(hash(args))}"
    monkeypatch.syspath_prepend(marker.parent)
    hostile.write_module(marker.parent, name, marker)
    (marker.parent / f"{name}.Data").write_text("batch_size: many")
    (marker.parent / "own.yaml").write_text(f"data: {name}.Data")
    with pytest.raises(InputError):
        run_cli("fit", *imdb_args(tiny_bert, cache_dir), *args.replace("OWN", name).split())
    assert not marker.exists()


def test_trust_takes_names_of_packages(run_cli: RunCLI) -> None:
    for args in (["--trust", "./news.py"], ["--trust"], ["--trust="]):
        with pytest.raises(InputError, match="--trust needs the name of a package, as in --trust my_package, got "):
            run_cli("fit", *args)


@pytest.mark.parametrize("case", hostile.CHECKPOINTS)
def test_checkpoint_runs_nothing(
    case: str, marker: Path, checkpoint: Path, tiny_bert: str, cache_dir: str, run_cli: RunCLI
) -> None:
    path = marker.parent / "hostile.ckpt"
    hostile.CHECKPOINTS[case](path, marker, checkpoint)
    for load in (
        lambda: MaskedLM.load_from_checkpoint(path),
        lambda: run_cli("validate", *imdb_args(tiny_bert, cache_dir), "--ckpt_path", path),
        lambda: run_cli("fit", *imdb_args(tiny_bert, cache_dir), "--ckpt_path", path),
    ):
        with pytest.raises(InputError, match=f"{path} is not a checkpoint of lit-mlm: "):
            load()
        assert not marker.exists()


def test_forced_pickles_are_refused_all_the_same(
    marker: Path, checkpoint: Path, tiny_bert: str, cache_dir: str, run_cli: RunCLI, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lightning reads the file a second time, and must not take this variable for consent."""
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    monkeypatch.setattr("lit_mlm.cli.trainer.read_checkpoint", lambda path: torch.load(checkpoint, weights_only=True))
    path = marker.parent / "hostile.ckpt"
    hostile.write_code_checkpoint(path, marker, checkpoint)
    with pytest.raises(Exception, match="Weights only load failed"):
        run_cli("validate", *imdb_args(tiny_bert, cache_dir), "--ckpt_path", path)
    assert not marker.exists()


def test_checkpoint_does_not_choose_what_makes_its_module(marker: Path, checkpoint: Path) -> None:
    path = marker.parent / "hostile.ckpt"
    hostile.write_instantiator(path, marker, checkpoint)
    with pytest.raises(ValueError, match="blocked to prevent arbitrary code execution"):
        MaskedLM.load_from_checkpoint(path)
    assert not marker.exists()


def test_checkpoint_trusts_no_code_by_itself(marker: Path, checkpoint: Path, model: Path) -> None:
    content = torch.load(checkpoint, weights_only=True)
    hostile.add_code(model, marker, "wild_checkpoint")
    for options in (content["hyper_parameters"], content["lit_mlm"]["options"]):
        options |= {"model": str(model), "trust_remote_code": True}
    content["lit_mlm"]["config"] |= json.loads((model / "config.json").read_text())
    torch.save(content, marker.parent / "hostile.ckpt")
    with pytest.raises(InputError, match=r"can't read the config of the checkpoint: .*wild_checkpoint"):
        MaskedLM.load_from_checkpoint(marker.parent / "hostile.ckpt")
    assert not marker.exists()
    MaskedLM.load_from_checkpoint(marker.parent / "hostile.ckpt", trust_remote_code=True)
    assert marker.exists()


def test_tokenizer_s_files_stay_in_their_folder(marker: Path, checkpoint: Path) -> None:
    path = marker.parent / "hostile.ckpt"
    hostile.write_tokenizer_path(path, marker, checkpoint)
    with pytest.raises(InputError, match=r"tokenizer file '\.\./marker', not a plain name"):
        unpack_tokenizer(torch.load(path, weights_only=True)["lit_mlm"]["tokenizer"])
    for name in ("", ".", "..", "a/b", "a\0", str(marker)):
        with pytest.raises(InputError, match="not a plain name"):
            unpack_tokenizer({name: torch.zeros(1, dtype=torch.uint8)})
    assert not marker.exists()


@pytest.mark.parametrize("name", ["../model", "a/../b", "user/..", "/etc/x", "a/b/c", "-x", ".."])
def test_names_of_models_lead_nowhere_else(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "a" / "b" / "c"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    with pytest.raises(InputError):
        load_config(name)


def test_code_of_a_model_runs_only_where_it_is_asked_for(model: Path, marker: Path, capsys: object) -> None:
    hostile.add_code(model, marker, "wild_asked")
    for load in (load_config, lambda name: load_net(AutoModelForMaskedLM, name), load_masked_lm):
        with pytest.raises(InputError, match=r"has custom code, which runs only on request: --model\."):
            load(str(model))
    assert not marker.exists()
    net, _ = load_masked_lm(str(model), trust_remote_code=True)
    assert type(net).__name__ == "WildForMaskedLM"
    assert marker.exists()


def test_model_that_transformers_knows_needs_none_of_its_code(model: Path, marker: Path) -> None:
    hostile.add_code(model, marker, "bert")
    net, _ = load_masked_lm(str(model))
    assert type(net).__name__ == "BertForMaskedLM"
    assert not marker.exists()


def test_code_of_a_tokenizer_is_never_run(model: Path, marker: Path) -> None:
    hostile.add_code(model, marker)
    config = json.loads((model / "tokenizer_config.json").read_text())
    config |= {"tokenizer_class": "WildTokenizer", "auto_map": {"AutoTokenizer": ["wild.Wild", "wild.Wild"]}}
    (model / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="code of a tokenizer is never run"):
        load_tokenizer(str(model))
    assert not marker.exists()


@pytest.mark.parametrize("revision", [None, "main", "abc1234", "A" * 40])
def test_code_from_the_hub_must_be_of_one_commit(revision: str | None) -> None:
    with pytest.raises(InputError, match=r"running the code of user/model needs a revision, all 40 digits.* got "):
        load_code(AutoModelForMaskedLM, "user/model", revision)


def test_code_of_another_repository_is_refused(model: Path, marker: Path) -> None:
    hostile.add_code(model, marker)
    config = json.loads((model / "config.json").read_text())
    config["auto_map"]["AutoModelForMaskedLM"] = "other/code--wild.WildForMaskedLM"
    (model / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"is in other/code, at no fixed commit"):
        load_code(AutoModelForMaskedLM, str(model), None)
    assert not marker.exists()


def test_attention_from_the_hub_is_refused(model: Path) -> None:
    config = restore_config(json.loads((model / "config.json").read_text()) | {"attn_implementation": "user/kernel"})
    for build in (
        lambda: build_net(AutoModelForMaskedLM, config),
        lambda: load_net(AutoModelForMaskedLM, str(model), attn_implementation="user/kernel"),
    ):
        with pytest.raises(InputError, match="attn_implementation user/kernel is code on the Hub"):
            build()


def test_run_of_a_model_with_code_is_whole(
    model: Path, marker: Path, cache_dir: str, run_cli: RunCLI, capsys: pytest.CaptureFixture[str]
) -> None:
    """It trains, exports with its code, and is scored from its checkpoint; only with what is typed."""
    hostile.add_code(model, marker, "wild_run")
    args = [*imdb_args(str(model), cache_dir), "--trainer.max_epochs", "1", "--run_dir", "run"]
    with pytest.raises(InputError, match="has custom code"):
        run_cli("fit", *args)
    folder = run_cli("fit", *args, "--model.trust_remote_code", "true") / "run"
    again = ["--config", folder / "config.yaml", "--run_dir", folder, "--ckpt_path", "best"]
    with pytest.raises(InputError, match=r"a config can't trust a model's code: type --model.trust_remote_code true"):
        run_cli("validate", *again)
    before = json.loads((folder / "metrics.json").read_text())["val/loss"]
    run_cli("validate", *again, "--model.trust_remote_code", "true")
    assert json.loads((folder / "metrics.json").read_text())["val/loss"] == pytest.approx(before, rel=1e-6)
    assert (folder / "hf" / "wild.py").exists()


def test_pickled_weights_are_read_only_where_it_is_asked_for(model: Path, tiny_bert: str) -> None:
    hostile.pickle_weights(model)
    with pytest.raises(
        InputError, match=r"has no safetensors; .*--model.allow_pickle true .*fill and tag: --allow_pick"
    ):
        load_net(AutoModelForMaskedLM, str(model))
    net, _ = load_net(AutoModelForMaskedLM, str(model), allow_pickle=True)
    expected, _ = load_net(AutoModelForMaskedLM, tiny_bert)
    for name, weight in expected.state_dict().items():
        assert torch.equal(net.state_dict()[name], weight), name


def test_pickled_weights_run_nothing(model: Path, marker: Path) -> None:
    hostile.pickle_weights(model, marker)
    with pytest.raises(InputError, match=r"its pickled weights contain something else.*; none of it was run"):
        load_net(AutoModelForMaskedLM, str(model), allow_pickle=True)
    assert not marker.exists()


def test_commands_offer_both_options(model: Path, marker: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hostile.add_code(model, marker, "wild_fill")
    hostile.pickle_weights(model)
    main(["fill", "--model", str(model), "--trust_remote_code", "--allow_pickle", "the story was [MASK]"])
    assert "the story was " in capsys.readouterr().out


def test_no_token_is_written_down(
    tiny_bert: str,
    cache_dir: str,
    run_cli: RunCLI,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    tokens = {name: f"hf_unique{name.replace('_', '')}" for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "login")}
    (tmp_path / "token").write_text(tokens["login"])
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.setenv(name, tokens[name])
    args = [*imdb_args(tiny_bert, cache_dir), "--trainer.max_epochs", "1", "--run_dir", "run"]
    folder = run_cli("fit", *args) / "run"
    run_cli("test", *args, "--ckpt_path", "best")
    output = "".join(capfd.readouterr()).encode()
    files = [path for path in folder.rglob("*") if path.is_file()]
    kinds = {path.name.partition(".")[0] for path in files}
    assert {"config", "hparams", "events", "last", "best", "metrics", "README", "test"} <= kinds
    for token in tokens.values():
        assert token.encode() not in output
        for path in files:
            assert token.encode() not in path.read_bytes(), path
