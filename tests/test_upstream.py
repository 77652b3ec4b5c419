"""Each entry of `lit_mlm.upstream` is still needed: a test fails once a package has mended what it is for."""

import ast
import importlib
import inspect
import re
import subprocess
import sys
import traceback
import warnings
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from jsonargparse import ArgumentParser, _deprecated
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.fabric.strategies.launchers import subprocess_script
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import LightningCLI
from lightning.pytorch.demos.boring_classes import BoringDataModule, BoringModel, RandomDataset
from lightning.pytorch.plugins.precision import MixedPrecision
from lightning.pytorch.strategies.launchers import multiprocessing
from lightning.pytorch.trainer.connectors import data_connector
from torch.distributed.fsdp._fully_shard import _fsdp_state
from torch.utils.data import DataLoader
from torchmetrics import MeanMetric
from transformers import AutoConfig, AutoTokenizer
from transformers.convert_slow_tokenizer import SentencePieceExtractor

from lit_mlm import upstream
from lit_mlm.data.batches import LazyDataLoader
from lit_mlm.metrics.sums import MeanLoss
from tests.test_rules import FILES, MODULES, ROOT

Fit = Callable[..., Trainer]


@pytest.fixture
def fit(tmp_path: Path) -> Fit:
    def run(module: LightningModule | None = None, data: Any = None, ckpt_path: Any = None, **options: Any) -> Trainer:
        defaults: dict[str, Any] = {
            "accelerator": "cpu",
            "default_root_dir": tmp_path,
            "enable_model_summary": False,
            "enable_progress_bar": False,
            "limit_val_batches": 0,
            "logger": False,
        }
        trainer = Trainer(**defaults | options)
        trainer.fit(module or BoringModel(), data, ckpt_path=ckpt_path, weights_only=True)
        return trainer

    return run


class TestWarnings:
    """`FALSE_ALARMS` are given, and for what they say there."""

    @pytest.fixture(autouse=True)
    def _record(self) -> Any:
        with warnings.catch_warnings(record=True) as self.found:
            warnings.simplefilter("always")
            yield

    def has(self, number: int) -> bool:
        return any(re.match(upstream.FALSE_ALARMS[number], str(warning.message)) for warning in self.found)

    def test_few_workers(self, fit: Fit, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(data_connector, "suggested_max_num_workers", lambda local_world_size: 8)
        fit(max_steps=1)
        assert self.has(0)

    def test_short_runs(self, fit: Fit, tmp_path: Path) -> None:
        fit(max_steps=1, limit_train_batches=1, logger=True)
        assert self.has(1)

    def test_arguments(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "argv", ["lit_mlm", "fit"])
        LightningCLI(BoringModel, BoringDataModule, run=False, args=["--trainer.logger=false"])
        assert self.has(2)

    def test_existing_folder(self, fit: Fit, tmp_path: Path) -> None:
        (tmp_path / "last.ckpt").touch()
        fit(max_steps=1, callbacks=[ModelCheckpoint(tmp_path)])
        assert self.has(3)

    def test_resume_within_an_epoch(self, fit: Fit, tmp_path: Path) -> None:
        fit(max_steps=1).save_checkpoint(tmp_path / "a.ckpt")
        fit(max_steps=2, ckpt_path=tmp_path / "a.ckpt")
        assert self.has(4)

    def test_view_of_a_sharded_net(self) -> None:
        assert re.search(r"-wrapped module .*returned a view tensor", inspect.getsource(_fsdp_state))

    def test_leaf_of_a_tree(self, fit: Fit) -> None:
        fit(max_steps=1)
        assert self.has(6)

    def test_jsonargparse(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for value, is_warned in ((None, True), ("off", False)):
            self.found.clear()
            _deprecated.shown_deprecation_warnings.clear()
            monkeypatch.delenv(upstream.JSONARGPARSE_WARNINGS, raising=False)
            if value is not None:
                monkeypatch.setenv(upstream.JSONARGPARSE_WARNINGS, value)
            LightningCLI(BoringModel, BoringDataModule, run=False, args=["--trainer.logger=false"])
            names = {warning.category.__name__ for warning in self.found}
            assert ("JsonargparseDeprecationWarning" in names) is is_warned


def test_workarounds_exist_and_link_to_an_issue() -> None:
    for name, link in upstream.FAULTS.items():
        module = next(module for module in sorted(MODULES, reverse=True) if name.startswith(f"{module}."))
        reduce(getattr, name.removeprefix(f"{module}.").split("."), importlib.import_module(module))
        assert re.fullmatch(r"https://github\.com/[\w-]+/[\w-]+/issues/\d+", link)


class EpochSampler:
    """Batches of one sample; knows its epoch when its iterator is made."""

    def __init__(self) -> None:
        self.epoch, self.seen = 0, list[int]()
        self.sampler = self  # where Lightning looks for `set_epoch`

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return 2

    def __iter__(self) -> Any:
        self.seen.append(self.epoch)
        return iter([[0], [1]])


def test_iterator_of_a_resumed_run_is_of_the_first_epoch(fit: Fit, tmp_path: Path) -> None:
    data = RandomDataset(32, 2)
    fit(data=DataLoader(data, batch_sampler=EpochSampler()), max_epochs=2).save_checkpoint(tmp_path / "a.ckpt")
    sampler, ours = EpochSampler(), EpochSampler()
    fit(data=DataLoader(data, batch_sampler=sampler), max_epochs=3, ckpt_path=tmp_path / "a.ckpt")
    assert sampler.seen[0] == 0  # instead of 2
    fit(data=LazyDataLoader(data, batch_sampler=ours), max_epochs=3, ckpt_path=tmp_path / "a.ckpt")
    assert ours.seen == [2]


def test_mixed_precision_refuses_to_clip_for_a_fused_optimizer() -> None:
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], fused=True)
    with pytest.raises(RuntimeError, match="does not allow for gradient clipping"):
        MixedPrecision("bf16-mixed", "cpu").clip_gradients(optimizer, 1.0)


def test_lightning_loads_a_damaged_checkpoint(tmp_path: Path) -> None:
    path, weights = tmp_path / "a.ckpt", torch.arange(1000.0)
    TorchCheckpointIO().save_checkpoint({"weights": weights}, path)
    content = bytearray(path.read_bytes())
    content[content.index(weights.numpy().tobytes()) + 100] ^= 1
    path.write_bytes(content)
    assert not TorchCheckpointIO().load_checkpoint(path)["weights"].equal(weights)


class Width(BoringModel):
    def __init__(self, width: int = 1) -> None:
        super().__init__()
        self.save_hyperparameters()


def test_lightning_cli_takes_the_options_of_a_checkpoint(
    fit: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(upstream.JSONARGPARSE_WARNINGS, "off")
    fit(Width(2), max_steps=1).save_checkpoint(tmp_path / "a.ckpt")

    class Cli(LightningCLI):
        def instantiate_classes(self) -> None:
            raise RuntimeError(str(self.config.validate.model.width))

    @upstream.ignore_checkpoint_options
    class OurCli(Cli):
        pass

    options = ["validate", "--ckpt_path", str(tmp_path / "a.ckpt"), "--model.width", "3", "--trainer.logger", "false"]
    for cli, width in ((Cli, "2"), (OurCli, "3")):
        with pytest.raises(RuntimeError, match=width):
            cli(Width, BoringDataModule, args=options)


def test_parsers_have_no_public_lists() -> None:
    parser = ArgumentParser()
    parser.add_argument("--number", type=int)
    assert [upstream.get_hint(action) for action in upstream.list_actions(parser) if action.dest == "number"] == [int]
    assert not hasattr(parser, "actions")
    assert not hasattr(upstream.list_actions(parser)[-1], "typehint")
    assert not hasattr(LightningCLI, "subcommand_parsers")
    assert upstream.get_yaml_resolvers()["t"]


def test_methods_on_the_way_of_an_error(fit: Fit) -> None:
    class Broken(BoringModel):
        def training_step(self, *args: Any) -> Any:
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken") as caught:
        fit(Broken(), max_steps=1)
    frames = [frame for frame, _ in traceback.walk_tb(caught.value.__traceback__)]
    assert isinstance(upstream.get_owner(frames[-1]), Broken)
    assert upstream.is_trainer_running(frames)
    assert not upstream.is_trainer_running(frames[-1:])


def test_module_without_a_trainer() -> None:
    with pytest.raises(RuntimeError, match="not attached"):
        _ = LightningModule().trainer
    assert upstream.find_trainer(LightningModule()) is None


def test_loops(fit: Fit) -> None:
    """Lightning has no public names for what we ask its loops."""
    found: list[tuple[bool, bool]] = []

    class Probe(Callback):
        def on_train_batch_end(self, trainer: Trainer, *args: Any) -> None:
            found.append((upstream.is_accumulating(trainer), upstream.is_validation_due(trainer, False)))

    options = {"accumulate_grad_batches": 2, "limit_train_batches": 4, "limit_val_batches": 1}
    trainer = fit(max_epochs=1, val_check_interval=2, num_sanity_val_steps=0, callbacks=[Probe()], **options)
    assert found == [(True, False), (False, True)] * 2
    loop = trainer.fit_loop.epoch_loop
    names = ("_should_accumulate", "_should_check_val_epoch", "_should_check_val_fx", "_batches_that_stepped")
    owners = [(loop, name) for name in names] + [(trainer.fit_loop, "_data_fetcher"), (loop.val_loop, "_has_run")]
    for owner, name in owners:
        assert hasattr(owner, name)
        assert not hasattr(owner, name.removeprefix("_"))


def test_validation_that_was_due_is_lost_on_resume(fit: Fit, tmp_path: Path) -> None:
    steps: list[int] = []

    class Probe(Callback):
        def on_train_batch_end(self, trainer: Trainer, *args: Any) -> None:
            if trainer.global_step == 2:
                trainer.save_checkpoint(tmp_path / "a.ckpt")

        def on_validation_start(self, trainer: Trainer, module: LightningModule) -> None:
            steps.append(trainer.global_step)

    options = {"limit_train_batches": 2, "limit_val_batches": 1, "num_sanity_val_steps": 0, "callbacks": [Probe()]}
    fit(max_epochs=1, **options)
    fit(max_epochs=2, ckpt_path=tmp_path / "a.ckpt", **options)
    assert steps == [2, 4]  # a fault mended would be [2, 2, 4]


def test_epoch_without_validation_gets_another_batch_on_resume(fit: Fit, tmp_path: Path) -> None:
    batches: list[int] = []

    class Probe(Callback):
        def on_train_batch_start(self, trainer: Trainer, module: LightningModule, batch: Any, batch_idx: int) -> None:
            batches.append(batch_idx)

        def on_train_batch_end(self, trainer: Trainer, *args: Any) -> None:
            if trainer.global_step == 2:
                trainer.save_checkpoint(tmp_path / "a.ckpt")

        def on_save_checkpoint(self, trainer: Trainer, module: LightningModule, checkpoint: dict[str, Any]) -> None:
            upstream.settle_progress(checkpoint["loops"]["fit_loop"])

    fit(max_epochs=1, limit_train_batches=2, callbacks=[Probe()])
    batches.clear()
    fit(max_epochs=2, limit_train_batches=2, callbacks=[Probe()], ckpt_path=tmp_path / "a.ckpt")
    assert batches == [2, 0, 1]  # a fault mended would be [0, 1]


def test_launchers() -> None:
    assert "SIGKILL" in inspect.getsource(subprocess_script._ChildProcessObserver)
    assert not hasattr(multiprocessing, "MultiProcessingLauncher")


def test_torch_has_no_public_name_for_foreach() -> None:
    assert not hasattr(torch, "foreach_mul_")


def test_torchmetrics_casts_states() -> None:
    metric = torch.nn.ModuleList([MeanMetric().set_dtype(torch.float64)])
    assert metric.to(torch.bfloat16)[0].mean_value.dtype == torch.bfloat16
    ours = torch.nn.ModuleList([MeanLoss()]).to(torch.bfloat16)
    assert ours[0].nats.dtype == torch.float64


def test_attention_has_no_public_name() -> None:
    config = AutoConfig.for_model("bert", attn_implementation="eager")
    assert upstream.get_attention(config) == "eager"
    assert not hasattr(config, "attn_implementation")


def test_transformers_asks_for_tiktoken_where_sentencepiece_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tiktoken.load", None)
    monkeypatch.setattr(SentencePieceExtractor, "__init__", Mock(side_effect=ImportError("sentencepiece")))
    (tmp_path / "config.json").write_text('{"model_type": "deberta-v2"}')
    (tmp_path / "spm.model").write_bytes(b"IQ== 0\n")
    with pytest.raises(ValueError, match="tiktoken") as caught:
        AutoTokenizer.from_pretrained(tmp_path)
    assert upstream.find_unread_vocabulary(caught.value) == "spm.model"


def find_private(node: ast.AST) -> str | None:
    """The private name that a node reads, imports or sets, if any."""
    names = []
    if isinstance(node, ast.Attribute):
        names = [ast.unparse(node) if ast.unparse(node) == "os._exit" else node.attr]
    elif isinstance(node, ast.ImportFrom) and not str(node.module).startswith("lit_mlm"):
        names = [*str(node.module).split("."), *(alias.name for alias in node.names)]
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and "attr" in node.func.id:
        names = [arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
    public = ("_asdict", "_replace")  # of named tuples
    return next((name for name in names if re.match(r"_[^_]|f_locals", name) and name not in public), None)


def find_own(node: ast.AST) -> list[str]:
    """The names that a node defines."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    parts = [part for target in targets for part in ast.walk(target)]
    return [part.id for part in parts if isinstance(part, ast.Name)] + [
        part.attr
        for part in parts
        if isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name) and part.value.id in ("self", "cls")
    ]


def test_private_names_of_other_packages_are_here_alone() -> None:
    trees = {file: list(ast.walk(ast.parse(file.read_text()))) for file in FILES}
    ours = {name for nodes in trees.values() for node in nodes for name in find_own(node)}
    found = {
        f"{file.relative_to(ROOT)}: {name}"
        for file, nodes in trees.items()
        for name in map(find_private, nodes)
        if name and name not in ours and file != Path(upstream.__file__)
    }
    assert found == set()


@pytest.mark.parametrize("name", [name for name in MODULES if not name.endswith("__main__")])
def test_no_private_method_of_another_package_is_overridden(name: str) -> None:
    classes = [cls for cls in vars(importlib.import_module(name)).values() if inspect.isclass(cls)]
    for cls in (cls for cls in classes if cls.__module__ == name):
        others = [base for base in cls.__mro__ if base.__module__.partition(".")[0] not in ("lit_mlm", "typing")]
        own = {
            name: value for name, value in vars(cls).items() if getattr(value, "__module__", name) != upstream.__name__
        }
        made = vars(type("Bare", (torch.autograd.Function,), {})) if issubclass(cls, torch.autograd.Function) else {}
        private = {attribute for attribute in own.keys() - made.keys() if re.match(r"_(?!_|abc_)", attribute)}
        assert {attribute for attribute in private for base in others if attribute in vars(base)} == set(), cls


def test_messages_in_the_log_are_escaped() -> None:
    code = (
        "import logging; from lit_mlm.upstream import choose_messages; choose_messages()\n"
        "logging.getLogger('lit_mlm.data').warning('a.txt: %s', '\\x1b[31mred')"
    )
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stderr == "a.txt: \\u001b[31mred\n"
