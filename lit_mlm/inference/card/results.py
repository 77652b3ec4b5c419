"""Results for leaderboards of the Hub, as files ``.eval_results/*.yaml``.

The format is that of https://huggingface.co/docs/hub/eval-results.
"""

import math
from pathlib import Path

import yaml
from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

from lit_mlm.inference.card.facts import Facts

FOLDER = ".eval_results"


def find_results(facts: Facts) -> list[EvalResultEntry]:
    """Returns the most important metric, rounded; empty unless training and evaluation are of one data set of the Hub.

    Its name, interval and signature are in the notes, as the format has no fields for them.
    """
    hub_id = facts.corpora[0]["hub_id"] if len(facts.corpora) == 1 else None
    if hub_id is None or facts.task is None or facts.best is None:
        return []
    split, name = facts.best
    value, interval = split.format(name)
    texts = {facts.metrics.get(f"{begin}{split.key}/data_fingerprint") for begin in ("", "start/")} - {None}
    # A named set is of other text, as is a file that was evaluated later; a perplexity may be infinite.
    is_other = len(texts) > 1 or "/" in split.key
    if is_other or not isinstance(split.figures[name], float) or not math.isfinite(split.figures[name]):
        return []
    return [
        EvalResultEntry(
            dataset_id=hub_id,
            task_id=facts.task.pipeline,
            value=float(value.replace(",", "")),
            dataset_revision=facts.corpora[0]["revision"],
            notes=f"{name}{interval and f' (95 % interval {interval})'}; {facts.sign(split)}",
        )
    ]


def save_results(facts: Facts, folder: Path) -> None:
    """Writes the results into a folder, if there are any."""
    entries = find_results(facts)
    if entries:
        path = folder / FOLDER / f"{entries[0].dataset_id.rpartition('/')[2]}.yaml"
        path.parent.mkdir()
        content = eval_result_entries_to_yaml(entries)
        path.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8")
