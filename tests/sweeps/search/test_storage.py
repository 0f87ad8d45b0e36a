"""Faults of a search's storage are one sentence that names the storage in use."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy.exc import DatabaseError

from agrae_lab.runs import RunError
from sweeps.errors import PlanError
from sweeps.search.storage import default_url, storage_at, storage_in_use

MALFORMED = DatabaseError("", {}, Exception("database disk image is malformed"))


@pytest.mark.parametrize(
    "url", ["postgresql://u@h:abc/db", "postgresql://u:secret@h:5432x/db", "no url", "", "oracul://u@h/db"]
)
def test_a_url_that_is_none_is_refused_in_one_sentence(url: str) -> None:
    with pytest.raises(PlanError) as refused, storage_at(url):
        pass
    (sentence,) = refused.value.sentences
    assert sentence.startswith("the storage ")
    assert "cannot be used: " in sentence
    assert "secret" not in sentence
    assert sentence.endswith("postgresql://<user>@<host>:<port>/<database>") == (not url.startswith("oracul"))


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("sqlite:////data/shared.db", "/data/shared.db"),
        ("sqlite:///near.db", "near.db"),
        ("postgresql://u:secret@h/db", "postgresql://u:***@h/db"),
    ],
)
def test_a_damaged_storage_is_named(url: str, place: str) -> None:
    with pytest.raises(RunError, match="damaged") as told, storage_in_use(url):
        raise MALFORMED
    assert f"Restore {place}, or delete it" in str(told.value)


def test_the_damaged_storage_of_a_study_is_the_file_in_its_directory(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="Restore") as told, storage_in_use(default_url(tmp_path)):
        raise MALFORMED
    assert f"Restore {tmp_path / 'optuna.db'}, or delete it" in str(told.value)
