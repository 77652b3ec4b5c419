"""Parses the arguments and prints the results of commands without a Trainer."""

import json
import os
import sys
from argparse import ArgumentParser
from typing import Any, NoReturn

from lit_mlm.errors import InputError, suggest
from lit_mlm.upstream import list_actions


class CommandParser(ArgumentParser):
    """argparse's parser, whose errors are `InputError`s without usage."""

    def parse_intermixed_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parses a command line with texts before, between or after options."""
        options, rest = self.parse_known_intermixed_args(args, namespace)
        if rest:
            names = [option for action in list_actions(self) for option in action.option_strings]
            raise InputError(f"there is no option {rest[0]}{suggest(rest[0].partition('=')[0], names)}")
        return options

    def error(self, message: str) -> NoReturn:
        """Raises argparse's message."""
        raise InputError(message)


def print_result(text: str) -> None:
    """Prints and flushes text, with escapes for characters that standard output can't encode.

    Exits with 141, as shells report a broken pipe, if the reader has gone (``| head``).
    """
    encoding = sys.stdout.encoding or "utf-8"
    try:
        print(text.encode(encoding, "backslashreplace").decode(encoding), flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes it again at exit
        sys.exit(141)  # 128 + SIGPIPE


def format_json(record: dict[str, Any]) -> str:
    """Formats a JSON object on one line, in ASCII if standard output can't encode it."""
    text = json.dumps(record, ensure_ascii=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return json.dumps(record)
    return text
