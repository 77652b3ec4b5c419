"""`show`, `audit` and `prepare`: print or cache the data without training."""

import json
import time
from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, Literal, cast

from lightning.pytorch.cli import LightningArgumentParser

from lit_mlm.cli.plain import print_result
from lit_mlm.cli.trainer import TrainerCLI
from lit_mlm.data.audit.report import audit
from lit_mlm.data.audit.table import format_report
from lit_mlm.data.base import STAGE_OF_SPLIT, TextDataModule
from lit_mlm.data.masked.module import BlocksDataModule
from lit_mlm.data.show.documents import compare_maskings, describe_cache
from lit_mlm.data.show.examples import describe_examples
from lit_mlm.errors import InputError


class DataCLI(TrainerCLI):
    """Takes the options of ``fit``, and prints lines about the data instead of training."""

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Returns ``fit``, whose options these commands take."""
        return {"fit": TrainerCLI.subcommands()["fit"]}

    def choose_folder(self, config: Any) -> None:
        """Does nothing: there is no run."""

    def instantiate_trainer(self, **kwargs: Any) -> Any:
        """Returns itself, whose `fit` prints: nothing is trained."""
        return self

    @abstractmethod
    def print_lines(self, data: TextDataModule, options: Any) -> Iterator[str]:
        """Yields the lines to print.

        Args:
            data: neither set up nor attached to the model.
            options: command-line options.
        """

    def fit(self, **options: Any) -> None:
        """Prints the lines."""
        data = self.datamodule
        if not isinstance(data, TextDataModule):
            raise InputError(f"show, audit and prepare need a TextDataModule, but {type(data).__name__} is not one")
        for line in self.print_lines(data, self.config[self.subcommand]):
            print_result(line)


class ShowCLI(DataCLI):
    """Prints examples."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Adds the options of ``show``."""
        super().add_arguments_to_parser(parser)
        add = parser.add_argument
        add("--split", type=Literal["train", "val", "test"], default="train", help="the split to show")
        add("--indices", type=int, nargs="+", default=None, help="indices of the documents or sentences, from 0")
        add("--num_examples", type=int | None, default=None, help="the first ones, instead of --indices; default 3")
        add("--compare_maskings", type=bool, default=False, help="show each block masked by tokens, words and spans")
        add("--num_blocks", type=int | None, default=None, help="blocks to show per document; default 2")

    def print_lines(self, data: TextDataModule, options: Any) -> Iterator[str]:
        """Describes texts of a split and the examples built from them."""
        if options.compare_maskings:
            if not isinstance(data, BlocksDataModule):
                raise InputError(f"--compare_maskings has no effect on {type(data).__name__}, which masks nothing")
            compare_maskings(data)
        data.attach(cast(Any, self.model))
        data.setup(STAGE_OF_SPLIT[options.split])
        return describe_examples(data, options.split, options.indices, options.num_examples, options.num_blocks)


class AuditCLI(DataCLI):
    """Prints an audit report."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Adds the options of ``audit``."""
        super().add_arguments_to_parser(parser)
        add = parser.add_argument
        add("--splits", type=Literal["train", "val", "test"], nargs="+", default=None, help="default: all that exist")
        add("--near_threshold", type=float, default=0.8, help="minimum Jaccard similarity of near-duplicates")
        add("--num_examples", type=int, default=3, help="examples to list for each finding")
        add("--json", action="store_true", help="print JSON instead of tables")
        noise = "list the tagged training sentences whose labels nets that are trained on the others find least likely"
        add("--with_model", action="store_true", help=noise)
        add("--folds", type=int, default=5, help="of --with_model, each with a net of its own")

    def print_lines(self, data: TextDataModule, options: Any) -> Iterator[str]:
        """Formats the report as tables or JSON."""
        report = audit(data, cast(Any, self.model), options.splits, options.near_threshold, options.num_examples)
        return iter([json.dumps(report, indent=2)]) if options.json else format_report(report)


class PrepareCLI(DataCLI):
    """Tokenises all splits into the cache."""

    def print_lines(self, data: TextDataModule, options: Any) -> Iterator[str]:
        """Sets up all splits and describes the cache."""
        data.attach(cast(Any, self.model))
        start = time.perf_counter()
        data.setup("fit")
        notes = []
        try:
            data.setup("test")
        except InputError as error:
            notes.append(f"no test split: {error}")
        seconds = time.perf_counter() - start
        yield from [*(describe_cache(data) if isinstance(data, BlocksDataModule) else [data.describe()]), *notes]
        found = "it" if isinstance(data, BlocksDataModule) else "its data set"
        yield f"read, tokenised and cut in {seconds:.1f} s; a run with these options finds {found} in the cache"


SHOW_CLIS = {"show": ShowCLI, "audit": AuditCLI, "prepare": PrepareCLI}
"""The CLIs of the commands of `SHOW_COMMANDS`."""
