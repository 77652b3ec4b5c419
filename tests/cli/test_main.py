"""The command line as a user meets it."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from transformers import AutoModelForMaskedLM, AutoModelForTokenClassification, AutoTokenizer

from lit_mlm import MaskedLM, __version__
from lit_mlm.cli.configs import ADAPT, find_config, find_configs, get_config_folder, list_configs
from lit_mlm.cli.main import main, run_command
from lit_mlm.cli.table import OTHER_COMMANDS, TRAINER_COMMANDS
from lit_mlm.errors import InputError
from lit_mlm.runs.checkpoints import name_run, read_checkpoint
from tests.conftest import FIXTURES, imdb_args

CONFIGS = [name for name in list_configs() if not name.startswith(ADAPT)]
Run = Callable[..., Path]


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory, tiny_bert: str, cache_dir: str) -> Path:
    """A finished run of two epochs."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["lit_mlm"])
        run_command(["fit", *imdb_args(tiny_bert, cache_dir), "--run_dir", str(folder)])
    return folder


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--help"])
    output = capsys.readouterr().out
    for command in [*TRAINER_COMMANDS, *OTHER_COMMANDS]:
        assert re.search(rf"^  {command}\s+\w+", output, re.MULTILINE)


def test_version_does_not_import_torch() -> None:
    code = (
        "import sys; from lit_mlm.cli.main import main; main(['--version']); main(['--help'])\n"
        "print(sorted({'torch', 'lightning', 'transformers', 'datasets'} & set(sys.modules)))"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout.splitlines()
    assert output[0] == f"lit-mlm {__version__}"
    assert output[-1] == "[]"


def test_unknown_command_names_the_others() -> None:
    with pytest.raises(ValueError, match=r"there is no command fti .*fill.*did you mean fit\?"):
        run_command(["fti"])


def test_config_is_looked_up_here_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_config("imdb.yaml") == get_config_folder() / "imdb.yaml"
    assert find_config("overlays/cpu.yaml") == get_config_folder() / "overlays/cpu.yaml"
    Path("imdb.yaml").touch()
    assert find_config("imdb.yaml") == Path("imdb.yaml")
    with pytest.raises(
        ValueError, match=r"there is no config imbd.yaml here.*mean imdb.yaml\?\nthere are .*imdb.yaml.*quickst"
    ):
        find_config("imbd.yaml")


def assert_printed(value: Any, found: Any) -> None:
    """Whether an option of a config is printed, a class under its full name and with all its options."""
    if isinstance(found, dict) and "class_path" in found:
        name = value if isinstance(value, str) else value["class_path"]
        assert f".{found['class_path']}".endswith(f".{name}")
        options = {} if isinstance(value, str) else value.get("init_args", {})
        assert options.items() <= found.get("init_args", {}).items()
    elif isinstance(value, dict):
        assert value.items() <= found.items()
    else:
        assert found == value


@pytest.mark.parametrize("config", CONFIGS)
def test_every_config_prints(config: str, run_cli: Run, capsys: pytest.CaptureFixture[str]) -> None:
    base = ["--config", "quickstart.yaml"] if config.startswith("overlays/") else []
    with pytest.raises(SystemExit) as stop:
        run_cli("fit", *base, f"--config={config}", "--print_config")
    assert stop.value.code == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    for section in ("model", "data", "trainer"):
        typed = yaml.safe_load((get_config_folder() / config).read_text()).get(section, {})
        for key, value in typed.get("init_args", typed).items():
            found = printed[section].get("init_args", printed[section])[key.removesuffix("+")]
            if key == "callbacks+":  # appended
                found = found[-1]
            pairs = zip(value, found, strict=True) if isinstance(value, list) else [(value, found)]
            for ours, theirs in pairs:
                assert_printed(ours, theirs)


def test_a_run_leaves_what_it_promises(run_folder: Path, tiny_bert: str) -> None:
    names = {path.name for path in run_folder.iterdir()}
    assert {"config.yaml", "checkpoints", "hf", "metrics.json"} <= names
    assert any(name.startswith("events.out.tfevents") for name in names)
    assert {path.name for path in (run_folder / "checkpoints").iterdir()} == {
        f"{name}.ckpt{suffix}" for name in ("best", "last") for suffix in ("", ".sha256")
    }
    assert yaml.safe_load((run_folder / "config.yaml").read_text())["model"]["init_args"]["model"] == tiny_bert
    metrics = json.loads((run_folder / "metrics.json").read_text())
    for prefix in ("start/val", "val", "last/val"):
        for name in (
            *("perplexity", "loss", "num_scored_tokens", "mask_fingerprint", "perplexity_batch_mean"),
            *("bits_per_byte", "top1_accuracy", "top5_accuracy"),
        ):
            assert f"{prefix}/{name}" in metrics
    assert metrics["val/perplexity"] < metrics["start/val/perplexity"]
    assert metrics["start/val/mask_fingerprint"] == metrics["val/mask_fingerprint"]
    assert metrics["epoch"] == 1
    assert len(metrics["data_fingerprint"]) == 64
    assert metrics["versions"]["torch"] == torch.__version__


def test_exported_folder_gives_the_checkpoint_s_logits_bit_for_bit(run_folder: Path) -> None:
    checkpoint = read_checkpoint(run_folder / "checkpoints" / "best.ckpt")
    module = MaskedLM.load_from_checkpoint(run_folder / "checkpoints" / "best.ckpt").eval()
    net = AutoModelForMaskedLM.from_pretrained(run_folder / "hf")
    tokenizer = AutoTokenizer.from_pretrained(run_folder / "hf")
    batch = tokenizer(["The story was [MASK].", "a [MASK]"], padding=True, return_tensors="pt")
    assert torch.equal(net(**batch).logits, module(**batch).logits)
    assert checkpoint["global_step"] == json.loads((run_folder / "metrics.json").read_text())["step"]
    card = (run_folder / "hf" / "README.md").read_text()
    assert "pipeline_tag: fill-mask" in card
    assert "perplexity" in card


def test_an_adapted_model_is_a_start_for_tagging(run_folder: Path, cache_dir: str, run_cli: Run) -> None:
    """With a learning rate of 0 the tagger's body is that of the masked language model, to the last bit."""
    args = ("--config", "conll.yaml", "--config", "overlays/cpu.yaml", "--trainer.enable_progress_bar", "false")
    data = ("--data.data_dir", FIXTURES / "conll", "--data.cache_dir", cache_dir)
    model, lengths = run_folder / "hf", ("--trainer.max_steps", 2, "--trainer.max_epochs", 1)
    folder = run_cli("fit", *args, *data, "--model.model", model, *lengths, "--model.lr", 0, "--run_dir", "tagger")
    start = AutoModelForMaskedLM.from_pretrained(model)
    net = AutoModelForTokenClassification.from_pretrained(folder / "tagger" / "hf")
    weights = net.state_dict()
    assert torch.equal(net.get_input_embeddings().weight, start.get_input_embeddings().weight)
    shared = {name: weight for name, weight in start.state_dict().items() if name in weights}
    assert set(weights) - set(shared) == {"classifier.weight", "classifier.bias"}
    assert all(torch.equal(weights[name], weight) for name, weight in shared.items())
    assert AutoTokenizer.from_pretrained(folder / "tagger" / "hf").get_vocab() == (
        AutoTokenizer.from_pretrained(model).get_vocab()
    )
    metrics = json.loads((folder / "tagger" / "metrics.json").read_text())
    assert metrics["val/num_gold_entities"] == 192


def test_validate_and_test_add_their_figures(run_folder: Path, tiny_bert: str, cache_dir: str, run_cli: Run) -> None:
    before = json.loads((run_folder / "metrics.json").read_text())
    config = (run_folder / "config.yaml").read_bytes()
    for command in ("validate", "test"):
        run_cli(command, *imdb_args(tiny_bert, cache_dir), "--run_dir", run_folder, "--ckpt_path", "best")
    after = json.loads((run_folder / "metrics.json").read_text())
    assert after["val/perplexity"] == pytest.approx(before["val/perplexity"], rel=1e-6)
    assert after["val/mask_fingerprint"] == before["val/mask_fingerprint"]
    assert after["test/perplexity"] > 1
    assert all(after[key] == value for key, value in before.items() if not key.startswith("val/"))
    assert {"validate.yaml", "test.yaml"} <= {path.name for path in run_folder.iterdir()}
    assert (run_folder / "config.yaml").read_bytes() == config


@pytest.mark.parametrize("batch_size", [1, 7, 64])
@pytest.mark.parametrize("num_workers", [0, 2])
def test_validation_is_the_same_for_any_batch_size_and_workers(
    batch_size: int, num_workers: int, run_folder: Path, tiny_bert: str, cache_dir: str, run_cli: Run
) -> None:
    options = ["--data.batch_size", batch_size, "--data.num_workers", num_workers, "--run_dir", "out"]
    checkpoint = run_folder / "checkpoints" / "best.ckpt"
    folder = run_cli("validate", *imdb_args(tiny_bert, cache_dir), "--ckpt_path", checkpoint, *options)
    metrics = json.loads((folder / "out" / "metrics.json").read_text())
    expected = json.loads((run_folder / "metrics.json").read_text())
    assert metrics["val/perplexity"] == pytest.approx(expected["val/perplexity"], rel=1e-6)
    assert metrics["val/num_scored_tokens"] == expected["val/num_scored_tokens"]
    assert metrics["val/top1_accuracy"] == expected["val/top1_accuracy"]


def test_validate_without_a_checkpoint_scores_the_starting_model(
    run_folder: Path, tiny_bert: str, cache_dir: str, run_cli: Run
) -> None:
    folder = run_cli("validate", *imdb_args(tiny_bert, cache_dir))
    (metrics,) = folder.glob("runs/imdb/version_0/metrics.json")
    expected = json.loads((run_folder / "metrics.json").read_text())["start/val/perplexity"]
    assert json.loads(metrics.read_text())["val/perplexity"] == pytest.approx(expected, rel=1e-6)


def test_checkpoint_does_not_override_what_is_typed(
    run_folder: Path, tiny_bert: str, tiny_roberta: str, cache_dir: str, run_cli: Run
) -> None:
    checkpoint = str(run_folder / "checkpoints" / "last.ckpt")
    args = [*imdb_args(tiny_bert, cache_dir), "--ckpt_path", checkpoint]
    with pytest.raises(ValueError, match=r"model.lr is 5.0, but the checkpoint was made with 0.003"):
        run_cli("fit", *args, "--model.lr", "5", "--run_dir", "one")
    with pytest.raises(ValueError, match=rf"model.model is '{tiny_roberta}', but the checkpoint was made with"):
        run_cli("validate", *args, "--model.model", tiny_roberta, "--run_dir", "two")
    with pytest.raises(ValueError, match=r"tokenizer of SHA-256 \w+, the data with"):
        run_cli("validate", *args, "--data.vocab_size", 140, "--run_dir", "three")
    folder = run_cli("fit", *args, "--trainer.max_epochs", 3, "--run_dir", "four")
    assert json.loads((folder / "four" / "metrics.json").read_text())["last/val/perplexity"] > 1
    assert read_checkpoint(folder / "four" / "checkpoints" / "last.ckpt")["epoch"] == 2


def test_run_folder_in_use_is_refused(run_folder: Path, tiny_bert: str, cache_dir: str, run_cli: Run) -> None:
    with pytest.raises(ValueError, match=r"holds a run with another config: model.lr 0.003, not 0.1"):
        run_cli("fit", *imdb_args(tiny_bert, cache_dir), "--run_dir", run_folder, "--model.lr", 0.1)
    with pytest.raises(ValueError, match=r"there is no checkpoint .*nowhere.ckpt"):
        run_cli("validate", *imdb_args(tiny_bert, cache_dir), "--run_dir", run_folder, "--ckpt_path", "nowhere.ckpt")
    with pytest.raises(ValueError, match="--ckpt_path last: runs/imdb holds no unfinished run of this config"):
        run_cli("fit", *imdb_args(tiny_bert, cache_dir), "--ckpt_path", "last")


def test_saved_config_makes_the_same_run_elsewhere(run_folder: Path, run_cli: Run) -> None:
    folder = run_cli("fit", "--config", run_folder / "config.yaml", "--run_dir", "again") / "again"
    ours, theirs = (json.loads((place / "metrics.json").read_text()) for place in (folder, run_folder))
    assert ours == {key: value for key, value in theirs.items() if not key.startswith("test/")}


@pytest.mark.parametrize(
    ("config", "name"),
    [("a/imdb.yaml", "imdb"), ("runs/imdb/version_3/config.yaml", "imdb"), ("runs/mine/config.yaml", "mine")],
)
def test_runs_are_called_after_their_first_config(config: str, name: str) -> None:
    assert name_run(Path(config)) == name


def test_a_run_without_logger_has_a_folder(tiny_bert: str, cache_dir: str, run_cli: Run) -> None:
    folder = run_cli("fit", *imdb_args(tiny_bert, cache_dir), "--trainer.logger", "false")
    assert (folder / "runs/imdb/version_0/hf/model.safetensors").exists()


def test_a_run_is_given_by_its_folder_or_config(run_folder: Path, tmp_path: Path, run_cli: Run) -> None:
    """Its best checkpoint is scored by default; the figures of another one of its own lie beside those of the run."""
    run = Path(shutil.copytree(run_folder, tmp_path / "run"))
    figures = json.loads((run / "metrics.json").read_text())
    for options in (("--run_dir", run), ("--config", run), ("--config", run / "config.yaml")):
        run_cli("validate", *options)
        assert json.loads((run / "metrics.json").read_text()) == figures
    run_cli("validate", "--config", run / "config.yaml", "--ckpt_path", run / "checkpoints" / "last.ckpt")
    assert json.loads((run / "metrics.json").read_text()) == figures
    last = json.loads((run / "metrics-last.json").read_text())
    assert last["val/perplexity"] == pytest.approx(figures["last/val/perplexity"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]
    assert not list(run.glob("version_*"))
    with pytest.raises(
        InputError, match=r"holds metrics of its own checkpoints, and --ckpt_path .* is not one of them"
    ):
        run_cli("validate", "--run_dir", run, "--ckpt_path", run_folder / "checkpoints" / "last.ckpt")


def test_fit_of_a_finished_run_trains_nothing_and_says_so(
    run_folder: Path, tmp_path: Path, run_cli: Run, caplog: pytest.LogCaptureFixture
) -> None:
    run = Path(shutil.copytree(run_folder, tmp_path / "run"))
    for options in (
        ("--run_dir", run),
        ("--config", run, "--ckpt_path", run / "checkpoints/last.ckpt"),
    ):
        caplog.clear()
        with pytest.raises(SystemExit) as stop:
            run_cli("fit", *options)
        assert stop.value.code == 0
        assert f"the run in {run} is finished" in caplog.text


def test_no_run_lies_in_another(run_folder: Path, tmp_path: Path, run_cli: Run) -> None:
    shutil.copytree(run_folder, tmp_path / "runs" / "mine")
    shutil.copytree(run_folder / "checkpoints", tmp_path / "other")
    with pytest.raises(InputError, match="runs/mine is a run folder and can't contain other runs: give --run_dir"):
        run_cli("validate", "--config", "runs/mine/config.yaml", "--ckpt_path", "other/last.ckpt")


def test_revisions_and_roots_are_kept(tiny_bert: str, cache_dir: str, run_cli: Run) -> None:
    """Options of the model and of the data by similar names, and a root for runs, all reach the run."""
    reviews = ("--data.data_dir", "null", "--data.dataset", str(FIXTURES / "imdb_hub"))
    options = ("--model.revision", "main", "--data.dataset_revision", "main", "--trainer.default_root_dir", "there")
    folder = run_cli(
        "fit", *imdb_args(tiny_bert, cache_dir), *reviews, *options, "--trainer.enable_checkpointing", "false"
    )
    config = yaml.safe_load((folder / "there/imdb/version_0/config.yaml").read_text())
    assert config["model"]["init_args"]["revision"] == config["data"]["init_args"]["dataset_revision"] == "main"
    assert not (folder / "there/imdb/version_0/checkpoints").exists()
    with pytest.raises(ValueError, match=r"--run_dir x and trainer.default_root_dir there exclude each other"):
        run_cli("fit", *imdb_args(tiny_bert, cache_dir), "--run_dir", "x", "--trainer.default_root_dir", "there")


def test_half_precision_weights_give_exact_sums(run_folder: Path, tiny_bert: str, cache_dir: str, run_cli: Run) -> None:
    args = [*imdb_args(tiny_bert, cache_dir), "--ckpt_path", run_folder / "checkpoints/best.ckpt", "--run_dir", "out"]
    folder = run_cli("validate", *args, "--trainer.precision", "bf16-true")
    metrics = json.loads((folder / "out/metrics.json").read_text())
    expected = json.loads((run_folder / "metrics.json").read_text())
    assert metrics["val/loss"] == pytest.approx(expected["val/loss"], rel=0.01)
    assert metrics["val/loss"] != pytest.approx(expected["val/loss"], rel=1e-9)
    assert metrics["checkpoint"] == str(run_folder / "checkpoints/best.ckpt")


def test_other_files_are_no_checkpoints(tmp_path: Path) -> None:
    torch.save({"weights": torch.zeros(2)}, tmp_path / "other.ckpt")
    with pytest.raises(ValueError, match="is not a checkpoint of lit-mlm: it has the keys weights"):
        read_checkpoint(tmp_path / "other.ckpt")


def test_damaged_files_are_no_checkpoints(run_folder: Path, tmp_path: Path) -> None:
    whole = (run_folder / "checkpoints" / "last.ckpt").read_bytes()
    files = {
        "empty": b"",
        "text": b"some text",
        "cut": whole[: len(whole) // 2],
        "flipped": whole[:60] + b"x" * 99 + whole[159:],
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=f"{name} is not a checkpoint of lit-mlm: it is") as caught:
            read_checkpoint(tmp_path / name)
        assert len(str(caught.value)) < 300
    torch.save(torch.zeros(2), tmp_path / "tensor")
    with pytest.raises(InputError, match="tensor is not a checkpoint of lit-mlm: it has no keys"):
        read_checkpoint(tmp_path / "tensor")


def test_debug_overlay_looks_at_every_part(tiny_bert: str, cache_dir: str, run_cli: Run) -> None:
    args = imdb_args(tiny_bert, cache_dir)
    folder = run_cli(
        "fit", *args, "--config", "overlays/debug.yaml", "--config", "overlays/bf16.yaml", "--data.batch_size", 2
    )
    metrics = json.loads((folder / "runs/imdb/version_0/metrics.json").read_text())
    assert metrics["step"] == 8  # --trainer.max_epochs is typed, so it holds
    assert "val/mask_fingerprint" not in metrics  # two batches are not the split
    assert metrics["val/num_scored_tokens"] > 0


def test_typed_options_hold_wherever_they_stand() -> None:
    found = find_configs(
        ["fit", "--model.lr", "1", "--config=imdb.yaml", "-c", "overlays/cpu.yaml", "--trainer.devices=2"]
    )
    folder = get_config_folder()
    configs = ["--config", str(folder / "imdb.yaml"), "--config", str(folder / "overlays/cpu.yaml")]
    assert found == ["fit", *configs, "--model.lr", "1", "--trainer.devices=2"]


def test_run_without_validation_exports_its_last_model(tiny_bert: str, cache_dir: str, run_cli: Run) -> None:
    folder = (
        run_cli("fit", *imdb_args(tiny_bert, cache_dir), "--trainer.limit_val_batches", 0, "--run_dir", "out") / "out"
    )
    weights = read_checkpoint(folder / "checkpoints" / "last.ckpt")["state_dict"]
    net = AutoModelForMaskedLM.from_pretrained(folder / "hf")
    for name, weight in net.state_dict().items():
        assert torch.equal(weight, weights[f"net.{name}"])
    metrics = json.loads((folder / "metrics.json").read_text())
    assert not any("perplexity" in key for key in metrics)
    assert metrics["epoch"] == 1
    assert metrics["train/loss"] > 0


def test_training_that_ends_within_an_epoch_is_validated_and_saved(
    tiny_bert: str, cache_dir: str, run_cli: Run
) -> None:
    options = ("--trainer.max_steps", 5, "--data.batch_size", 2, "--run_dir", "out")
    folder = run_cli("fit", *imdb_args(tiny_bert, cache_dir), *options) / "out"
    assert read_checkpoint(folder / "checkpoints" / "last.ckpt")["global_step"] == 5
    assert json.loads((folder / "metrics.json").read_text())["step"] == 5


def test_fast_dev_run_writes_nothing(tiny_bert: str, cache_dir: str, run_cli: Run) -> None:
    folder = run_cli("fit", *imdb_args(tiny_bert, cache_dir), "--trainer.fast_dev_run", "true")
    assert not list(folder.rglob("*.ckpt"))


def test_lines_on_the_terminal(
    tiny_bert: str, cache_dir: str, run_cli: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    run_cli("fit", *imdb_args(tiny_bert, cache_dir))
    lines = capsys.readouterr().out.splitlines()
    assert re.match(
        r"bert, 0\.0 M parameters; 1 x cpu, 32-true; \d+ train / \d+ val blocks of 32 \(concatenate\)", lines[0]
    )
    assert re.match(r"start: val perplexity [\d.]+, loss [\d.]+", lines[1])
    for epoch in (1, 2):
        line = rf"epoch {epoch}, step \d+: val perplexity [\d.]+, loss [\d.]+, top1_accuracy \S+; train loss [\d.]+"
        assert re.fullmatch(line, lines[epoch + 1])
    assert re.fullmatch(r"val +start +epoch 2", lines[4])
    assert re.fullmatch(r"perplexity +[\d.]+ +[\d.]+", lines[5])
    assert max(len(line) for line in lines if not line.startswith("next:")) <= 100  # a command is copied whole
    assert any(line.startswith("next:        python -m lit_mlm fill --model runs/imdb/version_0/hf") for line in lines)


def test_events_hold_what_the_lines_say(run_folder: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run_folder))
    events.Reload()
    tags = events.Tags()["scalars"]
    assert {"train/loss", "train/loss_step", "train/lr", "val/perplexity", "val/loss", "val/bits_per_byte"} <= set(tags)
    metrics: dict[str, Any] = json.loads((run_folder / "metrics.json").read_text())
    assert events.Scalars("val/perplexity")[-1].value == pytest.approx(metrics["last/val/perplexity"], rel=1e-5)
