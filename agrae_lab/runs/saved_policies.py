"""Lists of the files of a run's saved policies, in its meta.json, by which damage is seen."""

from __future__ import annotations

from pathlib import Path

from agrae_lab.runs.directory import Run, read_run, update_meta
from agrae_lab.runs.file_lists import Listed, fault_of
from agrae_lab.runs.files import RunError


def record_saved(run_dir: Path, policy: Path, listed: Listed) -> None:
    """Write the list of a policy's files to meta.json, under the policy's path in the run."""
    before = read_run(run_dir).meta.get("saved", {})
    update_meta(run_dir, saved={**before, str(policy.relative_to(run_dir)): listed})


def check_saved(run: Run) -> None:
    """Check the files of the run's saved policies; of a run of an earlier version, which has no list, none.

    Raises:
        RunError: one is damaged; names the file, and the way to make it again.
    """
    for name, listed in run.meta.get("saved", {}).items():
        folder = run.path / name
        if folder.is_dir() and (fault := fault_of(folder, listed)) is not None:
            how = "the run then resumes from its last checkpoint, if one is left, or trains from the start"
            raise RunError(f"{folder}/{fault}. Delete {folder}: {how}")
