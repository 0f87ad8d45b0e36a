"""A figure or table module and a study, or a simulation, → files, each with its caption."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties

from agrae_lab.runs import replacing
from analysis.io.parquet import FrameError
from analysis.io.simulation import Simulation
from analysis.io.study import Study, on_sound_runs
from analysis.presentation.captions import describe_reward
from analysis.presentation.placing import PAD, place_panels
from analysis.presentation.style import ONE_COLUMN, STYLE, TWO_COLUMNS, sort_arms
from analysis.presentation.table_layout import Layout, latex, markdown

FIGURE_ENDINGS = ("svg", "csv", "md")
FORMATS = ("pdf", "png")  # drawn where they are asked for: they take most of the time
MOST_SVG = 500_000  # bytes; a larger drawing (many points) is shown in a report as PNG
TABLE_ENDINGS = ("csv", "md", "tex")

MOST_ARMS = 24  # in one drawing: more lines cannot be told apart, and take minutes to lay out

_PANEL_HEIGHT = {1: 2.2, 2: 2.2, 3: 1.9}  # inches, by number of panels side by side
_CAPTION_POINTS = 6.0
_MOST_COLUMNS = 8  # of a legend


@dataclass(frozen=True)
class Rendered:
    """One figure's or table's outcome. `reason` says why there is none; `refused` whether the data were at fault."""

    name: str
    question: str
    caption: str = ""
    reason: str = ""
    refused: bool = False
    left_out: tuple[str, ...] = ()  # runs with a broken file, a sentence each
    paper: str = ""  # what of the paper it regenerates: "Figure 6"
    layout: Layout | None = None  # of a table


def render(
    module: ModuleType, study: Study | Simulation, folder: Path, *, formats: Collection[str] = FORMATS
) -> Rendered:
    """Write `<NAME>.svg`, `.csv` and `.md` (caption) into the folder; say so where there is no data.

    The PNG, which travels alone, carries the caption; PDF and SVG are for pages that set it beside them. A PDF or PNG
    of an earlier call that is not asked for now goes where the data have changed.

    Args:
        formats: of FORMATS, what else to write. A drawing whose SVG is too large for a report has its PNG always.
    """
    table, outcome = _table(module, study)
    if table is None:
        return outcome
    drawn, left_out = _drawn_arms(table)
    caption = " ".join(filter(None, (_with_reward(module.caption(drawn), study), left_out)))
    folder.mkdir(parents=True, exist_ok=True)
    changed = _write_csv(table, folder / f"{module.NAME}.csv")
    _write_text(f"**{module.QUESTION}** {caption}\n", folder / f"{module.NAME}.md")
    with mpl.rc_context(STYLE):
        figure = build(module, drawn)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None}, transparent=True)
        drawing = text.getvalue()
        wanted = {*formats, *(["png"] if len(drawing.encode()) > MOST_SVG else [])}
        if "pdf" in wanted:
            with replacing(folder / f"{module.NAME}.pdf") as path:
                figure.savefig(path, format="pdf", metadata={"CreationDate": None})
        if "png" in wanted:
            add_caption(figure, caption)
            with replacing(folder / f"{module.NAME}.png") as path:
                figure.savefig(path, format="png", metadata={"Software": None}, bbox_inches="tight", pad_inches=0.05)
    for name in set(FORMATS) - wanted if changed else ():
        (folder / f"{module.NAME}.{name}").unlink(missing_ok=True)
    _write_text(drawing, folder / f"{module.NAME}.svg")
    return replace(outcome, caption=caption)


def render_table(module: ModuleType, study: Study, folder: Path) -> Rendered:
    """Write `<NAME>.csv` (shares, intervals), `.md` and `.tex` (booktabs) into the folder; say so without data."""
    table, outcome = _table(module, study)
    if table is None:
        return outcome
    layout = module.layout(table)
    layout = replace(layout, caption=_with_reward(layout.caption, study))
    folder.mkdir(parents=True, exist_ok=True)
    _write_csv(table, folder / f"{module.NAME}.csv")
    _write_text(markdown(layout), folder / f"{module.NAME}.md")
    _write_text(latex(layout, module.NAME), folder / f"{module.NAME}.tex")
    return replace(outcome, caption=layout.caption, layout=layout)


def _drawn_arms(table: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """The rows of at most MOST_ARMS arms, first in readers' order, and a sentence if that leaves some out."""
    arms = sort_arms(list(table["arm"].dropna().unique())) if "arm" in table else []
    if len(arms) <= MOST_ARMS:
        return table, ""
    kept = table[table["arm"].isin(arms[:MOST_ARMS]) | table["arm"].isna()]
    return kept, f"Drawn: {MOST_ARMS} of {len(arms)} arms; the CSV has all."


def _with_reward(caption: str, study: Study | Simulation) -> str:
    """A caption with what paid the completions, where that was more than accuracy."""
    return " ".join(filter(None, (caption, describe_reward(getattr(study, "runs", ())))))


def _table(module: ModuleType, study: Study | Simulation) -> tuple[pd.DataFrame | None, Rendered]:
    """The module's table, None where there is none, and what is then to say of it."""
    about = Rendered(module.NAME, module.QUESTION, paper=getattr(module, "PAPER", ""))
    try:
        table, left_out = on_sound_runs(module.table, study) if isinstance(study, Study) else (module.table(study), [])
    except FrameError as error:
        return None, replace(about, reason=str(error), refused=True)
    about = replace(about, left_out=tuple(left_out))
    return (None, replace(about, reason="no data yet")) if table.empty else (table, about)


def _write_csv(table: pd.DataFrame, target: Path) -> bool:
    """Write the table; True if the file held something else before, or did not exist."""
    text = table.to_csv(index=False)
    if target.is_file() and target.read_bytes() == text.encode():
        return False
    _write_text(text, target)
    return True


def _write_text(text: str, target: Path) -> None:
    with replacing(target) as path:
        path.write_text(text, encoding="utf-8")


def build(module: ModuleType, table: pd.DataFrame, caption: str = "") -> Figure:
    """The figure: one axes for each value of `panel`, one legend above them all, the caption, if given, below.

    It is as wide as one column of a two-column paper, with several panels as wide as the page.
    """
    panels = list(table["panel"].unique())
    columns = {1: 1, 3: 3}.get(len(panels), 2)
    rows = -(-len(panels) // columns)
    width = ONE_COLUMN if columns == 1 else TWO_COLUMNS
    figure = Figure(figsize=(width, _PANEL_HEIGHT[columns] * rows))
    grid = figure.add_gridspec(rows, columns)
    for i, panel in enumerate(panels):
        ax = figure.add_subplot(grid[i])
        module.draw(table[table["panel"] == panel], ax)
        ax.set_title(_title(panel, width / columns))
    legend = _add_legend(figure, handles) if (handles := _handles(figure)) else 0.0
    place_panels(figure, grid, above=legend)
    if caption:
        add_caption(figure, caption)
    return figure


def _title(panel: str, width: float) -> str:
    """In lines that a panel's axes, some 60 % of its width in inches, have room for."""
    return textwrap.fill(panel, int(0.6 * width * 72 / (STYLE["axes.titlesize"] * 0.55)), break_long_words=False)


def _handles(figure: Figure) -> dict[str, Artist]:
    """Label → what the legend shows, in the order of the panels even where the first one lacks some."""
    handles: dict[str, Artist] = {}
    places: dict[str, int] = {}
    for ax in figure.axes:
        for place, (handle, label) in enumerate(zip(*ax.get_legend_handles_labels(), strict=True)):
            handles.setdefault(label, handle)
            places[label] = max(place, places.get(label, 0))
    return {label: handles[label] for label in sorted(handles, key=places.__getitem__)}


def _add_legend(figure: Figure, handles: Mapping[str, Artist]) -> float:
    """Above the panels, in as many columns as the width holds; the figure grows by its height, in inches."""
    width, height = figure.get_size_inches()
    renderer = FigureCanvasAgg(figure).get_renderer()
    font = FontProperties(size=mpl.rcParams["legend.fontsize"])
    widths = [renderer.get_text_width_height_descent(label, font, ismath=False)[0] / figure.dpi for label in handles]
    size = font.get_size_in_points() / 72
    key = size * (mpl.rcParams["legend.handlelength"] + mpl.rcParams["legend.handletextpad"])
    gap, border = size * mpl.rcParams["legend.columnspacing"], 2 * size * mpl.rcParams["legend.borderpad"]
    for columns in range(min(len(handles), _MOST_COLUMNS), 0, -1):
        texts = sum(max(part) for part in np.array_split(widths, columns))
        if texts + columns * key + (columns - 1) * gap + border <= width:
            break
    legend = figure.legend(handles.values(), handles.keys(), loc="upper center", ncols=columns, borderaxespad=0.0)
    added = float(legend.get_window_extent(renderer).height / figure.dpi)
    figure.set_size_inches(width, height + added)
    legend.set_bbox_to_anchor((0.5, 1 - PAD / (height + added)), figure.transFigure)
    return added


def add_caption(figure: Figure, caption: str) -> None:
    """Text below the figure; it shows where the figure is saved with a tight bounding box."""
    characters = int(figure.get_figwidth() * 72 / (_CAPTION_POINTS * 0.52))
    text = textwrap.fill(caption, characters)
    figure.text(0.01, -0.01, text, va="top", ha="left", fontsize=_CAPTION_POINTS, color="0.25")
