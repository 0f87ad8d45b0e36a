"""Rules of a confirmatory study (`protocol`), beyond the type of each key. They need no configuration."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from agrae_lab.runs.comparison import parse_effect
from agrae_lab.runs.suggestions import close_match
from analysis.statistics.sequential import Rule
from sweeps.errors import PlanError
from sweeps.spec.axes import Settings, override
from sweeps.spec.objectives import PassAtK, parse_metric
from sweeps.spec.rules import base_faults, key_faults, search_faults
from sweeps.spec.study import Axes, Objective, Protocol, Study, Tune

FIRST_TUNING_SEED = 1000

_ARM_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,29}", flags=re.ASCII)


def faults(study: Study) -> Iterator[str]:
    """Yield a sentence for each fault of the study's protocol that the types cannot show, beginning with the key."""
    protocol = study.protocol
    if protocol is None:
        return
    yield from _other_section_faults(study)
    yield from _arm_faults(protocol)
    for metric in protocol.metrics:
        yield from _metric_faults(metric, "protocol.metrics")
    if len(set(protocol.metrics)) < len(protocol.metrics):
        yield "protocol.metrics names a metric more than once"
    try:
        stopping_rule(protocol)
    except ValueError as error:
        yield f"protocol.{error}"  # messages of Rule begin with the key
    if protocol.tune is not None:
        yield from _tune_faults(study, protocol, protocol.tune)


def candidates(protocol: Protocol) -> list[str]:
    """Return the arms that are compared with the reference."""
    return [arm for arm in protocol.arms if arm != protocol.reference]


def stopping_rule(protocol: Protocol) -> Rule:
    """Return the stopping rule.

    Raises:
        ValueError: a key outside its range; the message begins with the key.
    """
    num_comparisons = max(1, len(candidates(protocol)) * len(protocol.metrics))
    return Rule(protocol.looks, parse_effect(protocol.smallest_effect), protocol.alpha, num_comparisons)


def confirmation_seeds(protocol: Protocol) -> range:
    """Return the seeds of the confirmation, up to its budget."""
    return range(protocol.first_seed, protocol.first_seed + protocol.looks[-1])


def tuning_study(study: Study, arm: str) -> Study:
    """Return the search that chooses an arm's settings on the tuning seeds and problems."""
    protocol = study.protocol
    assert protocol is not None
    assert protocol.tune is not None
    settings = (override(key, value) for key, value in protocol.arms[arm].items())
    return Study(
        name=f"{study.name}-{arm}",
        question=f"Which settings of {arm} are best on the tuning problems?",
        base=(*study.base, *protocol.tune.base, *settings),
        seeds=protocol.tune.seeds,
        objective=(Objective(protocol.tune.metric, "maximize"),),
        search=protocol.tune.search,
        stop=study.stop,
        resources=study.resources,
    )


def confirmation_study(study: Study, arms: Mapping[str, Settings], *, first_seed: int, num_seeds: int) -> Study:
    """Return the study of the runs that confirm: each arm with its final settings, and the first seeds."""
    return replace(
        study,
        axes=Axes(cells=tuple(arms.values())),
        seeds=tuple(range(first_seed, first_seed + num_seeds)),
        protocol=None,
    )


def _other_section_faults(study: Study) -> Iterator[str]:
    if study.axes.varied() or study.exclude:
        yield "protocol takes the place of axes and exclude; list the arms under protocol.arms"
    if study.search is not None:
        yield "protocol takes the place of search; give the search of every arm as protocol.tune.search"
    if study.objective or study.constraints:
        yield "protocol has its own metrics; leave out objective and constraints"
    if study.seeds != (0,):
        yield "protocol has its own seeds; leave out seeds, and set protocol.first_seed and protocol.looks"


def _arm_faults(protocol: Protocol) -> Iterator[str]:
    for arm, settings in protocol.arms.items():
        if not _ARM_NAME.fullmatch(arm):
            yield (
                f"protocol.arms: {arm!r} cannot name files; begin with a letter or digit, and add up to 29 letters, "
                "digits or any of . _ -"
            )
        for key in settings:
            yield from key_faults(key, f"protocol.arms.{arm}", "never an arm's setting")
    if protocol.reference not in protocol.arms:
        hint = close_match(protocol.reference, protocol.arms) or f"choose from {', '.join(protocol.arms)}"
        yield f"protocol.reference: there is no arm {protocol.reference!r}; {hint}"


def _metric_faults(metric: str, where: str) -> Iterator[str]:
    try:
        parsed = parse_metric(metric)
    except PlanError as error:
        yield from (f"{where}: {sentence}" for sentence in error.sentences)
        return
    if not isinstance(parsed, PassAtK):
        yield f"{where}: a protocol compares Pass@k; write pass@<k>/<benchmark>, not {metric!r}"


def _tune_faults(study: Study, protocol: Protocol, tune: Tune) -> Iterator[str]:
    if study.resources.engine != "local":
        yield f"resources.engine is {study.resources.engine}, but protocol.tune is a search, which needs local"
    yield from base_faults(tune.base)
    yield from _metric_faults(tune.metric, "protocol.tune.metric")
    if low := [seed for seed in tune.seeds if seed < FIRST_TUNING_SEED]:
        yield f"protocol.tune.seeds must be {FIRST_TUNING_SEED} or more, apart from all other seeds, got {low[0]}"
    if shared := sorted(set(tune.seeds) & set(confirmation_seeds(protocol))):
        yield (
            f"protocol: seed {shared[0]} is a seed of both tuning and confirmation; choose other tune.seeds or "
            "another first_seed"
        )
    if repeated := sorted({seed for seed in tune.seeds if tune.seeds.count(seed) > 1}):
        yield f"protocol.tune.seeds lists {', '.join(map(str, repeated))} more than once"
    if shared_benchmarks := _benchmarks([tune.metric]) & _benchmarks(protocol.metrics):
        yield shared_benchmark_sentence(min(shared_benchmarks))
    arm = next(iter(protocol.arms))  # all arms share one search
    yield from (f"protocol.tune.{fault}" for fault in search_faults(tuning_study(study, arm), tune.search))
    for name, settings in protocol.arms.items():
        for key in settings.keys() & tune.search.space.keys():
            yield f"protocol.arms.{name}: {key} is searched by tune; leave it out of the arm, or out of the search"


def shared_benchmark_sentence(benchmark: str) -> str:
    """Return the refusal of a benchmark on which settings are both chosen and confirmed."""
    return (
        f"protocol: {benchmark} is evaluated in both tuning and confirmation, so its problems are not fresh; give "
        "tuning a benchmark of its own by protocol.tune.base"
    )


def _benchmarks(metrics: Iterable[str]) -> set[str]:
    found = (metric.partition("/")[2] for metric in metrics)
    return {benchmark for benchmark in found if benchmark}
