"""Content of a study's report, as sentences and rows. summary.md, report.html and the terminal all show it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from agrae_lab.runs import Run
from analysis.claims.verdicts import NO_DATA, Verdict
from analysis.estimates.answers import Answer
from analysis.estimates.control_gains import ControlGain
from analysis.io.study import Study
from analysis.presentation.captions import describe_reward
from analysis.presentation.render import Rendered
from analysis.presentation.style import label
from analysis.presentation.table_layout import Layout
from analysis.statistics.intervals import LEVEL

LEAD_FIGURES = ("gain", "settings")  # the first that was drawn: the second if the reference has several settings
LEAD_TABLE = "table_answer"
NOT_EVALUATED = "No data yet: no run has been evaluated."
NOT_COMPARABLE = "the evaluations cannot be compared (see the refused data)."
NO_ANSWER = "No answer yet: the reference and a candidate have not both been evaluated."
UNFINISHED = (
    "Unfinished runs: no verdict uses them (C4 alone counts diverged runs), and a mean only where its arm has no "
    "finished run (marked unfinished):"
)
DIVERGED = "A diverged run is an outcome, too: statements about its arm hold for the seeds that did not diverge."


@dataclass
class Result:
    """Verdicts, figures, tables and notes of one study."""

    study: Study
    verdicts: list[Verdict] = field(default_factory=list)
    passk: Layout | None = None  # Pass@k of every arm; None without an evaluation
    answers: list[Answer] = field(default_factory=list)  # to the study's own question
    unanswered: list[str] = field(default_factory=list)  # a sentence for each benchmark that can give no answer
    control_gains: list[ControlGain] = field(default_factory=list)  # gains over the base, beside those of controls
    figures: list[Rendered] = field(default_factory=list)
    tables: list[Rendered] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def lead_figures(self) -> list[Rendered]:
        """The figure that belongs to the answer, if it was drawn."""
        return [
            figure for name in LEAD_FIGURES for figure in self.figures if figure.name == name and not figure.reason
        ][:1]

    @property
    def lead_tables(self) -> list[Rendered]:
        """The table that belongs to the answer, if it was written."""
        return [table for table in self.tables if table.name == LEAD_TABLE and not table.reason]

    @property
    def remarks(self) -> list[str]:
        """Sentences on data that were left out, a training reward other than accuracy, and differing settings."""
        reward = describe_reward(self.study.runs)
        return [*self.study.not_started, *([reward] if reward else []), *self.study.settings_differ, *self.notes]


def claims_line(verdicts: Sequence[Verdict]) -> str:
    """Return such as `The paper's claims: C1 undecided; C2, C3 no data`."""
    by_verdict: dict[str, list[str]] = {}
    for verdict in verdicts:
        by_verdict.setdefault(verdict.verdict, []).append(verdict.claim)
    named = "; ".join(f"{', '.join(claims)} {word}" for word, claims in by_verdict.items())
    return f"The paper's claims: {named or 'none judged'}"


def multiplicity(verdicts: Sequence[Verdict]) -> str:
    """Return the number of judged claims and intervals, and of false exclusions expected by chance; "" without any."""
    num_parts = sum(len(verdict.parts) for verdict in verdicts)
    if not num_parts:
        return ""
    judged = sum(verdict.verdict != NO_DATA for verdict in verdicts)
    return (
        f"Multiplicity: {judged} claims rest on {num_parts} intervals at {100 * LEVEL:.0f} % each, without correction "
        f"across claims. If every effect were zero, about {num_parts * (1 - LEVEL):.1f} intervals would exclude zero "
        "by chance. A supported verdict needs no correction within its claim, since all parts must hold; not supported "
        "may rest on one of several parts."
    )


def run_state(run: Run) -> str:
    """Return text such as `a_grae-1a2b3c4d/seed-0: running (train 12 of 80)`, with a failed run's error."""
    progress = run.progress()
    at = f" ({progress['phase']} {progress['done']} of {progress['total']})" if progress else ""
    error = f": {run.meta['error']}" if run.meta.get("error") else ""
    return f"{run.key}: {run.status}{at}{error}"


def has_diverged(study: Study) -> bool:
    """Return True if a run of the study has diverged."""
    return any(run.status == "diverged" for run in study.unfinished)


def run_rows(study: Study) -> list[list[str]]:
    """Return a header and a row for each run: run, arm, seed, status, config hash."""
    rows = [["run", "arm", "seed", "status", "config hash"]]
    for run in study.runs:
        rows.append([run.key, label(run.arm), str(run.seed), run.status, str(run.meta.get("config_hash", ""))])
    return rows
