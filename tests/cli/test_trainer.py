"""Every option of Lightning's Trainer, and every callback, strategy and profiler of it: works, or is refused."""

import inspect
import os
import re
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer, callbacks, profilers
from lightning.pytorch.strategies import StrategyRegistry
from safetensors.torch import load_file

from lit_mlm.errors import InputError
from lit_mlm.runs.checkpoints import read_checkpoint
from tests.conftest import imdb_args

Run = Callable[..., Path]

pytestmark = [
    pytest.mark.filterwarnings("ignore:You passed `Trainer.accelerator='cpu', precision='16-mixed'."),
    pytest.mark.filterwarnings("ignore:You're using the WeightAveraging callback"),
    pytest.mark.filterwarnings("ignore:The 'single_tpu' strategy is deprecated"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),  # of XLAProfiler, when it is deleted
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor"),  # torch.compile looks at all attributes
    pytest.mark.filterwarnings("ignore:The PyTorch Profiler default schedule will be overridden"),
]

WORKS = [
    *("accelerator auto", "strategy single_device", "devices 1", "devices auto", "num_nodes 1"),
    *(
        "precision bf16-mixed",
        "precision 16-mixed",
        "precision bf16-true",
        "precision 64-true",
        "precision 16-true --model.lr 1e-5",
    ),
    *("logger false", "logger CSVLogger --trainer.logger.save_dir logs", "fast_dev_run true", "fast_dev_run 2"),
    *("max_epochs 1", "min_epochs 1", "max_steps 2", "min_steps 2", "max_time 00:00:01:00"),
    *("limit_train_batches 2", "limit_train_batches 0.5", "limit_val_batches 1", "limit_val_batches 0"),
    *(
        "limit_test_batches 1",
        "limit_predict_batches 1",
        "overfit_batches 1",
        "overfit_batches 0.5 --data.eval_batch_size 1",
    ),
    *("val_check_interval 2", "val_check_interval 0.5", "val_check_interval 00:00:00:01", "check_val_every_n_epoch 2"),
    "check_val_every_n_epoch null --trainer.val_check_interval 2",
    *("num_sanity_val_steps 0", "num_sanity_val_steps 2", "log_every_n_steps 1", "enable_checkpointing false"),
    *("enable_progress_bar true", "enable_model_summary true", "accumulate_grad_batches 2", "gradient_clip_val 1"),
    "gradient_clip_val 1 --trainer.gradient_clip_algorithm value",
    *("deterministic true", "deterministic warn", "benchmark true", "inference_mode false", "sync_batchnorm true"),
    *("use_distributed_sampler false", "reload_dataloaders_every_n_epochs 1", "detect_anomaly true"),
    *("profiler simple", "profiler advanced", "profiler PyTorchProfiler", "profiler PassThroughProfiler"),
    "profiler SimpleProfiler --trainer.profiler.extended false",
    *("plugins LightningEnvironment", "enable_autolog_hparams false", "model_registry x"),
    "plugins MixedPrecision --trainer.precision null "
    "--trainer.plugins.precision bf16-mixed --trainer.plugins.device cpu",
    *(f"strategy ddp{suffix}" for suffix in ("", "_find_unused_parameters_false", "_find_unused_parameters_true")),
    "callbacks+ EarlyStopping --trainer.callbacks.monitor val/loss",
    "callbacks+ GradientAccumulationScheduler --trainer.callbacks.scheduling {0: 2}",
    *(f"callbacks+ {name}" for name in ("BatchSizeFinder", "LambdaCallback", "LearningRateFinder", "SpikeDetection")),
    *(f"callbacks+ {name}" for name in ("LearningRateMonitor", "ModelSummary", "RichModelSummary", "Callback")),
    *(f"callbacks+ {bar} --trainer.enable_progress_bar true" for bar in ("RichProgressBar", "TQDMProgressBar")),
    *("callbacks+ ProgressBar --trainer.enable_progress_bar true", "callbacks+ Checkpoint"),
    *(f"callbacks+ {name}" for name in ("EMAWeightAveraging", "WeightAveraging")),
    "callbacks+ ModelCheckpoint --trainer.callbacks.dirpath own",
    "callbacks+ Timer --trainer.callbacks.duration 00:00:01:00",
]
REFUSED = {
    "barebones true": "disables checkpoints and logging",
    "strategy fsdp": "requires a GPU accelerator",
    "strategy fsdp_cpu_offload": "requires a GPU accelerator",
    **dict.fromkeys((f"strategy {name}" for name in StrategyRegistry if name.startswith("deepspeed")), "DeepSpeed"),
    **dict.fromkeys((f"strategy {name}" for name in StrategyRegistry if re.search("xla|tpu", name)), "xla|XLA"),
    "profiler xla": "torch_xla",
    "profiler XLAProfiler": "torch_xla",
    "plugins TorchCheckpointIO": "would replace the verified files of a run",
    "callbacks+ BackboneFinetuning": "needs a module with a backbone",
    "callbacks+ BaseFinetuning": "does nothing by itself",
    "callbacks+ BasePredictionWriter": "does nothing by itself",
    "callbacks+ ModelPruning --trainer.callbacks.pruning_fn l1_unstructured": "before the net is built",
    "callbacks+ StochasticWeightAveraging --trainer.callbacks.swa_lrs 1e-3": "use EMAWeightAveraging",
    "callbacks+ OnExceptionCheckpoint --trainer.callbacks.dirpath own": "use --save_every_n_steps",
    "callbacks+ ThroughputMonitor": "missing: --trainer.callbacks.batch_size_fn",
}
if find_spec("psutil") is None:
    REFUSED["callbacks+ DeviceStatsMonitor"] = "psutil"
else:
    WORKS.append("callbacks+ DeviceStatsMonitor")
ELSEWHERE = re.compile(r"ddp_(fork|spawn|notebook)\w*")  # strategies that start processes: tests/test_ddp.py


@pytest.fixture(autouse=True)
def environment() -> Iterator[None]:
    """Removes what a strategy of several processes sets: rank, address and port."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def fit(tiny_bert: str, cache_dir: str, run_cli: Run) -> Run:
    def run(options: str, *args: str) -> Path:
        first, *rest = f"--trainer.{options}".split(" --")
        split = [part for option in [first.removeprefix("--"), *rest] for part in f"--{option}".split(" ", 1)]
        return run_cli("fit", *imdb_args(tiny_bert, cache_dir), *split, *args, "--run_dir", "run")

    return run


@pytest.mark.parametrize("options", WORKS)
def test_works(options: str, fit: Run) -> None:
    folder = fit(options) / "run"
    leaves_a_model = not re.match("fast_dev_run|enable_checkpointing", options)
    assert (folder / "hf" / "model.safetensors").is_file() is leaves_a_model


@pytest.mark.parametrize("options", REFUSED)
def test_refused(options: str, fit: Run) -> None:
    with pytest.raises(InputError, match=REFUSED[options]):
        fit(options)


def test_folder_of_runs(tiny_bert: str, cache_dir: str, run_cli: Run) -> None:
    folder = run_cli("fit", *imdb_args(tiny_bert, cache_dir), "--trainer.default_root_dir", "elsewhere")
    assert (folder / "elsewhere" / "imdb" / "version_0" / "hf").is_dir()


def test_all_are_tried() -> None:
    tried = [*WORKS, *REFUSED, "default_root_dir elsewhere"]
    names = {option.split("+")[0].split(" ")[0] for option in " --trainer.".join(tried).split(" --trainer.")}
    assert set(inspect.signature(Trainer.__init__).parameters) - {"self"} <= names
    assert set(callbacks.__all__) == {option.split()[1] for option in tried if option.startswith("callbacks")}
    used = {option.split()[1] for option in tried if option.startswith(("strategy", "profiler"))}
    assert {name for name in StrategyRegistry.available_strategies() if not ELSEWHERE.fullmatch(name)} <= used
    assert set(profilers.__all__) - {"Profiler", "AdvancedProfiler"} <= used


@pytest.mark.parametrize("profiler", ["simple", "advanced"])
def test_report_of_a_profiler_is_in_the_run_folder(profiler: str, fit: Run) -> None:
    folder = fit(f"profiler {profiler} --trainer.max_steps 1") / "run"
    assert "run_training_batch" in (folder / "fit-profile.txt").read_text()


@pytest.mark.parametrize(
    ("finder", "option"),
    [
        ("BatchSizeFinder --trainer.callbacks.max_trials 2 --trainer.callbacks.init_val 4", r"--data.batch_size 8\b"),
        ("LearningRateFinder --trainer.callbacks.num_training_steps 40", r"--model.lr [\d.e-]+"),
    ],
)
def test_what_a_finder_prints_resumes_the_run(
    finder: str, option: str, fit: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    fit(f"callbacks+ {finder} --trainer.max_epochs 8")
    said = capsys.readouterr().out
    found = re.search(f"Finder: trains with ({option}); to resume, give it and --allow_changes true", said)
    assert found
    assert "resumed from" not in said
    run = fit("max_epochs 9", *found[1].split(), "--allow_changes", "true") / "run"
    assert "resumed from" in capsys.readouterr().out
    assert (
        read_checkpoint(run / "checkpoints" / "last.ckpt")["loops"]["fit_loop"]["epoch_progress"]["current"]["ready"]
        == 9
    )


def test_average_of_the_weights_is_exported(fit: Run) -> None:
    run = fit("callbacks+ EMAWeightAveraging --trainer.callbacks.decay 0.5 --trainer.limit_train_batches 3") / "run"
    checkpoint = read_checkpoint(run / "checkpoints" / "last.ckpt")
    exported = load_file(run / "hf" / "model.safetensors")
    averaged = {name.removeprefix("net."): weight for name, weight in checkpoint["state_dict"].items()}
    trained = {name.removeprefix("net."): weight for name, weight in checkpoint["current_model_state"].items()}
    name = "bert.encoder.layer.0.attention.self.query.weight"
    assert exported[name].equal(averaged[name])
    assert not exported[name].equal(trained[name])


def test_progress_of_a_run_of_steps_has_no_number_of_epochs(fit: Run, capsys: pytest.CaptureFixture[str]) -> None:
    fit("callbacks+ RichProgressBar --trainer.max_steps 2 --trainer.enable_progress_bar true")
    found = capsys.readouterr()
    assert "Epoch 0" in found.out + found.err
    assert "/-2" not in found.out + found.err


def test_overfitting_repeats_one_batch_with_its_masks(fit: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from lit_mlm import MaskedLM

    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    step = MaskedLM.training_step

    def record(self: MaskedLM, batch: dict[str, torch.Tensor], batch_idx: int) -> Any:
        seen.append((batch["input_ids"], batch["labels"]))
        return step(self, batch, batch_idx)

    monkeypatch.setattr(MaskedLM, "training_step", record)
    fit("overfit_batches 1")
    assert len(seen) == 2
    assert all(a.equal(b) for a, b in zip(*seen, strict=True))


def test_compiled_net_has_the_plain_names(fit: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[torch.nn.Module] = []
    compile_module = torch.nn.Module.compile

    def use_eager(module: torch.nn.Module, **options: Any) -> None:
        compiled.append(module)
        compile_module(module, backend="eager", **options)  # without the minute that a compiler takes

    monkeypatch.setattr(torch.nn.Module, "compile", use_eager)
    run = fit("max_steps 2", "--model.compile", "true") / "run"
    assert {type(module).__name__ for module in compiled} == {"BertLayer"}
    assert "bert.encoder.layer.0.attention.self.query.weight" in load_file(run / "hf" / "model.safetensors")
    fit("max_steps 4", "--allow_changes", "true")
    assert read_checkpoint(run / "checkpoints" / "last.ckpt")["global_step"] == 4
