"""`python -m lit_mlm schema`: prints the JSON Schema of configs, for editors."""

from collections import ChainMap
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain

from lit_mlm.cli.command_parsers import import_packages, make_command_parsers
from lit_mlm.cli.option_schema import Schema, SchemaBuilder, format_schema
from lit_mlm.cli.plain import CommandParser, print_result
from lit_mlm.cli.signatures import Option, list_options
from lit_mlm.cli.table import TRAINER_COMMANDS
from lit_mlm.cli.trust import PURE, take_trust


def make_parser() -> CommandParser:
    """Makes the parser of the command."""
    parser = CommandParser(
        "schema",
        "Print the JSON Schema of configs, by which editors complete, explain and check them.",
    )
    parser.add_argument("--trust", action="append", metavar="PACKAGE", help="add the classes of a package of your own")
    return parser


def main(args: Sequence[str]) -> None:
    """Runs the command with the arguments after its name."""
    make_parser().parse_args(args)
    _, trust = take_trust(args)
    packages = [package for package in trust.packages if package != PURE]
    import_packages(packages)
    parsers = make_command_parsers()
    options = [list_options(parsers[command]) for command in TRAINER_COMMANDS]
    print_result(format_schema(make_schema(dict(ChainMap(*options)), packages)))


def make_schema(options: Mapping[str, Option], packages: Sequence[str] = ()) -> Schema:
    """Makes the schema of configs.

    Args:
        options: those of a command, or of several.
        packages: packages of the user, which are imported, and whose classes it describes, too.
    """
    builder = SchemaBuilder(packages)
    schema = builder.describe_options("", options, "#")
    sections = [name for name, option in schema["properties"].items() if "object" in option.get("type", ())]
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        **schema,
        "patternProperties": {rf"^({'|'.join(sections)})\.": {}},  # options by their full names
        "definitions": builder.definitions,
    }


def resolve(schema: Schema, part: Schema) -> Schema:
    """What a part of a schema refers to, or the part itself."""
    pointer: str = part.get("$ref", "")
    found = schema if pointer else part
    for key in pointer.split("/")[1:]:
        found = found[key]
    return resolve(schema, found) if "$ref" in found else found


def list_choices(schema: Schema, option: Schema) -> list[str]:
    """The choices and the names of classes that editors and shells propose for an option, as YAML has them."""
    words = {True: "true", False: "false", None: "null"}
    values = option.get("enum", [True, False] if "boolean" in option.get("type", ()) else [])
    own = [words[value] if value is None or isinstance(value, bool) else str(value) for value in values]
    parts = (list_choices(schema, resolve(schema, part)) for part in option.get("anyOf", ()))
    return list(dict.fromkeys(chain(own, *parts)))


def list_typed(schema: Schema, table: Schema, prefix: str = "") -> Iterator[tuple[str, Schema]]:
    """The options of a command that are typed, those of models and data of any class included, each with its schema."""
    for key, part in table["properties"].items():
        option, name = resolve(schema, part), f"{prefix}{key}"
        if not key.endswith("+"):
            yield name, option
            families = [] if prefix else [resolve(schema, rule) for rule in option.get("allOf", ())]
            alone = [family["allOf"][-1]["else"]["properties"]["init_args"] for family in families]
            for inner in [option] if "properties" in option else alone:
                yield from list_typed(schema, inner, f"{name}.")
