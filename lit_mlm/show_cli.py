"""`show`: what the data module of a config makes of its documents, without training."""

from typing import Any, Literal, cast

from lightning.pytorch.cli import LightningArgumentParser

from lit_mlm.data.base import STAGE_OF_SPLIT
from lit_mlm.data.blocks import BlocksDataModule
from lit_mlm.data.inspection import describe_examples
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
        parser.add_argument("--split", type=Literal["train", "val", "test"], default="train", help="of the data")
        parser.add_argument("--num_examples", type=int, default=3, help="documents to print")
        parser.add_argument("--num_blocks", type=int, default=2, help="blocks of each document to write out")

    def instantiate_trainer(self, **kwargs: Any) -> Any:
        """There is none."""
        return None

    def _run_subcommand(self, subcommand: str) -> None:
        options, data = self.config[subcommand], self.datamodule
        if options.num_blocks < 0:
            raise InputError(f"--num_blocks must be at least 0, got {options.num_blocks}")
        if not isinstance(data, BlocksDataModule):
            raise InputError(f"show prints documents in blocks, which {type(data).__name__} has none of")
        data.attach(cast(Any, self.model))
        data.setup(STAGE_OF_SPLIT[options.split])
        for line in describe_examples(data, options.split, options.num_examples, options.num_blocks):
            print(line)
