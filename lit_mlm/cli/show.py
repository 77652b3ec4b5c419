"""`show`, `audit`, `prepare`: what a data module makes of its texts, reported or cached, without training."""

import json
import time
from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, Literal, cast

from lightning.pytorch.cli import LightningArgumentParser

from lit_mlm.cli.trainer import TrainerCLI
from lit_mlm.data.audit.report import audit
from lit_mlm.data.audit.table import format_report
from lit_mlm.data.base import STAGE_OF_SPLIT, TextDataModule
from lit_mlm.data.masked.module import BlocksDataModule
from lit_mlm.data.show.documents import compare_maskings, describe_cache
from lit_mlm.data.show.examples import describe_examples
from lit_mlm.data.tagged.module import TaggedDataModule
from lit_mlm.errors import InputError


class DataCLI(TrainerCLI):
    """Takes the options of ``fit``, and prints something about the data in its place."""

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """That whose options are taken."""
        return {"fit": TrainerCLI.subcommands()["fit"]}

    def choose_folder(self, config: Any) -> None:
        """There is none, as there is no run."""

    def instantiate_trainer(self, **kwargs: Any) -> Any:
        """There is none."""
        return None

    @abstractmethod
    def print_lines(self, data: TextDataModule, options: Any) -> Iterator[str]:
        """What to print.

        Args:
            data: is not set up, and knows no model.
            options: of the command line.
        """

    def _run_subcommand(self, subcommand: str) -> None:
        data = self.datamodule
        if not isinstance(data, TextDataModule):
            raise InputError(
                f"show, audit and prepare read the texts of a TextDataModule, which {type(data).__name__} is not"
            )
        for line in self.print_lines(data, self.config[subcommand]):
            print(line)


class ShowCLI(DataCLI):
    """Prints examples."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Adds what to print."""
        super().add_arguments_to_parser(parser)
        add = parser.add_argument
        add("--split", type=Literal["train", "val", "test"], default="train", help="of the data")
        add("--indices", type=int, nargs="+", default=None, help="numbers of the documents or sentences, from 0")
        add("--num_examples", type=int | None, default=None, help="the first ones, in place of --indices; by default 3")
        add("--compare_maskings", type=bool, default=False, help="mask each block by tokens, by words and by spans too")
        add("--num_blocks", type=int | None, default=None, help="blocks of each document to write out; by default 2")

    def print_lines(self, data: TextDataModule, options: Any) -> Iterator[str]:
        """Some texts of a split, and what is made of them."""
        if options.compare_maskings:
            if not isinstance(data, BlocksDataModule):
                raise InputError(f"--compare_maskings has no effect on {type(data).__name__}, which masks nothing")
            compare_maskings(data)
        data.attach(cast(Any, self.model))
        data.setup(STAGE_OF_SPLIT[options.split])
        return describe_examples(data, options.split, options.indices, options.num_examples, options.num_blocks)


class AuditCLI(DataCLI):
    """Prints a report."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Adds what to look at."""
        super().add_arguments_to_parser(parser)
        add = parser.add_argument
        add("--splits", type=Literal["train", "val", "test"], nargs="+", default=None, help="by default all there are")
        add("--near_threshold", type=float, default=0.8, help="Jaccard similarity of near-duplicates' word 5-shingles")
        add("--num_examples", type=int, default=3, help="texts, words and places to name of each finding")
        add("--json", action="store_true", help="print JSON in place of tables")

    def print_lines(self, data: TextDataModule, options: Any) -> Iterator[str]:
        """The report, in tables or as JSON."""
        report = audit(data, cast(Any, self.model), options.splits, options.near_threshold, options.num_examples)
        return iter([json.dumps(report, indent=2)]) if options.json else format_report(report)


class PrepareCLI(DataCLI):
    """Tokenises all splits, so that a run finds them in the cache."""

    def print_lines(self, data: TextDataModule, options: Any) -> Iterator[str]:
        """What was made of each split, and where it is."""
        if isinstance(data, TaggedDataModule):
            raise InputError(f"prepare caches the tokens of documents, and {type(data).__name__} has no documents")
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
        in_cache = "; a run with these options finds it in the cache" if isinstance(data, BlocksDataModule) else ""
        yield f"read, tokenised and cut in {seconds:.1f} s{in_cache}"
