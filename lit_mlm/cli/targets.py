"""The targets of recipes: what the head of a config says that its training gives, as YAML in comments."""

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from lit_mlm.cli.configs import get_config_folder, list_experiments
from lit_mlm.errors import InputError, suggest
from lit_mlm.text.markdown import escape, format_table, quote_code

BEGIN = "# target:"


@dataclass(frozen=True)
class Target:
    """What a recipe gives.

    Attributes:
        metrics: each with its ``value``, the mean over the seeds, and the ``tolerance``, the largest difference.
        cost: hardware and time of all runs.
        seeds: of the runs.
        options: of ``fit`` beside the config, as they are typed.
        signature: of the metrics, as `lit_mlm.metrics.signature` makes it; None if they were not measured here.
        published: where published metrics are from.
        reasons: why ours may differ from published ones.
    """

    metrics: dict[str, dict[str, float]]
    cost: str
    seeds: list[int] = field(default_factory=lambda: [42])
    options: str = ""
    signature: str | None = None
    published: str | None = None
    reasons: str | None = None


def read_target(path: Path) -> Target | str:
    """Reads the target of a config; a text says why there is none."""
    lines = path.read_text(encoding="utf-8").splitlines()
    start = next((number for number, line in enumerate(lines) if line.startswith(BEGIN)), None)
    if start is None:
        return "its head has no target"
    end = next((number for number in range(start, len(lines)) if not lines[number].startswith("#")), len(lines))
    place = f"{path}, line {start + 1}: the target"
    try:
        content = yaml.safe_load("\n".join(line[2:] for line in lines[start:end]))["target"]
    except yaml.YAMLError as error:
        raise InputError(f"{place} is invalid YAML: {str(error).splitlines()[0]}") from error
    return content if isinstance(content, str) else _make_target(content, place)


def _make_target(content: Any, place: str) -> Target:
    names = [each.name for each in fields(Target)]
    if not isinstance(content, dict) or not {"metrics", "cost"} <= content.keys():
        raise InputError(f"{place} must have metrics and cost, and may have {', '.join(names[2:])}")
    if unknown := sorted(content.keys() - set(names)):
        raise InputError(f"{place} has no {unknown[0]}, but {', '.join(names)}{suggest(unknown[0], names)}")
    for name, goal in content["metrics"].items():
        numbers = [goal.get(key) for key in ("value", "tolerance")] if isinstance(goal, dict) else []
        if len(numbers) != 2 or not all(isinstance(number, int | float) for number in numbers):
            raise InputError(f"{place} must give {name} as {{value: NUMBER, tolerance: NUMBER}}, not {goal!r:.60}")
    return Target(**content)


def list_targets() -> list[str]:
    """Lists the targets of lit-mlm's recipes, in Markdown: a table, and what else is known of each."""
    rows, notes = [["recipe", "metric", "value", "tolerance", "seeds", "cost", "from"]], []
    for name in list_experiments():
        target = read_target(get_config_folder() / name)
        if isinstance(target, str):
            notes.append(f"- {quote_code(name)} has no target: {target}.")
            continue
        origin = f"{target.published}; not measured here" if target.signature is None else "measured"
        for metric, goal in target.metrics.items():
            numbers = f"{goal['value']:g}", f"{goal['tolerance']:g}", " ".join(map(str, target.seeds))
            rows.append([quote_code(name), quote_code(metric), *numbers, escape(target.cost), escape(origin)])
        told = [f"with {quote_code(target.options)}"] if target.options else []
        told += [target.reasons] if target.reasons else []
        told += [quote_code(target.signature)] if target.signature else []
        notes.append(f"- {quote_code(f'python -m lit_mlm reproduce {Path(name).stem}')}: {'; '.join(told)}.")
    return [*format_table(rows, "<<>>><<"), "", *notes]
