"""Commands that need no Trainer: each parses its arguments and calls a function of `inference` or `data`."""

import json
import os
import sys
from argparse import ArgumentParser
from typing import Any, NoReturn

from lit_mlm.errors import InputError, suggest


class CommandParser(ArgumentParser):
    """argparse's parser; what it finds wrong is told without its usage."""

    def parse_intermixed_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parses a command line whose texts may be anywhere in it."""
        options, rest = self.parse_known_intermixed_args(args, namespace)
        if rest:
            names = [option for action in self._actions for option in action.option_strings]
            raise InputError(f"there is no option {rest[0]}{suggest(rest[0].partition('=')[0], names)}")
        return options

    def error(self, message: str) -> NoReturn:
        """Raises argparse's message."""
        raise InputError(message)


def print_result(text: str) -> None:
    """Prints text at once; characters that standard output can't take become escapes.

    Where the reader has gone (``| head``) it ends the program with the status that shells give for it.
    """
    encoding = sys.stdout.encoding or "utf-8"
    try:
        print(text.encode(encoding, "backslashreplace").decode(encoding), flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes it once more at its end
        sys.exit(141)  # as shells do: 128 and the number of the signal


def format_json(record: dict[str, Any]) -> str:
    """A JSON object on one line, in ASCII where standard output can't take what is in it."""
    text = json.dumps(record, ensure_ascii=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return json.dumps(record)
    return text
