"""Fenced code of README.md and docs/*.md, and the commands in it.

A comment in the line above a fence says more than its language:

    <!-- test: run -->             the commands also run in the slow tests, in order, in one folder, with tiny settings
    <!-- test: with trl -->         the snippets of the page run in order in the slow tests: with TRL and the nano model
    <!-- test: with run -->        the snippet runs in the slow tests with `<run>` replaced by a run directory
    <!-- test: not run: reason --> the snippet cannot be executed here; it must still be valid Python
"""

from __future__ import annotations

import functools
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

ROOT = Path(__file__).resolve().parents[1]
PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))
_FENCE = re.compile(
    r"(?:^<!-- test: (?P<mark>[^\n]*?) -->\n)?^```(?P<language>\w*)[^\n]*\n(?P<text>.*?)^```$", re.S | re.M
)
_HEREDOC = re.compile(r"<<'?(?P<end>[A-Z]+)'?\n.*?^(?P=end)$", re.S | re.M)


@dataclass(frozen=True)
class Snippet:
    """Fenced code of a page. `place` is file:line of its first line; `mark` the words of the comment above it."""

    place: str
    language: str
    text: str
    mark: str

    @property
    def page(self) -> str:
        """Path of the page."""
        return self.place.rpartition(":")[0]

    @property
    def commands(self) -> list[list[str]]:
        """Words of each command of a bash snippet, without comments, environment and what a here-document holds."""
        text = _HEREDOC.sub("", self.text.replace("\\\n", " "))
        lines = [shlex.split(line, comments=True) for line in text.splitlines()]
        return [words for line in lines for words in _split(line) if words]


def _split(words: list[str]) -> Iterator[list[str]]:
    """Yield the commands that && or ; joins; a loop's body is a command, and its first and last line are none."""
    command: list[str] = []
    for word in [*words, ";"]:
        if word in ("&&", ";") or word.endswith(";"):
            command.append(word.removesuffix(";"))
            yield [part for part in command if part and part != "do"] if command[0] not in ("for", "done") else []
            command = []
        else:
            command.append(word)


def snippets(*languages: str) -> list[Snippet]:
    """Return the fenced code of all pages in these languages."""
    return [one for one in _all_snippets() if one.language in languages]


@functools.cache
def _all_snippets() -> tuple[Snippet, ...]:
    found = []
    for page in PAGES:
        text = page.read_text() if page.exists() else ""
        for match in _FENCE.finditer(text):
            line = text.count("\n", 0, match.start("text")) + 1
            place = f"{page.relative_to(ROOT)}:{line}"
            found.append(Snippet(place, match["language"], match["text"], match["mark"] or ""))
    return tuple(found)


@functools.cache
def named_files() -> Mapping[str, str]:
    """Return the files that the pages tell the user to write: a name in the first comment of a fence → its text.

    `# my_study.yaml: …` names a study. An experiment is named by the key `name`, the README's estimator by its command.
    """
    files = {}
    for one in snippets("yaml"):
        if match := re.match(r"# ((?:\w+/)*\w+\.yaml)\b", one.text):
            files[match[1]] = one.text
        elif match := re.search(r"^experiment:\n  name: (\w+)$", one.text, re.M):
            files[f"my_conf/experiment/{match[1]}.yaml"] = one.text
    for one in snippets("python"):
        if match := re.match(r"# ((?:\w+/)*\w+\.py)\b", one.text):
            files[match[1]] = one.text
        elif "\nclass MyEstimator:" in one.text:
            files["my_file.py"] = one.text
    return MappingProxyType(files)
