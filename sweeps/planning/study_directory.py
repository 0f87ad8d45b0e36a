"""Directory of a study: its definition, its frozen cells and its events.

    <root>/studies/<name>/
        study.yaml      the study as last launched
        frozen.json     cell and seed → run, with the code under which it was frozen
        events.jsonl    one JSON object a line, with its time; only ever appended to
        .lock           held by the study's only controller

The runs are in the root, and each run's directory alone has the run's status.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import yaml

from agrae_lab import runs
from agrae_lab.runs.failpoints import failpoint
from sweeps.errors import PlanError, refusing_disk_errors
from sweeps.planning.drift import Code
from sweeps.spec.axes import Settings, study_cells
from sweeps.spec.read import as_data, parse_study
from sweeps.spec.study import Study


@dataclass(frozen=True)
class FrozenCell:
    """A cell and seed, and the run that they were frozen as."""

    settings: Settings
    seed: int
    run: str  # key of the run (runs.Run.key)
    config_hash: str  # runs.training_hash of the frozen config
    code: str  # fingerprint of the code

    @property
    def identifier(self) -> str:
        """Return the id of cell and seed within the study, as `cell_id`."""
        return cell_id(self.settings, self.seed)


def cell_id(settings: Settings, seed: int) -> str:
    """Return the id of a cell and seed within a study, independent of the order of the settings."""
    return json.dumps({"settings": dict(settings), "seed": seed}, sort_keys=True)


class StudyDirectory:
    """Directory of one study in a root. One that does not exist reads as empty."""

    def __init__(self, root: Path, name: str) -> None:
        self.root = root
        self.path = root / "studies" / name

    def study(self) -> Study | None:
        """Return the study as last launched; None before the first launch.

        Raises:
            PlanError: study.yaml cannot be read.
        """
        path = self.path / "study.yaml"
        if not path.is_file():
            return None
        try:
            return parse_study(yaml.safe_load(path.read_text()))
        except (yaml.YAMLError, PlanError) as error:
            raise PlanError(
                [f"{path} cannot be read ({error}); was it edited by hand? Restore it, or move it away"]
            ) from error

    def frozen_cells(self) -> dict[str, FrozenCell]:
        """Return cell id → frozen cell, for every cell and seed that this study ever froze."""
        return {frozen.identifier: frozen for frozen in self._frozen_file()[1]}

    def frozen_cells_of(self, study: Study) -> list[FrozenCell]:
        """Return the frozen cells that the study still has; of a search or a protocol, all that were ever frozen."""
        frozen = self.frozen_cells()
        if study.search is not None or study.protocol is not None:
            return list(frozen.values())
        wanted = [cell_id(settings, seed) for settings in study_cells(study) for seed in study.seeds]
        return [frozen[identifier] for identifier in wanted if identifier in frozen]

    def codes(self) -> dict[str, Code]:
        """Return fingerprint → code, for every code under which some cell is frozen."""
        return self._frozen_file()[0]

    def check_same(self, study: Study, cell_ids: Sequence[str]) -> None:
        """Check that the directory, if it holds a study, holds this one.

        The kind (axes or search) and the base must be the same, sections for the machine aside. With axes, at least one
        cell and seed must be the same.

        Raises:
            PlanError: the directory holds another study.
        """
        known = self.study()
        if known is None:
            return
        if (known.search is None) != (study.search is None):
            difference = "one is a search and the other is not"
        elif _result_words(known.base) != _result_words(study.base):
            difference = f"its base is [{', '.join(known.base)}], not [{', '.join(study.base)}]"
        elif study.search is None and not self.frozen_cells().keys() & set(cell_ids):
            difference = "the two have no cell in common"
        else:
            return
        raise PlanError(
            [f"{self.path} is the directory of another study: {difference}; give this study another `name` or root"]
        )

    def record(self, study: Study, cells: Sequence[FrozenCell], code: Code) -> None:
        """Write the study, and add cells; an earlier entry of the same cell and seed is replaced.

        Only the holder of the controller's lock may call it.
        """
        known = self.frozen_cells() | {frozen.identifier: frozen for frozen in cells}
        codes = {**self.codes(), code.fingerprint: code}
        runs.write_json(
            self.path / "frozen.json",
            {
                "schema_version": runs.SCHEMA_VERSION,
                "codes": {
                    fingerprint: asdict(codes[fingerprint]) for fingerprint in {cell.code for cell in known.values()}
                },
                "cells": [asdict(cell) for cell in known.values()],
            },
        )
        with runs.replacing(self.path / "study.yaml") as temporary:
            temporary.write_text(yaml.safe_dump(as_data(study), sort_keys=False, allow_unicode=True))

    def log(self, event: str, **facts: Any) -> None:
        """Append an event to events.jsonl, after ending a line that a crash cut short."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"time": now, "event": event, **facts}, default=str) + "\n"
        path = self.path / "events.jsonl"
        point = failpoint(path)
        point.before(path)
        with path.open("ab+") as file:
            if not _ends_line(file):
                line = "\n" + line
            file.write(line.encode())
        point.written(path, path)
        point.renamed(path)

    @contextmanager
    def controller_lock(self) -> Iterator[None]:
        """Hold the lock of the study's only controller for the life of the block.

        Raises:
            PlanError: another process holds it.
        """
        with ExitStack() as stack:
            try:
                with refusing_disk_errors():
                    stack.enter_context(runs.lock(self.path))
            except runs.RunBusyError as error:
                raise PlanError(
                    [f"{self.path}: another controller runs this study. Wait for it, or stop it first"]
                ) from error
            yield

    def check_no_controller(self) -> None:
        """Check that no other process is the study's controller.

        Raises:
            PlanError: another process is.
        """
        if self.path.is_dir():
            with self.controller_lock():
                pass

    def _frozen_file(self) -> tuple[dict[str, Code], list[FrozenCell]]:
        """Return fingerprint → code, and the cells of frozen.json; nothing before the first launch."""
        path = self.path / "frozen.json"
        if not path.is_file():
            return {}, []
        anew = "the next launch then freezes the study again, and finds its finished runs"
        fault = "is truncated or damaged: it is no whole JSON file of a study"
        damaged = PlanError([f"{path} {fault}. Restore it, or delete it and study.yaml beside it: {anew}"])
        content: Any = _json_or_none(path.read_text(errors="replace"))
        if not isinstance(content, dict) or content.get("schema_version", 0) == 0:
            raise damaged
        if (version := content["schema_version"]) != runs.SCHEMA_VERSION:
            fault = f"has schema version {version}, and this agrae_lab reads {runs.SCHEMA_VERSION}"
            raise PlanError([f"{path} {fault}. Use the agrae_lab that wrote it"])
        try:
            codes = {fingerprint: Code(**code) for fingerprint, code in content["codes"].items()}
            return codes, [FrozenCell(**entry) for entry in content["cells"]]
        except (KeyError, TypeError, AttributeError) as error:
            raise damaged from error


def list_study_directories(root: Path) -> list[StudyDirectory]:
    """Return the directories of all studies of a root, sorted by name."""
    return [StudyDirectory(root, path.parent.name) for path in sorted((root / "studies").glob("*/study.yaml"))]


def _json_or_none(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return None


def _ends_line(file: BinaryIO) -> bool:
    """Return True for an empty file, and for one whose last byte ends a line."""
    if file.seek(0, os.SEEK_END) == 0:
        return True
    file.seek(-1, os.SEEK_END)
    return file.read(1) == b"\n"


def _result_words(base: Sequence[str]) -> list[str]:
    """Return the overrides that may change a result: a study may resume on other machines."""
    return sorted(word for word in base if re.split("[=./@]", word.lstrip("+~"))[0] not in runs.NOT_RESULT_SECTIONS)
