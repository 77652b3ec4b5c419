"""`python -m lit_mlm completion`: prints a script that completes commands, options and choices in bash or zsh."""

import importlib
import re
from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any

from lit_mlm.cli.command_parsers import make_command_parsers
from lit_mlm.cli.configs import list_configs
from lit_mlm.cli.plain import CommandParser, print_result
from lit_mlm.cli.schema import list_choices, list_typed, make_schema
from lit_mlm.cli.signatures import list_options
from lit_mlm.cli.table import OTHER_COMMANDS, SHOW_COMMANDS, TRAINER_COMMANDS
from lit_mlm.errors import InputError
from lit_mlm.upstream import get_hint, list_actions

NAME = "lit_mlm"
"""The command that shtab completes; `HOOKS` gives it what follows ``python -m lit_mlm``."""

CONFIGS = {
    "bash": '_lit_mlm_configs() { compgen -W "CONFIGS" -- "$1"; compgen -f -- "$1"; }',
    "zsh": "_lit_mlm_configs() { _alternative 'configs:config:(CONFIGS)' 'files:file:_files' }",
}
"""What completes the name of a config in each shell."""

HOOKS = {
    "bash": """
# python -m lit_mlm; anything else of Python is completed as before.
declare -F _comp_load > /dev/null && _comp_load python 2> /dev/null
declare -F _completion_loader > /dev/null && _completion_loader python 2> /dev/null
[[ $(complete -p python 2> /dev/null) =~ -F\\ ([^ ]+) && ${BASH_REMATCH[1]} != _lit_mlm_python ]] \\
  && _lit_mlm_other=${BASH_REMATCH[1]}
_lit_mlm_python() {
  if [[ ${COMP_WORDS[1]} == -m && ${COMP_WORDS[2]} == lit_mlm && $COMP_CWORD -gt 2 ]]; then
    local found=(lit_mlm "${COMP_WORDS[@]:3}") COMP_CWORD=$((COMP_CWORD - 2))
    local COMP_WORDS=("${found[@]}")
    _shtab_lit_mlm
  elif [[ -n ${_lit_mlm_other-} ]]; then
    "$_lit_mlm_other" "$@"
  fi
}
complete -o bashdefault -o default -F _lit_mlm_python python python3
""",
    "zsh": """
# python -m lit_mlm; anything else of Python is completed as before.
_lit_mlm_python() {
  if [[ $words[2] == -m && $words[3] == lit_mlm && $CURRENT -gt 3 ]]; then
    words=(lit_mlm "${(@)words[4,-1]}")
    (( CURRENT -= 2 ))
    _shtab_lit_mlm
  else
    _python "$@"
  fi
}
compdef _lit_mlm_python python python3
""",
}
"""What lets each shell complete a module of Python."""


def make_parser() -> CommandParser:
    """Makes the parser of the command."""
    parser = CommandParser(
        "completion",
        "Print a script that completes commands, options and choices in a shell, without starting Python.",
    )
    parser.add_argument("shell", choices=list(HOOKS), help="bash or zsh")
    return parser


def main(args: Sequence[str]) -> None:
    """Runs the command with the arguments after its name."""
    shell = make_parser().parse_args(args).shell
    try:
        import shtab
    except ImportError as error:
        raise InputError("completion needs shtab: pip install shtab") from error
    preamble = CONFIGS[shell].replace("CONFIGS", " ".join(list_configs()))
    script = shtab.complete(make_commands(shtab.FILE), shell, preamble=preamble)
    print_result(f"{script}\n{HOOKS[shell]}", is_escaped=True)


def make_commands(files: Any) -> ArgumentParser:
    """Makes a parser of all commands for shtab, which parses nothing.

    Args:
        files: what completes the paths of files in each shell.
    """
    root = ArgumentParser(prog=NAME)
    commands = root.add_subparsers()
    parsers = make_command_parsers()
    for name, text in (TRAINER_COMMANDS | SHOW_COMMANDS).items():
        add_options(commands.add_parser(name, help=text), parsers[name])
    for name, text in OTHER_COMMANDS.items():
        own = importlib.import_module(f"lit_mlm.cli.{name}").make_parser()
        own.conflict_handler = "resolve"
        command = commands.add_parser(name, help=text, parents=[own], add_help=False, conflict_handler="resolve")
        if name in ("repeat", "reproduce", "sweep", "adapt"):
            add_options(command, parsers["fit"])
    for command in commands.choices.values():
        for action in list_actions(command):
            if action.dest == "config":
                action.complete = dict.fromkeys(HOOKS, "_lit_mlm_configs")
            elif action.nargs != 0 and action.type is None and not action.choices:
                action.complete = files
    return root


def add_options(command: ArgumentParser, parser: Any) -> None:
    """Adds the options of a parser of jsonargparse, those of classes included, to those that a command has."""

    def add(name: str, text: str | None, **more: Any) -> None:
        if name not in {string for action in list_actions(command) for string in action.option_strings}:
            sentence, *_ = re.split(r"(?<=[a-z)][.;])\s", text or "")  # a shell shows a line
            command.add_argument(name, help=sentence.rstrip(".;").replace("%", "%%"), **more)

    schema = make_schema(list_options(parser))
    for name, option in list_typed(schema, schema):
        choices, types = list_choices(schema, option), option.get("type", ("string",))
        kind = None if "string" in types else float  # files are proposed for text
        add(f"--{name}", option.get("description"), choices=choices or None, type=kind)
        if "allOf" in option and "." not in name:
            add(f"--{name}.help", f"list the options of a class of {name}", choices=choices)
    for action in list_actions(parser):
        if get_hint(action) is None and action.option_strings:
            is_flag = action.nargs == 0 or action.dest == "print_config"
            add(action.option_strings[-1], action.help, **({"action": "store_true"} if is_flag else {}))
