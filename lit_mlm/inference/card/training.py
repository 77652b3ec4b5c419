"""How a model was trained, in the words of a card: data, curve, hardware, time and energy."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from lit_mlm.inference.card.curve import PICTURE, format_curve
from lit_mlm.inference.card.facts import Facts
from lit_mlm.runs.hardware import CPU_WATTS_PER_CORE
from lit_mlm.text.markdown import escape, quote_code

HUB = "https://huggingface.co"


def describe_data(facts: Facts) -> Iterator[str]:
    """Yields a list of the corpora and the fingerprint of the data."""
    for corpus in facts.corpora:
        yield f"- Text: {describe_corpus(corpus)}"
    fingerprint = facts.metrics.get("data_fingerprint")
    if fingerprint:
        yield f"- SHA-256 of texts, tokenizer and options: {quote_code(str(fingerprint))}"


def describe_corpus(corpus: Mapping[str, Any]) -> str:
    """Describes a corpus in a line."""
    hub_id, name = corpus["hub_id"], escape(corpus["name"])
    parts = [name if hub_id is None else f"[{name}]({HUB}/datasets/{hub_id})"]
    if corpus["num_files"] is not None:
        parts[0] += f" ({corpus['num_files']:,})"
    if hub_id is not None:
        parts.append(f"revision {quote_code(corpus['revision'] or 'newest of the day')}")
    parts += [f"configuration {quote_code(corpus['subset'])}"] if corpus["subset"] else []
    parts.append(f"licence: {escape(corpus['licence'] or 'not recorded')}")
    parts.append(f"language: {escape(', '.join(corpus['languages']) or 'not recorded')}")
    return "; ".join(parts + ([escape(corpus["citation"])] if corpus["citation"] else []))


def describe_options(facts: Facts) -> str:
    """Describes the optimisation in a line."""
    options, seed = facts.record["options"], facts.training.get("seed")
    parts = [f"{name.replace('_', ' ')} {options[key]}" for name, key in _OPTIONS.items() if key in options]
    optimizer = options.get("optimizer") or "AdamW"
    name = optimizer.get("class_path", "AdamW") if isinstance(optimizer, Mapping) else str(optimizer)
    return f"{escape(name)}; {escape('; '.join(parts))}" + ("" if seed is None else f"; seed {seed}")


def describe_versions(facts: Facts) -> str:
    """Describes the versions of packages in a line."""
    return ", ".join(f"{escape(name)} {escape(str(version))}" for name, version in facts.versions.items() if version)


_OPTIONS = {"learning rate": "lr", "schedule": "schedule", "weight decay": "weight_decay"}


def describe_curve(facts: Facts) -> list[str]:
    """Formats the curve as a picture or a table; empty if it is unknown."""
    history, keys = facts.training.get("history", []), [f"val/{name}" for name in facts.headline]
    if len(history) < 2:
        return []
    if facts.has_picture:
        return [f"![Losses and {escape(keys[0])} over the steps of the training]({PICTURE})"]
    return [*format_curve(history, keys, facts.step), "", "The exported checkpoint is in bold."]


def describe_hardware(sessions: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yields a list of hardware, time and energy; of a resumed run the sums over its processes."""
    merged: dict[tuple[Any, ...], float] = {}
    for session in sessions:
        kind = tuple(session[key] for key in ("device", "watts", "num_devices", "precision"))
        merged[kind] = merged.get(kind, 0.0) + session["seconds"]
    for (device, watts, number, precision), seconds in merged.items():
        count = f"{number} x " if number > 1 else ""
        yield f"- Hardware: {count}{escape(device)}, precision {quote_code(precision)}"
        yield f"- Time, validations included: {format_seconds(seconds)}"
        yield f"- Energy: {estimate_energy(seconds, watts, number, 'core' in device)}"


def estimate_energy(seconds: float, watts: float | None, num_devices: int, is_cpu: bool) -> str:
    """Estimates the energy of a training, with its formula and assumption."""
    if watts is None:
        return "unknown, as the device does not report its power limit"
    hours = seconds / 3600
    energy = hours * watts * num_devices
    amount = f"{_round(energy, 2)} Wh" if energy < 100 else f"{energy / 1000:,.2f} kWh"
    bound, source = ("", f"{CPU_WATTS_PER_CORE:g} W per core are assumed")
    if not is_cpu:
        bound, source = "at most ", "the watts are the device's power limit"
    formula = f"{_round(hours, 3)} h x {watts:g} W" + (f" x {num_devices} devices" if num_devices > 1 else "")
    return f"{bound}about {amount} = {formula}; {source}, the rest of the machine is left out"


def _round(value: float, digits: int) -> str:
    """Rounds to a number of significant digits; without an exponent where the value is large."""
    return f"{float(f'{value:.{digits}g}'):,g}"


def format_seconds(seconds: float) -> str:
    """Formats a time in two units.

    >>> format_seconds(8121), format_seconds(9.4)
    ('2 h 15 min', '9 s')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours:,} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
