"""`show`: what the data module of a config makes of its texts, without training."""

from typing import Any, Literal, cast

from lightning.pytorch.cli import LightningArgumentParser

from lit_mlm.data.base import STAGE_OF_SPLIT, TextDataModule
from lit_mlm.data.masked import MaskedDataModule
from lit_mlm.errors import InputError
from lit_mlm.trainer_cli import TrainerCLI


class ShowCLI(TrainerCLI):
    """Takes the options of ``fit``, and prints examples in its place."""

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """That whose options are taken."""
        return {"fit": TrainerCLI.subcommands()["fit"]}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Adds what to print."""
        super().add_arguments_to_parser(parser)
        add = parser.add_argument
        add("--split", type=Literal["train", "val", "test"], default="train", help="of the data")
        add("--indices", type=int, nargs="+", default=None, help="numbers of the documents or sentences, from 0")
        add("--num_examples", type=int | None, default=None, help="the first ones, in place of --indices; by default 3")
        add("--compare_maskings", type=bool, default=False, help="mask each block by tokens, by words and by spans too")
        add("--num_blocks", type=int | None, default=None, help="blocks of each document to write out; by default 2")

    def instantiate_trainer(self, **kwargs: Any) -> Any:
        """There is none."""
        return None

    def _run_subcommand(self, subcommand: str) -> None:
        options, data = self.config[subcommand], self.datamodule
        if not isinstance(data, TextDataModule):
            raise InputError(f"show prints the examples of a TextDataModule, which {type(data).__name__} is not")
        if options.compare_maskings:
            if not isinstance(data, MaskedDataModule):
                raise InputError(f"--compare_maskings has no effect on {type(data).__name__}, which masks nothing")
            data.compare_maskings()
        data.attach(cast(Any, self.model))
        data.setup(STAGE_OF_SPLIT[options.split])
        for line in data.describe_examples(options.split, options.indices, options.num_examples, options.num_blocks):
            print(line)
