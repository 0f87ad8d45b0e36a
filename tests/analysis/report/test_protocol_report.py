"""Section "Protocol" of the report: what was frozen, and the decision of each comparison at the look that made it."""

from pathlib import Path

import pytest

from agrae_lab import runs
from analysis.io.study import Study
from analysis.report.protocol import protocol_sentences

CHOSEN = {"settings": {"train.learning_rate": 2e-4}, "metric": "pass@1/tune", "seeds": [1000, 1001], "num_trials": 6}
FROZEN = {
    "code": {"git_revision": "abc1234"},
    "arms": {
        "grpo": {"chosen": None},
        "a_grae": {"chosen": CHOSEN},
        "hard_focused": {"chosen": None},
    },
    "rule": {"looks": [3, 5], "alpha": 0.05, "correction": "Bonferroni over 2 comparisons"},
    "seeds": [7, 8, 9, 10, 11],
    "hypotheses": ["Is a_grae better or worse than grpo in pass@1/test, or is the difference within ±1pp?"],
    "declared": {"protocol.reference": "grpo"},
}


def comparison(candidate, estimate, lo, hi, decision):
    """Return an entry of looks.json."""
    return {
        "candidate": candidate,
        "metric": "pass@1/test",
        "estimate": estimate,
        "lo": lo,
        "hi": hi,
        "decision": decision,
    }


LOOKS = [
    {
        "num_seeds": 3,
        "comparisons": [
            comparison("a_grae", 0.012, 0.003, 0.021, "better"),
            comparison("hard_focused", 0.01, None, None, "open"),
        ],
    },
    {"num_seeds": 5, "comparisons": [comparison("hard_focused", 0.0, -0.02, 0.02, "undecided: the budget ends")]},
]


@pytest.fixture
def study(tmp_path: Path) -> Study:
    run = runs.Run(tmp_path / "grpo-12345678" / "seed-7", {"arm": "grpo", "seed": 7})
    return Study("night/nano", "Is it better?", (run,))


def freeze(root: Path) -> dict:
    """Write and return the frozen file of the study."""
    folder = runs.protocol_dir(root, "night")
    runs.write_frozen(folder, FROZEN, date="2026-01-31")
    return runs.read_frozen(folder)


def test_a_study_without_a_protocol_has_no_section(study):
    assert protocol_sentences(study) == []
    assert protocol_sentences(Study("night", "", ())) == []


def test_every_part_is_quoted(study, tmp_path):
    frozen = freeze(tmp_path)
    assert protocol_sentences(study)[-1] == "No look yet."
    runs.write_looks(runs.protocol_dir(tmp_path, "night"), frozen["digest"], LOOKS)
    assert protocol_sentences(study) == [
        "Frozen on 2026-01-31 before the first run of this study (code revision abc1234).",
        "A-GRAE: train.learning_rate = 0.0002, the best of 6 trials by pass@1/tune on the tuning seeds 1000, 1001.",
        "Looks at 3, 5 seeds, from seed 7; at most 5 % of such studies call any difference where there is none "
        "(Bonferroni over 2 comparisons). Scope: the method (its training seeds) on exactly these problems.",
        "To decide: Is a_grae better or worse than grpo in pass@1/test, or is the difference within ±1pp?",
        "A-GRAE − GRPO at k = 1 on test: +1.2 pp [+0.3, +2.1] after 3 seeds: better.",
        "Hard-Focused − GRPO at k = 1 on test: +0.0 pp [−2.0, +2.0] after 5 seeds: undecided: the budget ends.",
    ]


def test_an_open_comparison_is_named_at_the_last_look(study, tmp_path):
    frozen = freeze(tmp_path)
    runs.write_looks(runs.protocol_dir(tmp_path, "night"), frozen["digest"], LOOKS[:1])
    assert (
        protocol_sentences(study)[-1] == "Hard-Focused − GRPO at k = 1 on test: +1.0 pp [−∞, +∞] after 3 seeds: open."
    )


def test_a_changed_file_is_named_in_place_of_its_content(study, tmp_path):
    freeze(tmp_path)
    (path,) = runs.protocol_dir(tmp_path, "night").glob("frozen-*.json")
    path.chmod(0o644)
    path.write_text(path.read_text().replace("0.05", "0.01"))
    (sentence,) = protocol_sentences(study)
    assert "has been changed since it was written" in sentence
