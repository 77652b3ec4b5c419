"""Commands that need no Trainer: each parses its arguments and calls a function of `inference` or `data`."""

from argparse import ArgumentParser
from typing import NoReturn

from lit_mlm.errors import InputError, suggest


class CommandParser(ArgumentParser):
    """argparse's parser; what it finds wrong is told without its usage."""

    def error(self, message: str) -> NoReturn:
        """Raises argparse's message, with the nearest option for one that there is not.

        Raises:
            InputError: always.
        """
        kind, _, found = message.partition(": ")
        options = [option for action in self._actions for option in action.option_strings]
        near = suggest(found.partition(" ")[0].partition("=")[0], options) if kind == "unrecognized arguments" else ""
        raise InputError(message + near)
