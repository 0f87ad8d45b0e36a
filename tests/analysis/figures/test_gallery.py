"""docs/gallery.md shows every figure with its question and the study that made it."""

from __future__ import annotations

import re
from pathlib import Path

from analysis import figures, simulation

DOCS = Path(__file__).resolve().parents[3] / "docs"
MOST_BYTES = 1_500_000


def sections() -> dict[str, str]:
    """Name → text of each figure's section."""
    parts = re.split(r"^### (\w+)$", (DOCS / "gallery.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_every_figure_is_shown_with_its_question() -> None:
    shown, known = sections(), {figure.NAME: figure for figure in (*figures.discover(), *simulation.FIGURES)}
    assert set(shown) == set(known)
    for name, figure in known.items():
        assert figure.QUESTION in shown[name]
        assert f"![{name}](figures/gallery/{name}.png)" in shown[name]


def test_images_are_there_and_small() -> None:
    images = list((DOCS / "figures" / "gallery").iterdir())
    assert {image.stem for image in images} == set(sections())
    assert sum(image.stat().st_size for image in images) < MOST_BYTES
