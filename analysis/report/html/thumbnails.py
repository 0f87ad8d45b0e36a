"""The pictures of problems that stand beside their completions, from what runs keep under their root.

    <root>/pictures/<sha256>.png                 a picture, at most 256 pixels wide and high
    <root>/pictures/<fingerprint>/index.json     of a set of problems: id → the names of its pictures, in their order

Both are taken for what anybody could have put there: a name is 64 hexadecimal digits, a file a small PNG that does not
claim to be a large one, or it is not shown.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from agrae_lab.runs import SCHEMA_VERSION
from analysis.io.parquet import FrameError
from analysis.report.html.embed import data_uri

BUDGET = 8_000_000  # bytes of all pictures of a report together, as they are in their files
SIDE = 256  # pixels
_MOST_OF_ONE = 300_000  # bytes; 256 × 256 pixels in colour have 196,608
_SIGNATURE = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
_NAME = re.compile("[0-9a-f]{64}")

Names = tuple[Path, ...]  # the files of one problem's pictures


@lru_cache(maxsize=32)  # the runs of a study share their problems
def read_index(path: Path) -> Mapping[str, Names]:
    """Problem id → its pictures' files; nothing where there is no index.

    Raises:
        FrameError: it cannot be read as one.
    """
    if not path.is_file():
        return {}
    try:
        index = json.loads(path.read_bytes())
        version, pictures = index["schema_version"], index["pictures"]
        folder = path.parents[1]
        files = {
            problem: tuple(folder / f"{name}.png" for name in names if _is_name(name))
            for problem, names in pictures.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise FrameError(
            f"{path} is no index of pictures; remove its folder, and the next run makes it anew"
        ) from error
    if version != SCHEMA_VERSION:
        raise FrameError(f"{path} has schema version {version}, but this analysis reads version {SCHEMA_VERSION}")
    return files


def _is_name(name: object) -> bool:
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def embedded(pictures: Iterable[Names], *, budget: int = BUDGET) -> tuple[list[str], list[list[int]]]:
    """Data URIs of the pictures, each once, and for each row the places of its own among them.

    Where not all fit into `budget` bytes, those that most rows share come first. A row whose pictures are not all there
    has none.
    """
    rows = list(pictures)
    uris: list[str] = []
    places: dict[Names, list[int]] = {(): []}
    of_file: dict[Path, int] = {}
    for names, _ in Counter(rows).most_common():
        contents = {path: _read(path) for path in names if path not in of_file}
        size = sum(len(content) for content in contents.values() if content is not None)
        if None in contents.values() or size > budget:
            continue
        budget -= size
        for path, content in contents.items():
            assert content is not None
            of_file[path] = len(uris)
            uris.append(data_uri("image/png", content))
        places[names] = [of_file[path] for path in names]
    return uris, [places.get(names, []) for names in rows]


def _read(path: Path) -> bytes | None:
    """A picture's file; None where there is none, or it is not what a run would have kept."""
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_OF_ONE + 1)
    except OSError:
        return None
    width, height = (int.from_bytes(content[at : at + 4]) for at in (16, 20))
    is_small = len(content) <= _MOST_OF_ONE and 0 < width <= SIDE and 0 < height <= SIDE
    return content if is_small and content.startswith(_SIGNATURE) else None


def describe(pictures: Sequence[Names], places: Sequence[Sequence[int]]) -> str:
    """How many problems have their pictures in the page, for readers; "" where no problem has any."""
    wanted = {names for names in pictures if names}
    shown = {names for names, at in zip(pictures, places, strict=True) if at}
    if not wanted:
        return ""
    some = "" if len(shown) == len(wanted) else f", {len(shown):,} of {len(wanted):,} are in this page"
    return f"Pictures of problems: at most {SIDE} pixels wide and high{some}."
