"""User errors in configs and on command lines, found before anything is parsed; `tests/test_errors.py` has most."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonargparse import set_parsing_settings

import lit_mlm.callbacks
import lit_mlm.data
import lit_mlm.modules
from lit_mlm.cli import trainer
from lit_mlm.cli.class_paths import import_all
from lit_mlm.cli.configs import find_configs
from lit_mlm.cli.option_checker import OptionChecker
from lit_mlm.cli.trainer import TrainerCLI
from lit_mlm.cli.trust import take_trust
from lit_mlm.errors import InputError
from lit_mlm.upstream import get_command_parsers

Check = Callable[[str], None]

OWN = """
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypedDict
from lightning.pytorch import Callback
from torch.optim import SGD, Optimizer
from transformers import set_seed

class Keys(TypedDict):
    a: int
    b: str

@dataclass
class Fields:
    a: int
    b: float = 2.0

class Scale:
    def __init__(self, by: int = 2) -> None: ...

class Bell(Callback):
    def __init__(self, keys: Keys | None = None, fields: Fields | None = None, either: dict[str, int] | Scale = 3,
        name: str | Scale = "x", function: Callable | None = None, several: dict[str, Scale] | None = None) -> None: ...

class Seeded(Callback):
    def __init__(self, function: Callable = set_seed) -> None: ...

class Trained(Callback):
    def __init__(self, optimizer: Callable[[Iterable], Optimizer] = SGD) -> None: ...
"""

FILES = {
    "data.yaml": "class_path: IMDBDataModule\ninit_args:\n  masking: masks/span.yaml\n",
    "masks/span.yaml": "class_path: SpanMasking\n",
    "trainer.yaml": "max_epochs: 7\n",
    "whole.yaml": "model: MaskedLM\ndata: data.yaml\ntrainer: trainer.yaml\n",
    "dotted.yaml": "trainer.max_epochs: 3\ndata.init_args: {batch_size: 3}\n",
    "wrong.yaml": "model: MaskedLM\ndata: wrong_data.yaml\n",
    "wrong_data.yaml": "class_path: IMDBDataModule\n\ninit_args:\n  batch_sizes: 3\n",
    "itself.yaml": "class_path: IMDBDataModule\ninit_args: {masking: itself.yaml}\n",
    "values.yaml": "trainer: {max_time: {days: 1}, devices: [0, 1], deterministic: warn, callbacks: [Timer, Timer]}",
    "range.yaml": "data:\n  init_args:\n    mask_prob: 0.2\n    batch_size: 0\n",
    "no_value.yaml": "data:\n  init_args:\n    batch_size: null\n",
    "number.yaml": "model:\n  init_args:\n    revision: 1e3\n",
    "clip.yaml": "trainer:\n  max_epochs: 3\n  gradient_clip_val: -1\n",
    "strategy.yaml": "trainer:\n  strategy: dpp\n",
    "barebones.yaml": "trainer:\n  barebones: true\n",
    "seed.yaml": "data: IMDBDataModule\nseed_everything: -4\n",
    "null.yaml": "trainer:\n  callbacks:\n  - EarlyStopping\n  - 3\n",
}


class _Parsers(Exception):  # noqa: N818
    """Ends the command once there are parsers."""


@pytest.fixture(scope="module")
def parser() -> Any:
    """The parser of ``fit``."""

    class CLI(TrainerCLI):
        def parse_arguments(self, parser: Any, args: Any) -> None:
            raise _Parsers(get_command_parsers(self)["fit"])

    import_all(lit_mlm.callbacks, lit_mlm.data, lit_mlm.modules)
    with pytest.raises(_Parsers) as caught:
        trainer.build_cli(["fit"], CLI)
    return caught.value.args[0]


@pytest.fixture
def check(parser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Check:
    """Checks a command line, in a folder with `FILES` and `OWN`."""
    for name, text in (FILES | {"own_classes.py": OWN}).items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)

    def run(command: str) -> None:
        args, trust = take_trust(find_configs(["fit", *command.split()]))
        set_parsing_settings(import_path_denylist=["*"], import_path_allowlist=[*trust.packages, *trust.paths])
        OptionChecker(parser, trust).check(args[1:])

    return run


BELL = "--config imdb.yaml --trainer.callbacks own_classes.Bell --trainer.callbacks."


@pytest.mark.parametrize(
    "command",
    [
        "--help",
        "--data.help",
        "--data.help IMDBDataModule",
        "--print_config",
        "--config whole.yaml --data.masking.max_length 3",
        "--config imdb.yaml --config dotted.yaml",
        "--config imdb.yaml --config values.yaml",
        "--config imdb.yaml --trainer trainer.yaml --data data.yaml --data.masking null",
        '--config imdb.yaml --trainer {"max_epochs":3} --model.config {"model_type":"bert"} --model.config.x 3',
        "--config imdb.yaml --trainer.logger+ CSVLogger --trainer.logger.save_dir x --trainer.logger TensorBoardLogger",
        "--config imdb.yaml --trainer.logger CSVLogger --trainer.logger.dict_kwargs.save_dir x",
        "--config imdb.yaml --trainer.callbacks [Timer] --trainer.callbacks+=LearningRateMonitor",
        "--config imdb.yaml --trainer.strategy ddp --trainer.accelerator cpu --trainer.profiler simple --run_dir=a=b",
        "--config imdb.yaml --trainer.strategy DDPStrategy --trainer.strategy.find_unused_parameters true",
        '--config imdb.yaml --data TextFilesDataModule --data.sources {"a.b":{"files":"x"}} --data.sources.b.files y',
        f'{BELL}keys {{"a":1,"b":"x"}}',
        f"{BELL}keys.a 1",
        f'{BELL}fields {{"a":1}}',
        f"{BELL}fields.a 1",
        f'{BELL}either {{"a":1}}',
        f"{BELL}either own_classes.Scale --trainer.callbacks.either.by 3",
        f"{BELL}name a.b",
        f"{BELL}function math.sqrt",
        f"{BELL}several.x own_classes.Scale",
        "--config imdb.yaml --trust torch --trainer.callbacks own_classes.Trained --trainer.callbacks.optimizer.lr 3",
    ],
)
def test_what_is_right(command: str, check: Check) -> None:
    """And is checked to its end, where an unknown option is refused."""
    check(command)
    with pytest.raises(InputError, match="there is no option --no_such_option"):
        check(f"{command} --no_such_option 3")


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (
            "--config wrong.yaml",
            "wrong_data.yaml, line 4: there is no option data.batch_sizes; did you mean data.batch",
        ),
        ("--config imdb.yaml --data itself.yaml", "itself.yaml, line 2: itself.yaml names itself"),
        (
            "--config imdb.yaml --config null.yaml",
            "null.yaml, line 2: trainer.callbacks is '3', expected list[Callback]",
        ),
        ("--config imdb.yaml --config range.yaml", "range.yaml, line 4: data.batch_size must be at least 1, got 0"),
        (
            "--config imdb.yaml --data.masking SpanMasking --data.masking.length_prob 3",
            "length_prob must be above 0 and",
        ),
        ("--config imdb.yaml --config no_value.yaml", "no_value.yaml, line 3: data.batch_size is 'null', expected int"),
        ("--config imdb.yaml --data.batch_size null", "data.batch_size is 'null', expected int"),
        (
            "--config imdb.yaml --config number.yaml",
            "line 3: model.revision is '1000.0', expected str or null; put it in",
        ),
        (
            "--config imdb.yaml --config clip.yaml",
            "clip.yaml, line 3: trainer.gradient_clip_val must be at least 0 and",
        ),
        (
            "--config imdb.yaml --config strategy.yaml",
            "strategy.yaml, line 2: trainer.strategy: there is no strategy dp",
        ),
        (
            "--config imdb.yaml --config barebones.yaml",
            "barebones.yaml, line 2: trainer.barebones disables checkpoints",
        ),
        ("--config imdb.yaml --config seed.yaml", "seed.yaml, line 2: seed_everything must be at least 0 and at most"),
        ("--config imdb.yaml --save_every_n_steps 0", "save_every_n_steps must be at least 1, got 0"),
        ("--config imdb.yaml x", "'x' belongs to no option"),
        ("--config imdb.yaml --run_dir x y", "'y' belongs to no option"),
        ("--config imdb.yaml -x 3", "there is no option -x; --help"),
        (
            "--config imdb.yaml --data.masking 3",
            "data.masking: there is no class 3 (SpanMasking, TokenMasking, WordMask",
        ),
        ("--config imdb.yaml --data.masking Spn", "data.masking: there is no class Spn (SpanMasking, "),
        ("--config imdb.yaml --data.masking no_file.Mask", "data.masking: can't import no_file.Mask: No module named"),
        (
            "--config imdb.yaml --data.masking json.JSONDecoder",
            "data.masking must be a MaskingStrategy, which json.JSON",
        ),
        (
            "--config imdb.yaml --data.masking.max_length 3",
            "data.masking needs a class before its options: --data.mask",
        ),
        (
            "--config imdb.yaml --data.masking SpanMasking --data.masking.max_lenght 3",
            "there is no option --data.masking.max_lenght; did you mean --data.masking.max_length?",
        ),
        (
            "--config imdb.yaml --data.masking SpanMasking --data.masking.max_length x",
            "data.masking.max_length is 'x', expected int",
        ),
        (
            "--config imdb.yaml --data.segmenter no_file.cut",
            "data.segmenter: can't import no_file.cut: No module named",
        ),
        ("--config imdb.yaml --data.segmenter cut", "data.segmenter is 'cut', expected Callable[[str], Sequence["),
        ("--config imdb.yaml --data.batch_size.x 3", "data.batch_size is \"{'x': '3'}\", expected int"),
        ("--config imdb.yaml --data.zzz 3", "there is no option --data.zzz; --data.help IMDBDataModule lists them"),
        ("--config imdb.yaml --data.lr 3", "there is no option --data.lr; did you mean --model.lr?"),
        ("--config imdb.yaml --data null", "missing: --data; give"),
        (
            "--config imdb.yaml --data [3]",
            "data must have options such as 'class_path: ...', not a list (remove the '-')",
        ),
        ("--config imdb.yaml --trainer x", "trainer must have options such as 'max_epochs: 3', not 'x'"),
        ("--config imdb.yaml --trainer.callbacks+ EarlyStopping", "missing: --trainer.callbacks.monitor; give"),
        (
            "--config imdb.yaml --trainer.callbacks+ EarlyStopping --trainer.callbacks.patience many",
            "trainer.callbacks.patience is 'many', expected int",
        ),
        (
            "--config imdb.yaml --trainer.profiler own_classes.Scale",
            "trainer.profiler must be a Profiler, which own_cl",
        ),
        (f"{BELL}either.x y", "either needs a class before its options: --trainer.callbacks.either CLASS"),
        (f"{BELL}several.x.by y", "trainer.callbacks.several.x.by is 'y': a scale is given with all its options, in a"),
        (
            "--config imdb.yaml --trainer.callbacks own_classes.Seeded",
            "not transformers.set_seed; if you trust the code of transformers, add --trust transformers",
        ),
    ],
)
def test_what_is_wrong(command: str, message: str, check: Check) -> None:
    with pytest.raises(InputError) as caught:
        check(command)
    assert message in str(caught.value)
