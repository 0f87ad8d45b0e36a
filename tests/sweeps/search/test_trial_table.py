"""The front of a search with a pruner: a pruned trial has fewer values, and competes with no other."""

from __future__ import annotations

import optuna
import pytest
from optuna.trial import create_trial
from search_lab import quest

from sweeps.search.table import trial_rows
from sweeps.spec.read import parse_study


@pytest.mark.parametrize(("direction", "lead"), [("maximize", 1), ("minimize", -1)])
def test_a_pruned_trial_keeps_no_other_off_the_front(direction: str, lead: int) -> None:
    study = parse_study(quest(objective=[{"metric": "pass@1/problems", "direction": direction}]))
    stored = optuna.create_study(direction=direction)
    for value, attributes in ((0.2, {}), (0.3, {}), (0.3, {}), (0.4, {"pruned": "worse"})):
        stored.add_trial(create_trial(value=lead * value, user_attrs=attributes))
    rows = trial_rows(study, stored)
    assert [row["front"] for row in rows] == ["no", "yes", "yes", "no"]
    assert [row["status"] for row in rows] == ["done", "done", "done", "pruned"]
