"""The parser of the Trainer's commands: Lightning's, whose errors are one line in place of a page."""

from typing import NoReturn

from lightning.pytorch.cli import LightningArgumentParser

from lit_mlm.errors import InputError


class TrainerParser(LightningArgumentParser):
    """Lightning's parser, which raises an `InputError` for what `find_mistakes` can't judge."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raises the message as it is, on one line."""
        if not self.exit_on_error:  # the parser of a class: a union may still take another
            super().error(message, ex)
        raise InputError(" ".join(message.split())) from ex
