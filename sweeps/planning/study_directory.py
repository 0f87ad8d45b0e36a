"""A study's directory: what was asked, which runs it came to, and what happened.

    <root>/studies/<name>/
        study.yaml      as last launched
        frozen.json     cell and seed → run, with the code that it was frozen under
        events.jsonl    what happened when, one JSON object a line, only ever appended to
        .lock           held by the one controller

The runs themselves lie in the root like all others, and how far each has come stands in its own directory alone.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from agrae_lab import runs
from sweeps.errors import PlanError
from sweeps.planning.drift import Code
from sweeps.spec.axes import Settings
from sweeps.spec.read import as_data, parse_study
from sweeps.spec.study import Study


@dataclass(frozen=True)
class Frozen:
    """What a cell and a seed came to when they were composed."""

    settings: Settings
    seed: int
    run: str  # key of the run (runs.Run.key)
    config_hash: str
    code: str  # fingerprint of the code

    @property
    def cell(self) -> str:
        return cell_id(self.settings, self.seed)


def cell_id(settings: Settings, seed: int) -> str:
    """Names a cell and seed within a study, in whatever order its settings stand."""
    return json.dumps({"settings": dict(settings), "seed": seed}, sort_keys=True)


class Ledger:
    """One study's directory in a root; reading one that does not exist finds nothing in it."""

    def __init__(self, root: Path, name: str) -> None:
        self.root = root
        self.path = root / "studies" / name

    def study(self) -> Study | None:
        """The study as it was last launched.

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
                [f"{path} cannot be read ({error}); it was edited by hand: restore it, or move it away"]
            ) from error

    def frozen(self) -> dict[str, Frozen]:
        """Cell id → what it came to, for all that this study ever froze."""
        return {one.cell: one for one in (Frozen(**entry) for entry in self._frozen_file()["cells"])}

    def codes(self) -> dict[str, Code]:
        """Fingerprint → code, of every code that some cell is frozen under."""
        return {fingerprint: Code(**code) for fingerprint, code in self._frozen_file()["codes"].items()}

    def check_same(self, study: Study, cells: Sequence[str]) -> None:
        """Raises PlanError if the directory belongs to another study.

        The same study may get other seeds, axes, exclusions, stop rules and resources, as long as some cells stay.
        """
        known = self.study()
        if known is None:
            return
        if (known.search is None) != (study.search is None):
            difference = "one is a search and the other is not"
        elif sorted(known.base) != sorted(study.base):
            difference = f"its base is [{', '.join(known.base)}], not [{', '.join(study.base)}]"
        elif study.search is None and not self.frozen().keys() & set(cells):
            difference = "no cell of that one is among the cells of this one"
        else:
            return
        raise PlanError(
            [f"{self.path} is the directory of another study: {difference}; give this one a `name` or root of its own"]
        )

    def record(self, study: Study, cells: Sequence[Frozen], code: Code) -> None:
        """Write the study, and add cells; those known already are replaced. Only the holder of the lock may call it."""
        known = self.frozen() | {one.cell: one for one in cells}
        codes = {**self.codes(), code.fingerprint: code}
        runs.write_json(
            self.path / "frozen.json",
            {
                "schema_version": runs.SCHEMA_VERSION,
                "codes": {
                    fingerprint: asdict(codes[fingerprint]) for fingerprint in {one.code for one in known.values()}
                },
                "cells": [asdict(one) for one in known.values()],
            },
        )
        with runs.replacing(self.path / "study.yaml") as temporary:
            temporary.write_text(yaml.safe_dump(as_data(study), sort_keys=False, allow_unicode=True))

    def log(self, event: str, **facts: Any) -> None:
        """Append to events.jsonl, after ending a line that a crash cut short."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"time": now, "event": event, **facts}, default=str) + "\n"
        with (self.path / "events.jsonl").open("ab+") as file:
            if file.seek(0, os.SEEK_END) and (file.seek(-1, os.SEEK_END), file.read(1))[1] != b"\n":
                line = "\n" + line
            file.write(line.encode())

    def events(self) -> list[dict[str, Any]]:
        """All events in the order in which they were written; a line that was cut short is left out."""
        path = self.path / "events.jsonl"
        lines = path.read_text(errors="replace").splitlines() if path.is_file() else []
        return [event for line in lines if (event := _json_or_none(line)) is not None]

    @contextmanager
    def held(self) -> Iterator[None]:
        """Be the study's one controller for the life of the block.

        Raises:
            PlanError: another process is.
        """
        with ExitStack() as stack:
            try:
                stack.enter_context(runs.lock(self.path))
            except runs.RunBusyError as error:
                raise PlanError(
                    [f"another controller is at work on {self.path}; wait for it, or stop it first"]
                ) from error
            yield

    def check_free(self) -> None:
        """Raises PlanError if another process is the study's controller."""
        if self.path.is_dir():
            with self.held():
                pass

    def _frozen_file(self) -> dict[str, Any]:
        path = self.path / "frozen.json"
        if not path.is_file():
            return {"schema_version": runs.SCHEMA_VERSION, "codes": {}, "cells": []}
        held: Any = _json_or_none(path.read_text(errors="replace"))
        if not isinstance(held, dict) or held.get("schema_version") != runs.SCHEMA_VERSION:
            raise PlanError(
                [f"{path} has no schema version {runs.SCHEMA_VERSION}; restore it, or use the agrae_lab that wrote it"]
            )
        return held


def list_ledgers(root: Path) -> list[Ledger]:
    """All studies of a root, sorted by name."""
    return [Ledger(root, path.parent.name) for path in sorted((root / "studies").glob("*/study.yaml"))]


def _json_or_none(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return None
