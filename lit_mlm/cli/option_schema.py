"""Describes options as JSON Schema, draft 7, which editors know: types, ranges, choices, and what a class takes."""

import inspect
import json
import math
import re
from argparse import SUPPRESS
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import is_dataclass
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from lit_mlm.cli.class_paths import list_family
from lit_mlm.cli.option_names import SHARED
from lit_mlm.cli.signatures import Option, accepts_functions, is_class, list_class_options, list_functions
from lit_mlm.cli.trainer_options import explain_trainer_class, list_trainer_names
from lit_mlm.cli.trainer_values import RANGES
from lit_mlm.cli.trust import LIBRARIES, is_within, list_bases
from lit_mlm.options import Range

Schema = dict[str, Any]

TYPES: dict[Any, str] = {
    NoneType: "null",
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    Path: "string",
    list: "array",
    tuple: "array",
    set: "array",
    dict: "object",
}
"""JSON's types by Python's."""

INTERNAL = ("lit_mlm.callbacks.", "lit_mlm.modules.optimizers")
"""The modules with what every run has, except `OWN_CALLBACKS`."""

OWN_CALLBACKS = ("LogDetails", "PushToHub", "StopEarly", "WriteModels")
"""The callbacks of lit-mlm that a config names."""

LINE = 160
"""How many characters a line of a formatted schema has, unless it is one text."""

OWN_NAME = rf"^(?!({'|'.join(LIBRARIES)})\.).*\."
"""What an import path of the user's own, or the path of a file, matches."""


class SchemaBuilder:
    """Describes options, and collects what they share in `definitions`.

    Args:
        packages: packages of the user, which are imported. Other classes of the user are valid with any options.
    """

    def __init__(self, packages: Sequence[str] = ()) -> None:
        self.packages = packages
        self.definitions: dict[str, Schema] = {}
        self.places: dict[tuple[str, str], str] = {}  # pointers by an option's name and description
        self.rules: dict[str, Schema] = {}  # what the descriptions at pointers accept

    def describe_options(self, owner: str, options: Mapping[str, Option], pointer: str) -> Schema:
        """Describes the options of the command, of a section or of a class; there are no others.

        Args:
            owner: full name of what has the options.
            options: by their own names.
            pointer: of the description in the schema; what one has already is referred to.
        """
        properties: dict[str, Schema] = {}
        for key, option in options.items():
            name, place = f"{owner}.{key}".removeprefix("."), f"{pointer}/properties/{key}"
            if name not in SHARED:
                schema = self.describe_option(name, option, place)
                first = self.places.setdefault((key, json.dumps(schema)), place)
                self.rules[first] = {key: rule for key, rule in schema.items() if key not in ("description", "default")}
                properties[key] = schema if first == place or len(schema) == 1 else refer(first)
                if is_list(schema):
                    properties[f"{key}+"] = refer(first)  # added to the list of the configs before
        return {"type": "object", "properties": properties, "additionalProperties": False}

    def describe_option(self, name: str, option: Option, pointer: str) -> Schema:
        """Describes an option: its meaning, values and default."""
        if isinstance(option.hint, dict):
            schema = self.describe_options(name, option.hint, pointer) | {"type": ["object", "string"]}
        else:
            schema = self.describe_type(name, option.hint)
        meaning = clean(option.help) if option.help != SUPPRESS else ""
        default = describe_default(option.default)
        if default and "efault" not in meaning:  # which editors do not show by themselves
            meaning = f"{meaning} Default: {json.dumps(option.default)}.".strip()
        return ({"description": meaning} if meaning else {}) | schema | default

    def describe_type(self, name: str, hint: Any) -> Schema:
        """Describes the values of a type; an empty schema accepts everything."""
        choices = {"enum": list_trainer_names().get(name, [])}
        free = choices["enum"] == []
        parts = [self.describe_part(name, part) if part is not str or free else choices for part in list_members(hint)]
        return {} if {} in parts else merge(parts) | describe_range(RANGES.get(name))

    def describe_part(self, name: str, hint: Any) -> Schema:
        """Describes the values of a type that is no union."""
        origin, args = get_origin(hint) or hint, get_args(hint)
        if origin is Annotated:
            return self.describe_part(name, args[0]) | describe_range(hint)
        if origin is Literal:
            return {"enum": list(args)}
        if inspect.isclass(origin) and issubclass(origin, Enum):
            return {"enum": list(origin.__members__)}
        if inspect.isclass(origin) and not is_class(origin) and issubclass(origin, Iterable) and origin is not str:
            return self.describe_collection(name, origin, args)
        if origin in TYPES:
            return {"type": [TYPES[origin]]}
        made = [get_args(part)[1] for part in list_functions(hint)]
        if any(is_class(cls) and self.list_classes(cls) for cls in (hint, *made)):
            return self.describe_class(name, next(cls for cls in (hint, *made) if is_class(cls)))
        return {"type": ["string", "object"]} if accepts_functions(hint) else {}

    def describe_collection(self, name: str, origin: type, args: tuple[Any, ...]) -> Schema:
        """Describes a mapping, a tuple of fixed length or a list."""
        if issubclass(origin, Mapping):
            entries = self.describe_type(name, args[1]) if args else {}
            return {"type": ["object"]} | ({"additionalProperties": entries} if entries else {})
        entries = self.describe_type(name, args[0]) if args else {}
        schema: Schema = {"type": ["array"]} | ({"items": entries} if entries else {})
        if issubclass(origin, tuple) and args and args[-1] is not ...:
            schema |= {"minItems": len(args), "maxItems": len(args)}
            if len({*args}) > 1:
                schema["items"] = [self.describe_type(name, arg) for arg in args]
        return schema

    def describe_class(self, name: str, base: type) -> Schema:
        """Describes an object: the name of its class, or that with its options, which an overlay has alone."""
        key = f"Any{base.__name__}"
        place = f"#/definitions/{key}"
        if key not in self.definitions:
            self.definitions[key] = {}  # options of a class may take objects of its kind
            self.describe_family(name, base, key)
        schema: Schema = {"type": ["object"], "allOf": [refer(place)]}
        named = self.definitions.get(f"{key}Name", {}).get("anyOf")
        if named and list_trainer_names().get(name, []):  # all in one list
            return schema | {"enum": named[0]["enum"], "texts": [named[1]]}
        return schema | ({"texts": [refer(f"{place}Name")]} if named else {})

    def describe_family(self, name: str, base: type, key: str) -> None:
        """Describes the objects of a class and its subclasses, in `definitions`."""
        if is_dataclass(base):  # given by its options alone
            self.definitions[key] = self.describe_options(name, list_class_options(base), f"#/definitions/{key}")
            del self.definitions[key]["type"]  # the option may be null, too
            return
        classes = self.list_classes(base)
        counts = Counter(cls.__name__ for cls in classes)
        names, paths, rules = [], [], []
        options: dict[str, Schema] = {}
        for cls in classes:
            full, package = f"{cls.__module__}.{cls.__qualname__}", cls.__module__.partition(".")[0]
            is_short = package in LIBRARIES and counts[cls.__name__] == 1
            paths.append(rf"^({package}\.(.*\.)?){'?' if is_short else ''}{cls.__name__}$")
            if cls is base and len(classes) > 1:  # accepted, but does nothing
                continue
            names.append(cls.__name__ if is_short else full)
            place = f"#/definitions/{full}"
            own = self.describe_options(name, list_class_options(cls), place)
            for option, schema in own["properties"].items():
                found = schema if "$ref" in schema else refer(f"{place}/properties/{option}")
                same = self.rules.get(options.get(option, found).get("$ref", "")) == self.rules.get(found["$ref"])
                options[option] = options.get(option, found) if same else {}
            self.definitions[full] = {"description": clean((inspect.getdoc(cls) or "").split("\n\n")[0])} | own
            named = {"type": "object", "properties": {"class_path": {"pattern": paths[-1]}}, "required": ["class_path"]}
            rules.append({"if": named, "then": {"properties": {"init_args": refer(place)}}})
        alone = {"properties": options, "additionalProperties": False}
        rules.append(
            {"if": {"type": "object", "required": ["class_path"]}, "else": {"properties": {"init_args": alone}}}
        )
        self.definitions[f"{key}Name"] = {"anyOf": [{"enum": names}, {"pattern": "|".join([*paths, OWN_NAME])}]}
        keys = {
            "class_path": refer(f"#/definitions/{key}Name"),
            "init_args": {"type": "object"},
            "dict_kwargs": {"type": "object"},
        }
        self.definitions[key] = {"properties": keys, "additionalProperties": False, "allOf": rules}

    def list_classes(self, base: type) -> list[type]:
        """The classes of libraries and of the user's packages that a config may name for a base, by name."""
        if not issubclass(base, list_bases()) and not is_within(base.__module__, ("lit_mlm",)):
            return []
        packages = (*LIBRARIES, *self.packages)
        found = {
            cls
            for cls in list_family(base)
            if is_within(cls.__module__, packages) and not inspect.isabstract(cls) and not cls.__name__.startswith("_")
        }
        return sorted((cls for cls in found if is_usable(cls)), key=lambda cls: (cls.__name__, cls.__module__))


def is_usable(cls: type) -> bool:
    """Whether a config may name a class."""
    is_internal = cls.__module__.startswith(INTERNAL) and cls.__name__ not in OWN_CALLBACKS
    return not is_internal and not explain_trainer_class(cls)


def list_members(hint: Any) -> Iterator[Any]:
    """The members of a union with their annotations, or the type itself."""
    if get_origin(hint) in (Union, UnionType):
        for part in get_args(hint):
            yield from list_members(part)
    else:
        yield hint


def refer(pointer: str) -> Schema:
    """A reference to another part of the schema."""
    return {"$ref": pointer}


def merge(parts: Sequence[Schema]) -> Schema:
    """The schema of the values that one of several accepts.

    It avoids ``anyOf``, whose errors name all parts: rules of JSON Schema are for values of one type anyway. Choices
    and names are a rule for text; a second, empty part lets editors propose them, and refuses nothing.
    """
    found: dict[str, list[Any]] = {"type": [], "enum": [], "texts": []}
    merged: Schema = {}
    for part in parts:
        for key, value in part.items():
            if key in found:
                found[key] += [entry for entry in value if entry not in found[key]]
            else:
                merged[key] = value
    types, choices, texts = found.values()
    if choices and not texts and {*types} <= {"null", "boolean"}:
        return {"enum": choices + [True, False] * ("boolean" in types) + [None] * ("null" in types)}
    if choices:
        texts.insert(0, {"enum": choices})
    if texts and "string" not in types:
        merged |= {"if": {"type": "string"}, "then": texts[0] if len(texts) == 1 else {"anyOf": texts}}
        types.append("string")
    return {"type": types[0] if len(types) == 1 else types} | merged | ({"anyOf": [*texts, {}]} if texts else {})


def is_list(schema: Schema) -> bool:
    """Whether a schema accepts lists of any length."""
    return "array" in schema.get("type", ()) and "maxItems" not in schema


def describe_range(hint: Any) -> Schema:
    """The range of an annotated number; JSON has no infinity."""
    words = {"least": "minimum", "above": "exclusiveMinimum", "most": "maximum", "below": "exclusiveMaximum"}
    found = [part for part in getattr(hint, "__metadata__", ()) if isinstance(part, Range)]
    bounds = [(words[name], bound) for part in found for name, bound in vars(part).items()]
    return {word: bound for word, bound in bounds if bound is not None and math.isfinite(bound)}


def describe_default(value: Any) -> Schema:
    """The default of an option, unless there is none or YAML can't have it."""
    try:
        return {} if value is None else {"default": json.loads(json.dumps(value, allow_nan=False))}
    except (TypeError, ValueError):
        return {}


def clean(text: str) -> str:
    """A docstring's text on one line, without the marks and notes of reStructuredText, which editors do not know."""
    first = re.split(r"\s\.\. \w+::", " ".join(text.split()))[0]
    return re.sub(r":\w+:`~?\.?([^`<]+)[^`]*`", r"\1", first).replace("`", "").strip()


def format_schema(value: Any, indent: str = "") -> str:
    """Formats JSON with what fits on one line on one line."""
    line = json.dumps(value)
    if len(indent) + len(line) < LINE or not isinstance(value, dict | list):
        return line
    inner = indent + " "
    if isinstance(value, list):
        return "[\n" + ",\n".join(inner + format_schema(part, inner) for part in value) + f"\n{indent}]"
    rows = (f"{inner}{json.dumps(key)}: {format_schema(part, inner)}" for key, part in value.items())
    return "{\n" + ",\n".join(rows) + f"\n{indent}}}"
