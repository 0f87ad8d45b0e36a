"""Images of problems, shown beside their completions; runs keep them under their root.

    <root>/pictures/<sha256>.png                 an image, at most 256 pixels wide and high
    <root>/pictures/<fingerprint>/index.json     index of a set of problems: id → names of its images, in order

Both are untrusted. An image is shown only if its name is 64 hexadecimal digits and its file is a small PNG whose header
gives a small size.
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

BUDGET = 8_000_000  # bytes of all image files of a report
SIDE = 256  # pixels
_MOST_BYTES = 300_000  # of one file; 256 × 256 pixels in colour have 196,608
_SIGNATURE = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
_NAME = re.compile("[0-9a-f]{64}")

Files = tuple[Path, ...]  # the images of one problem


@lru_cache(maxsize=32)  # runs of a study share their problems
def read_index(path: Path) -> Mapping[str, Files]:
    """Return problem id → its image files; empty without an index.

    Raises:
        FrameError: the file is no index of images.
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
        raise FrameError(f"{path}: no index of images. Remove its folder; the next run writes it again") from error
    if version != SCHEMA_VERSION:
        raise FrameError(f"{path}: schema version {version}, but this analysis reads version {SCHEMA_VERSION}")
    return files


def _is_name(name: object) -> bool:
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def embed_images(images: Iterable[Files], *, budget: int = BUDGET) -> tuple[list[str], list[list[int]]]:
    """Return the data URIs of all images, each once, and for each row the indices of its images.

    If not all fit into `budget` bytes, images that most rows share come first. A row has all its images or none.
    """
    rows = list(images)
    uris: list[str] = []
    places: dict[Files, list[int]] = {(): []}
    index_by_file: dict[Path, int] = {}
    for names, _ in Counter(rows).most_common():
        contents = {path: _read(path) for path in names if path not in index_by_file}
        size = sum(len(content) for content in contents.values() if content is not None)
        if None in contents.values() or size > budget:
            continue
        budget -= size
        for path, content in contents.items():
            assert content is not None
            index_by_file[path] = len(uris)
            uris.append(data_uri("image/png", content))
        places[names] = [index_by_file[path] for path in names]
    return uris, [places.get(names, []) for names in rows]


def _read(path: Path) -> bytes | None:
    """Return an image file's content; None without a file, or if no run would have written it."""
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except OSError:
        return None
    width, height = (int.from_bytes(content[at : at + 4]) for at in (16, 20))
    is_small = len(content) <= _MOST_BYTES and 0 < width <= SIDE and 0 < height <= SIDE
    return content if is_small and content.startswith(_SIGNATURE) else None


def describe(images: Sequence[Files], places: Sequence[Sequence[int]]) -> str:
    """Return a sentence on the number of problems with images in the page; "" if no problem has any."""
    wanted = {names for names in images if names}
    shown = {names for names, at in zip(images, places, strict=True) if at}
    if not wanted:
        return ""
    share = "" if len(shown) == len(wanted) else f"; the page holds those of {len(shown):,} of {len(wanted):,} problems"
    return f"Images of problems are at most {SIDE} pixels wide and high{share}."
