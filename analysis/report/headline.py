"""Headline of a report: a sentence for each candidate, and one line for all skipped figures and tables."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

from analysis.estimates.answers import (
    ALIKE,
    BETTER,
    UNDECIDED,
    WORSE,
    Answer,
    Difference,
    further_seeds,
    without_answer,
)
from analysis.estimates.control_gains import ControlGain
from analysis.presentation.render import Rendered
from analysis.presentation.style import label, minus
from analysis.report.result import Result
from analysis.statistics.evaluations import CHECKPOINTS
from analysis.statistics.intervals import Interval, missing_reason
from analysis.statistics.seeds import MAX_SEEDS


def headline(result: Result) -> list[str]:
    """Return the sentences that answer the study's question."""
    comparison, found = result.study.comparison, result.answers
    several = len({answer.benchmark for answer in found}) > 1
    smallest = f"{100 * comparison.smallest_share:g} pp"
    all_ks = bool(comparison.ks)
    by_pair: dict[tuple[str, str], list[Answer]] = {}  # benchmark and candidate → an answer for each setting
    for answer in found:
        by_pair.setdefault((answer.benchmark, answer.arm), []).append(answer)
    sentences = [
        _sentence(one[0], smallest, all_ks=all_ks, named=several)
        if len(one) == 1
        else _over_settings(one, smallest, all_ks=all_ks, named=several)
        for one in by_pair.values()
    ]
    found_gains = result.control_gains
    beside = [_beside_control(gain, named=several) for gain in found_gains]
    are_controls = {answer.arm for answer in found} <= {control for gain in found_gains for control in gain.controls}
    # the question of a study of controls is the gain beside theirs
    ordered = [*beside, *sentences] if are_controls else [*sentences, *beside]
    complete = not result.unanswered
    lacking = without_answer(result.study, found, complete=complete) if result.study.benchmarks else ()
    return [*ordered, *lacking, *result.unanswered]


def skipped(rendered: Iterable[Rendered]) -> str:
    """Return one line on all figures and tables that were not made, by reason; "" if all were."""
    by_reason: dict[str, list[str]] = {}
    for output in rendered:
        if output.reason and output.name not in by_reason.setdefault(output.reason, []):
            by_reason[output.reason].append(output.name)
    parts = [f"{', '.join(names)} ({reason})" for reason, names in by_reason.items()]
    return f"Skipped: {'; '.join(parts)}." if parts else ""


def _sentence(answer: Answer, smallest: str, *, all_ks: bool, named: bool) -> str:
    """Return such as `A-GRAE − GRPO at k = 1: −1.3 pp [−2.7, +0.1]; …; 1 seed, 128 problems: …`."""
    shown = answer.differences if all_ks else _ends(answer.differences)
    names = minus(answer.arm, answer.reference)
    ways = "; ".join(f"at k = {one.k}: {points(one.interval)}" for one in shown)
    place = "".join(
        f"{word} {name}, " for word, name in (("on", answer.benchmark * named), ("under", answer.setting)) if name
    )
    basis = f"{answer.num_seeds} seed{'s' * (answer.num_seeds != 1)}, {answer.num_problems} problems"
    marked = f" (unfinished: {', '.join(map(label, answer.unfinished))})" if answer.unfinished else ""
    return f"{names} {place}{ways}; {basis}{marked}: {_conclusion(answer, shown, smallest)}."


def _over_settings(found: Sequence[Answer], smallest: str, *, all_ks: bool, named: bool) -> str:
    """Return such as `A-GRAE − GRPO under 4 settings: at k = 1 from −3.1 pp [−5.2, −1.0] (num_steps 8) to …`."""
    first = found[0]
    by_k: dict[int, dict[str, Difference]] = {}
    counts: dict[int, Counter[str]] = {}  # k → verdict in words → settings whose answer is one on the method
    for answer in found:
        for one in answer.differences if all_ks else _ends(answer.differences):
            by_k.setdefault(one.k, {})[answer.setting] = one
            counts.setdefault(one.k, Counter()).update([_words(smallest)[one.word]] * answer.describes_method)
    ways = []
    for k, ones in by_k.items():
        ordered = sorted(ones.items(), key=lambda item: item[1].interval.estimate)
        ends = " to ".join(
            f"{points(one.interval)} ({setting})" for setting, one in dict((ordered[0], ordered[-1])).items()
        )
        verdicts = ", ".join(f"{word} under {count}" for word, count in counts[k].items())
        ways.append(": ".join(filter(None, (f"at k = {k} from {ends}", verdicts))))
    place = f"on {first.benchmark} " if named else ""
    seeds = sorted({answer.num_seeds for answer in found})
    basis = f"{' to '.join(map(str, dict.fromkeys((seeds[0], seeds[-1]))))} seed{'s' * (seeds[-1] != 1)} each"
    num_silent = sum(not answer.describes_method for answer in found)
    method = f"; nothing can be said of the method under {num_silent}" if num_silent else ""
    unfinished = sum(bool(answer.unfinished) for answer in found)
    marked = f" (unfinished under {unfinished})" if unfinished else ""
    names = minus(first.arm, first.reference)
    head = f"{names} {place}under {len(found)} settings"
    return f"{head}: {'; '.join(ways)}; {basis}, {first.num_problems} problems{marked}{method}."


def _words(smallest: str) -> dict[str, str]:
    return {BETTER: "better", WORSE: "worse", ALIKE: f"less than {smallest} apart", UNDECIDED: "undecided"}


def _beside_control(gain: ControlGain, *, named: bool) -> str:
    """Return such as `The gain of GRPO over the base model at k = 1 is also had by a control, …`."""
    place = f" on {gain.benchmark}" if named else ""
    ours = f"The gain of {label(gain.arm)} over the base model{place} at k = {gain.k}"
    control, more = label(gain.control), f"{minus(gain.arm, gain.control)}: {points(gain.beyond)}"
    exceeded = f"; it is more than that of {', '.join(map(label, gain.exceeded))}" if gain.exceeded else ""
    scope = "; this is of these checkpoints alone" if gain.beyond.scope == CHECKPOINTS else ""
    if gain.is_beyond:
        return f"{ours} is more than that of any control (the nearest: {more}){scope}."
    if gain.has_gain:
        had = f"is also had by a control, so that it is no evidence: {control} gains {points(gain.control_gain)}"
        return f"{ours} {had}; {more}{exceeded}{scope}."
    return f"{ours} cannot be told from that of a control, {control}: {more}{exceeded}{scope}."


def _ends(differences: Sequence[Difference]) -> list[Difference]:
    """Return the differences at the smallest and the largest k."""
    return list(dict.fromkeys((differences[0], differences[-1])))


def _conclusion(answer: Answer, shown: Sequence[Difference], smallest: str) -> str:
    if not answer.describes_method:
        return "nothing can be said of the method"
    by_word: dict[str, list[str]] = {}
    for one in shown:
        by_word.setdefault(_words(smallest)[one.word], []).append(str(one.k))
    found = "; ".join(f"{word} at k = {' and '.join(ks)}" for word, ks in by_word.items())
    return "; ".join(filter(None, (found, _remedy(answer, shown, smallest))))


def _remedy(answer: Answer, shown: Sequence[Difference], smallest: str) -> str:
    """Return the further seeds that an undecided answer needs; "" where that is not known."""
    more = further_seeds(shown, answer.num_seeds)
    if more is None:
        return ""
    if math.isinf(more):
        return f"more than {MAX_SEEDS} seeds would be needed to resolve {smallest}"
    if more == 0:
        return f"the seeds resolve {smallest} on these problems, more problems would narrow the intervals"
    return f"{more:.0f} more seed{'s' * (more != 1)} would resolve {smallest} on these problems"


def points(interval: Interval) -> str:
    """Return a difference in percentage points with its interval, such as `−1.3 pp [−2.7, +0.1]`."""
    if math.isnan(interval.lo):
        return f"{_signed(interval.estimate)} pp (no interval: {missing_reason(interval.method)})"
    return f"{_signed(interval.estimate)} pp [{_signed(interval.lo)}, {_signed(interval.hi)}]"


def _signed(share: float) -> str:
    text = f"{100 * share:+.1f}"
    return {"+0.0": "0.0", "-0.0": "0.0"}.get(text, text).replace("-", "−")
