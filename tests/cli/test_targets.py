"""The targets in the heads of configs."""

from pathlib import Path

import pytest

from lit_mlm.cli.configs import get_config_folder, list_experiments
from lit_mlm.cli.targets import Target, list_targets, read_target
from lit_mlm.errors import InputError

HEAD = "# A recipe.\n# target:\n#   metrics: {val/f1: {value: 0.9, tolerance: 0.01}}\n#   cost: a minute\nmodel: {}\n"


def test_every_recipe_has_one_or_says_why_not() -> None:
    for name in list_experiments():
        target = read_target(get_config_folder() / name)
        assert target != "its head has no target", name
        if isinstance(target, Target):
            assert (target.signature is None) == (target.published is not None and target.reasons is not None), name
            assert all(name.partition("/")[0] in ("val", "test", "start") for name in target.metrics)


def test_the_documentation_has_the_targets() -> None:
    results = (get_config_folder().parent / "docs" / "results.md").read_text()
    assert "\n".join(list_targets()) in results, "docs/results.md lacks the output of python -m lit_mlm reproduce"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("#   cost: a minute\n", "", "recipe.yaml, line 2: the target must have metrics and cost"),
        ("cost", "seed: [1]\n#   cost", "has no seed, but metrics, .*; did you mean seeds"),
        ("0.01", "small", "must give val/f1 as {value: NUMBER, tolerance: NUMBER}, not {'value': 0.9, 'tol"),
        ("{value: 0.9, tolerance: 0.01}", "0.9", "must give val/f1 as .*, not 0.9"),
        ("0.01}}", "0.01}", "the target is invalid YAML"),
    ],
)
def test_what_is_wrong_is_named(old: str, new: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(HEAD)
    assert read_target(path) == Target({"val/f1": {"value": 0.9, "tolerance": 0.01}}, "a minute")
    path.write_text(HEAD.replace(old, new))
    with pytest.raises(InputError, match=message):
        read_target(path)
