"""Rules between the keys of a study, beyond the type of each. They need no configuration."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from agrae_lab import runs
from sweeps.spec.study import Dimension, Search, Study


def faults(study: Study) -> Iterator[str]:
    """Yield a sentence for each fault that the types cannot show, beginning with the key."""
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]{0,59}", study.name, flags=re.ASCII):
        yield (
            "name must be 1 to 60 letters, digits or any of . _ -, beginning with a letter or digit, since it names a "
            f"directory, got {study.name!r}"
        )
    try:
        _ = study.comparison
    except ValueError as error:
        yield str(error)
    yield from base_faults(study.base)
    for part, axes in (("grid", study.axes.grid), ("zip", study.axes.zip), ("one_factor", study.axes.one_factor)):
        for key, values in axes.items():
            yield from key_faults(key, f"axes.{part}", "never an axis")
            if not values:
                yield f"axes.{part}.{key} has no values, so there is no cell; give at least one"
    for i, cell in enumerate(study.axes.cells):
        for key in cell:
            yield from key_faults(key, f"axes.cells[{i}]", "never an axis")
    lengths = {key: len(values) for key, values in study.axes.zip.items()}
    if len(set(lengths.values())) > 1:
        counts = ", ".join(f"{key} has {number}" for key, number in lengths.items())
        yield f"axes.zip needs equally many values for all its keys, but {counts}"
    if repeated := sorted({seed for seed in study.seeds if study.seeds.count(seed) > 1}):
        yield f"seeds lists {', '.join(map(str, repeated))} more than once"
    for i, constraint in enumerate(study.constraints):
        if (constraint.at_most is None) == (constraint.at_least is None):
            yield f"constraints[{i}] needs one of at_most and at_least"
    if study.search is not None:
        yield from search_faults(study, study.search)


def base_faults(words: Sequence[str]) -> Iterator[str]:
    """Yield a sentence for each word that cannot be an override of all cells."""
    for word in words:
        key = word.partition("=")[0].lstrip("+~")
        if "=" not in word and not word.startswith("~"):
            yield f"base: {word!r} is not an override; write key=value"
        if key == "seed":
            yield f"base: {word!r} fixes the seed; list the seeds under 'seeds'"
        if key == "root":
            yield f"base: {word!r} belongs on the command line, so that the study can be run anywhere"


def key_faults(key: str, where: str, never: str) -> Iterator[str]:
    """Yield a sentence for a config key in which cells cannot differ."""
    if key == "seed":
        yield f"{where}: seed is for replication, {never}; list its values under 'seeds'"
    elif re.split("[./]", key)[0] in runs.NOT_RESULT_SECTIONS:
        yield f"{where}: {key} does not change a result, so cells cannot differ in it; set it under 'base'"
    elif not re.fullmatch(r"\w[\w./-]*", key):
        yield f"{where}: {key!r} is not a key of the configuration; add or delete keys under 'base'"


def search_faults(study: Study, search: Search) -> Iterator[str]:
    """Yield a sentence for each fault of a search that the types cannot show."""
    if study.axes.varied():
        yield "search takes the place of axes; make them categorical dimensions of search.space, or another study"
    if not study.objective:
        yield "search needs an objective, such as [{metric: pass@1/<benchmark>, direction: maximize}]"
    if search.pruner is not None and len(study.objective) > 1:
        yield "search.pruner goes with one objective, since a run is pruned by one value; leave it out"
    if not search.space:
        yield "search.space is empty, so there is nothing to search"
    for key, dimension in search.space.items():
        yield from key_faults(key, "search.space", "never searched")
        yield from _dimension_faults(dimension, f"search.space.{key}")


def _dimension_faults(dimension: Dimension, where: str) -> Iterator[str]:
    low, high, step = dimension.low, dimension.high, dimension.step
    if dimension.kind == "categorical":
        if len(dimension.choices) < 2:
            yield f"{where} needs at least two choices"
        if low is not None or high is not None or step is not None or dimension.log:
            yield f"{where} is categorical: it has choices alone, no low, high, log or step"
        return
    if dimension.choices:
        yield f"{where} has choices, so its kind must be categorical, not {dimension.kind}"
    elif low is None or high is None or not low < high:
        yield f"{where} needs low below high, got low = {low} and high = {high}"
    elif dimension.log and (low <= 0 or step is not None):
        yield f"{where} is logarithmic, so low must be above 0 and step left out"
    elif step is not None and not 0 < step <= high - low:
        yield f"{where}.step must be above 0 and at most high - low, got {step}"
    elif dimension.kind == "int" and any(x is not None and x != int(x) for x in (low, high, step)):
        yield f"{where} is of kind int, so low, high and step must be whole numbers"
