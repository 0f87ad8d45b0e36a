"""C7: A-GRAE on GRPO, DAPO and Dr.GRPO, at every k."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from analysis.claims._parts import RELEVANT_PASSK, Strata, basis, describe_largest_k, difference, largest_k, where
from analysis.claims.verdicts import NOT_SUPPORTED, SUPPORTED, UNDECIDED, Part, Verdict, conclude, sign_verdict
from analysis.estimates.control_gains import is_control
from analysis.io.study import Study
from analysis.presentation.style import label
from analysis.statistics.contrasts import contrast_intervals
from analysis.statistics.evaluations import common_seeds
from analysis.statistics.intervals import Interval
from analysis.statistics.passk import KS

METHODS = {("grpo", "grpo"): "GRPO", ("grpo", "dapo"): "DAPO", ("dr_grpo", "dr_grpo"): "Dr.GRPO"}  # (base, loss)
_MANY_KS = 5  # "nearly every k": with this many k or more, one k may fail


@dataclass(frozen=True)
class Pair:
    """An arm with A-GRAE, and the arm that differs from it in A-GRAE only."""

    method: str  # of METHODS
    arm: str
    reference: str


def a_grae_pairs(study: Study) -> list[Pair]:
    """Return the claim's pairs among a study's arms, by their configs; base link and loss identify the method.

    The configs of a pair agree in everything but the sample and group links. Of several A-GRAE settings on the same
    method, the arm whose name differs least from its preset is used. Configurations that share a name are left out.
    """
    sides: dict[str, dict[str, list[str]]] = {}
    for arm, runs in study.arms.items():
        if arm == runs[0].arm and (side := _side(runs[0].config)):
            sides.setdefault(_rest(runs[0].config), {}).setdefault(side, []).append(arm)
    return list(_pairs(study, sides))


def _pairs(study: Study, sides: Mapping[str, Mapping[str, Sequence[str]]]) -> Iterator[Pair]:
    for arms in sides.values():
        if {"with", "without"} <= arms.keys():
            arm, reference = (min(arms[side], key=lambda a: (a.count("+"), a)) for side in ("with", "without"))
            config = study.arms[arm][0].config
            yield Pair(METHODS[config["advantage"]["base"]["name"], _loss(config)], arm, reference)


def _side(config: Mapping[str, Any]) -> str | None:
    """Return "with" for A-GRAE, "without" for a method alone, None for other configs, controls among them."""
    if is_control(config):
        return None
    advantage = config["advantage"]
    if (advantage["base"]["name"], _loss(config)) not in METHODS:
        return None
    if any(advantage.get(slot, {}).get("name", "none") != "none" for slot in ("token", "match")):
        return None
    links = (advantage["sample"]["name"], advantage["group"]["name"])
    return {("dynamic", "attenuate"): "with", ("none", "none"): "without"}.get(links)


def _rest(config: Mapping[str, Any]) -> str:
    """Return everything in which the configs of a pair agree, as JSON."""
    same = ("loss", "train", "model", "task", "evaluation")
    return json.dumps([config["advantage"]["base"], *(config.get(key) for key in same)], sort_keys=True)


def _loss(config: Mapping[str, Any]) -> str:
    return str(config.get("loss", {}).get("name", "grpo"))


def c7(evaluations: Strata, pairs: Sequence[Pair]) -> Verdict:
    """Judge: A-GRAE improves GRPO, DAPO and Dr.GRPO at nearly every k, on all benchmarks.

    A part for each method: A-GRAE minus the method, with a 95 % band that holds for all k simultaneously. One exception
    is allowed among five or more k. Supported: the band is above zero at all k but the exception. Not supported: at
    more k than the exception the band excludes a gain of RELEVANT_PASSK. The part's interval is the band at the k that
    decides, the least favourable one after the exception.
    """
    title = "A-GRAE improves GRPO, DAPO and Dr.GRPO at nearly every k"
    parts: list[Part] = []
    details: list[Part] = []
    notes: list[str] = []
    judged = set()
    for pair in pairs:
        usable = []
        for e in evaluations:
            needed = (pair.arm, pair.reference)
            if without := [arm for arm in needed if arm not in e.correct or arm in e.unfinished]:
                notes.append(f"{e.benchmark}: {pair.method} not judged, needs finished evaluations of {without[0]}")
            else:
                usable.append(e)
        apart = [arm for arm in (pair.arm, pair.reference) if usable and not common_seeds(usable, {arm: {}})[arm]]
        if apart:
            notes.append(f"{pair.method} not judged: no seed of {apart[0]} is evaluated on all benchmarks")
        elif usable:
            parts.append(_part(usable, pair))
            details += [_part([e], pair) for e in usable] if len(usable) > 1 else []
            judged.add(pair.method)
    notes += [note for e in evaluations if judged for note in describe_largest_k(e)]
    missing = [f"finished evaluations of {method} with and without A-GRAE" for method in METHODS.values()
               if method not in judged]  # fmt: skip
    return conclude("C7", title, parts, missing, tuple(dict.fromkeys(notes)), details)


def _part(strata: Strata, pair: Pair) -> Part:
    ks = [k for k in KS if k <= largest_k(strata)]
    found = contrast_intervals(strata, [difference(pair.arm, pair.reference, k) for k in ks])
    exceptions = 1 if len(ks) >= _MANY_KS else 0
    by_lo = sorted(range(len(ks)), key=lambda i: np.nan_to_num(found[i].band_lo, nan=-np.inf))
    by_hi = sorted(range(len(ks)), key=lambda i: np.nan_to_num(found[i].band_hi, nan=np.inf))
    weakest, refuting = by_lo[exceptions], by_hi[exceptions]
    if found[weakest].band_lo > 0:
        verdict, decides = SUPPORTED, weakest
    elif sign_verdict(_band(found[refuting]), +1, relevant=RELEVANT_PASSK) == NOT_SUPPORTED:
        verdict, decides = NOT_SUPPORTED, refuting
    else:
        verdict, decides = UNDECIDED, weakest
    but = f" but {exceptions}" if exceptions else ""
    name = (
        f"{where(strata)}: {label(pair.arm)} − {label(pair.reference)} at every k{but}, claimed > 0; "
        f"decided at k = {ks[decides]}"
    )
    return Part(name, _band(found[decides]), "pp", verdict, basis(strata, found[decides]))


def _band(interval: Interval) -> Interval:
    """Return the interval with the bounds of its simultaneous band."""
    method = f"{interval.band}, over k" if interval.band else interval.method
    return replace(interval, lo=interval.band_lo, hi=interval.band_hi, method=method)
