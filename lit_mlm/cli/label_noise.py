"""`audit --with_model`: ranks training sentences by the loss of nets that were not trained on them."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from lit_mlm.batch import IGNORE_INDEX
from lit_mlm.cli.configs import RUN_CONFIG, find_configs
from lit_mlm.cli.errors_run import PLAIN
from lit_mlm.cli.inputs import split_args
from lit_mlm.cli.plain import CommandParser, format_json, print_result
from lit_mlm.cli.read_only import ReadOnlyCLI
from lit_mlm.cli.repeat import choose_folder, run_fit
from lit_mlm.cli.trainer import run
from lit_mlm.data.tagged.module import TaggedDataModule
from lit_mlm.errors import InputError
from lit_mlm.metrics.sums import SumMetric
from lit_mlm.runs.atomic import write_json
from lit_mlm.text.tables import format_table

MAX_WORDS = 3
"""Words of a sentence that are printed."""


def make_parser() -> CommandParser:
    """Makes the parser of the command; all other arguments go to ``fit``."""
    parser = CommandParser("audit", "Rank training sentences by the loss of nets that were not trained on them.")
    parser.add_argument("--with_model", action="store_true")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--config", "-c", action="append", required=True)
    parser.add_argument("--num_examples", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--run_dir")
    return parser


def main(args: Sequence[str]) -> None:
    """Runs the command with the arguments after its name."""
    options, rest = make_parser().parse_known_args(args)
    for name, _ in split_args(rest):
        if name in ("splits", "near_threshold", "ckpt_path"):
            raise InputError(f"--{name} can't be given with --with_model, which trains nets of its own")
    if options.folds < 2:
        raise InputError(f"--folds must be at least 2, got {options.folds}")
    folder = choose_folder(options.run_dir, Path(options.config[0]), "audit", "fold")
    command = [*(part for config in options.config for part in ("--config", config)), *rest]
    find_configs(["fit", *command])  # fails before the first run starts
    found: list[dict[str, Any]] = []
    for fold in range(options.folds):
        run_dir, number = folder / f"fold_{fold}", len(found)
        chosen = ["--data.num_folds", str(options.folds), "--data.fold", str(fold)]
        run_fit([*command, *chosen], run_dir, f"fold {fold}", options.json)
        # The last checkpoint: the best one was chosen on these sentences.
        own = ["--config", str(run_dir / RUN_CONFIG), "--ckpt_path", str(run_dir / "checkpoints" / "last.ckpt")]
        run(["validate", *own, *PLAIN], partial(LossCLI, found=found))
        for sentence in found[number:]:
            sentence["fold"] = fold
    found.sort(key=lambda sentence: -sentence["loss"])
    result = {"folds": options.folds, "num_sentences": len(found), "sentences": found}
    write_json(folder / "audit.json", result)
    if options.json:
        print_result(format_json(result | {"sentences": found[: options.num_examples]}))
        return
    print_result("\n".join(format_sentences(found[: options.num_examples])))
    print_result(f"all {len(found):,} sentences: {folder / 'audit.json'}")


class LossCLI(ReadOnlyCLI):
    """Takes the options of ``validate``, and keeps the losses of sentences in place of metrics.

    Args:
        found: gets a record for each sentence with words.
    """

    def __init__(self, *args: Any, found: list[dict[str, Any]], **kwargs: Any) -> None:
        self._found = found
        super().__init__(*args, **kwargs)

    def validate(self, **options: Any) -> None:
        """Evaluates the fold."""
        if not isinstance(self.datamodule, TaggedDataModule):
            raise InputError(f"--with_model needs a data module of tagged words, not {type(self.datamodule).__name__}")
        self.model.update_metrics = self._collect
        super().validate(**options)

    def _collect(self, metrics: SumMetric, batch: dict[str, Tensor]) -> None:
        """Adds a batch to the metrics, and keeps the loss of the tag of each word, that of its first token."""
        model, data = self.model, self.datamodule
        logits = model.compute_logits(batch)
        decoded = model.decode(logits, batch)
        metrics.update(logits, batch, decoded)
        flat, gold = logits.float().flatten(0, 1), batch["labels"].flatten()
        nats = F.cross_entropy(flat, gold, ignore_index=IGNORE_INDEX, reduction="none").cpu().numpy()
        for index, tags in decoded.items():
            sentence, own = data.sentences["val"][index], nats[tags.first_tokens].astype(float)
            line = "" if sentence.first_line is None else f", line {sentence.first_line}"
            record = {
                "place": f"{sentence.place}{line}",
                "loss": float(own.max()),  # one wrong label in a long sentence hardly moves a mean
                "words": list(sentence.words),
                "tags": list(sentence.tags),
                "found": [data.labels[i] for i in tags.labels.tolist()],
                "nats": [round(value, 4) for value in own.tolist()],
            }
            self._found.append(record)


def format_sentences(sentences: Sequence[dict[str, Any]]) -> list[str]:
    """Formats a table of sentences with their least likely tags."""
    rows = [["loss", "fold", "place", "least likely tags, and what was found"]]
    for sentence in sentences:
        words = zip(sentence["nats"], sentence["words"], sentence["tags"], sentence["found"], strict=True)
        worst = sorted((word for word in words if word[2] != word[3]), key=lambda word: -word[0])[:MAX_WORDS]
        told = "; ".join(f"{word} {tag}, not {other}" for _, word, tag, other in worst)
        rows.append([f"{sentence['loss']:.3f}", str(sentence["fold"]), sentence["place"], told])
    return format_table(rows, ">><<")
