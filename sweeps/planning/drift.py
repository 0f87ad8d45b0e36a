"""Drift: changes in code, libraries, config and data since a run was frozen."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agrae_lab import runs
from agrae_lab.runs.provenance import git_revision, package_version

PACKAGES = ("torch", "trl", "transformers")
_IRRELEVANT_KEYS = (*runs.NOT_RESULT_SECTIONS, "arm", "world", "method", "schema_version")
_MAX_NAMED_FILES = 4


@dataclass(frozen=True)
class Code:
    """Code that executes a run: every source file of the train module's package, and the libraries below it."""

    git_revision: str | None  # shown in messages, not compared: a revision may change files that no run uses
    files: Mapping[str, str] = field(default_factory=dict)  # path from the package's parent → 12 hex digits
    packages: Mapping[str, str] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """Return 12 hex digits that identify files and packages."""
        content = json.dumps([self.files, self.packages], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:12]


def read_code(train_module: str) -> Code:
    """Return the code as it is on disk now, committed or not."""
    sources = _source_files(train_module.partition(".")[0])
    files = {name: hashlib.sha256(path.read_bytes()).hexdigest()[:12] for name, path in sources}
    packages = {name: found for name in PACKAGES if (found := package_version(name)) is not None}
    return Code(git_revision(), files, packages)


def code_changes(was: Code, now: Code) -> list[str]:
    """Return a sentence for each difference between two codes that could change a result."""
    sentences = []
    changed = sorted(name for name in was.files.keys() | now.files.keys() if was.files.get(name) != now.files.get(name))
    if changed:
        named = ", ".join(changed[:_MAX_NAMED_FILES]) + (
            f" and {len(changed) - _MAX_NAMED_FILES} more" if len(changed) > _MAX_NAMED_FILES else ""
        )
        sentences.append(f"the code has changed: {named} ({_revisions(was.git_revision, now.git_revision)})")
    for name in sorted(was.packages.keys() | now.packages.keys()):
        before, after = was.packages.get(name, "not there"), now.packages.get(name, "not there")
        if before != after:
            sentences.append(f"{name} was {before} and is {after}")
    return sentences


def config_changes(
    was: Mapping[str, Any], now: Mapping[str, Any], *, accepted: Collection[tuple[str, str]] = ()
) -> list[str]:
    """Return a sentence for each difference between two frozen configs that could change a result.

    accepted: (key, repr of its value in `now`) of differences to skip; ("code", "") for all files of code.
    """
    before, after = dict(runs.leaves(was)), dict(runs.leaves(now))
    sentences = []
    for key in dict.fromkeys([*before, *after]):
        if key.partition(".")[0] in _IRRELEVANT_KEYS or before.get(key) == after.get(key):
            continue
        if (key, repr(after.get(key))) in accepted or (key.startswith("code.") and ("code", "") in accepted):
            continue
        if key.startswith("code.evaluation."):
            sentences.append(f"the code that samples or judges {key.split('.', 2)[2]} has changed")
            continue
        if key.startswith("code."):
            sentences.append(f"the code has changed: {key.split('.', 2)[2]}")
            continue
        if key.startswith("data_fingerprints."):
            sentences.append(f"the problems of {key.partition('.')[2]!r} have changed")
        else:
            sentences.append(f"{key} was {before.get(key, 'not there')} and is {after.get(key, 'not there')}")
    return sentences


def _revisions(was: str | None, now: str | None) -> str:
    if was is None and now is None:
        return "no git revision"
    before, after = (
        revision.removesuffix("+")[:8] + "+" * revision.endswith("+") if revision else "no revision"
        for revision in (was, now)
    )
    return f"from {before} to {after}" if before != after else f"uncommitted, at {before}"


def _source_files(package: str) -> Iterator[tuple[str, Path]]:
    spec = importlib.util.find_spec(package)
    assert spec is not None
    if spec.submodule_search_locations is None:  # one file
        assert spec.origin is not None
        yield Path(spec.origin).name, Path(spec.origin)
        return
    for location in spec.submodule_search_locations:
        for path in sorted(Path(location).rglob("*.py")):
            yield str(path.relative_to(Path(location).parent)), path
