"""Protocol of a confirmatory study, as its frozen file and its looks have it: sentences for the report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agrae_lab.runs import RunError, protocol_dir, read_frozen, read_looks
from analysis.io.study import Study
from analysis.presentation.style import label
from analysis.statistics.evaluations import SEEDS
from analysis.statistics.sequential import decided, describe_look


def protocol_sentences(study: Study) -> list[str]:
    """Return what was chosen, when it was frozen, the hypotheses and their decisions; [] without a frozen file.

    A file that was changed after the freeze is named in place of its content.
    """
    if not study.runs:
        return []
    folder = protocol_dir(study.runs[0].root, study.name.partition("/")[0])
    try:
        frozen = read_frozen(folder)
        return [] if frozen is None else [*_design(frozen), *_decisions(frozen, read_looks(folder, frozen["digest"]))]
    except RunError as error:
        return [str(error)]


def _design(frozen: Mapping[str, Any]) -> Iterator[str]:
    revision = frozen["code"]["git_revision"] or "unknown"
    yield f"Frozen on {frozen['frozen']} before the first run of this study (code revision {revision})."
    for arm, entry in frozen["arms"].items():
        if (chosen := entry["chosen"]) is not None:
            settings = ", ".join(f"{key} = {value}" for key, value in chosen["settings"].items())
            seeds = ", ".join(map(str, chosen["seeds"]))
            yield (
                f"{label(arm)}: {settings}, the best of {chosen['num_trials']} trials by {chosen['metric']} on the "
                f"tuning seeds {seeds}."
            )
    rule = frozen["rule"]
    yield (
        f"Looks at {', '.join(map(str, rule['looks']))} seeds, from seed {frozen['seeds'][0]}; at most "
        f"{100 * rule['alpha']:g} % of such studies call any difference where there is none ({rule['correction']}). "
        f"Scope: {SEEDS}."
    )
    yield from (f"To decide: {question}" for question in frozen["hypotheses"])


def _decisions(frozen: Mapping[str, Any], looks: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the decision of each comparison, and those that are still open at the last look."""
    reference = frozen["declared"]["protocol.reference"]
    if not looks:
        yield "No look yet."
    for look in looks[:-1]:
        yield from describe_look(decided(look), reference, label=label)
    for look in looks[-1:]:
        yield from describe_look(look, reference, label=label)
