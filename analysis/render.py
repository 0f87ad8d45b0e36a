"""A figure module and a study, or a simulation, → PNG, PDF, CSV and caption files."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from agrae_lab.runs import replacing

from .frames import FrameError, Study
from .simulation.frames import Simulation
from .style import PANEL_SIZE, STYLE

_MAX_COLUMNS = 2
_CAPTION_POINTS = 6.0


@dataclass(frozen=True)
class Rendered:
    """One figure's outcome. `reason` says why there is none; `refused` whether the data were at fault."""

    name: str
    question: str
    caption: str = ""
    reason: str = ""
    refused: bool = False


def render(module: ModuleType, study: Study | Simulation, folder: Path) -> Rendered:
    """Write `<NAME>.png`, `.pdf`, `.csv` and `.md` (caption) into the folder; say so where there is no data."""
    try:
        table = module.table(study)
    except FrameError as error:
        return Rendered(module.NAME, module.QUESTION, reason=str(error), refused=True)
    if table.empty:
        return Rendered(module.NAME, module.QUESTION, reason="no data yet")
    caption = module.caption(table)
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / f"{module.NAME}.csv") as path:
        table.to_csv(path, index=False)
    with replacing(folder / f"{module.NAME}.md") as path:
        path.write_text(f"**{module.QUESTION}** {caption}\n")
    with mpl.rc_context(STYLE):
        figure = build(module, table, caption)
        for ending, metadata in (("png", {"Software": None}), ("pdf", {"CreationDate": None})):
            with replacing(folder / f"{module.NAME}.{ending}") as path:
                figure.savefig(path, format=ending, metadata=metadata, bbox_inches="tight", pad_inches=0.05)
    return Rendered(module.NAME, module.QUESTION, caption=caption)


def build(module: ModuleType, table: pd.DataFrame, caption: str) -> Figure:
    """The figure: one axes for each value of `panel`, one legend above them all, the caption below."""
    panels = list(table["panel"].unique())
    columns = min(len(panels), _MAX_COLUMNS)
    rows = -(-len(panels) // columns)
    width, height = PANEL_SIZE
    figure = Figure(figsize=(width * columns, height * rows))
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax, panel in zip(axes, panels, strict=False):
        module.draw(table[table["panel"] == panel], ax)
        ax.set_title(panel)
    for ax in axes[len(panels) :]:
        ax.remove()
    handles = {
        label: handle for ax in figure.axes for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)
    }
    figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=2 * columns)
    characters = int(width * columns * 72 / (_CAPTION_POINTS * 0.52))
    text = textwrap.fill(caption, characters)
    figure.text(0.01, -0.01, text, va="top", ha="left", fontsize=_CAPTION_POINTS, color="0.25")
    return figure
