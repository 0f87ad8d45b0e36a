"""Files of a figure or table: drawing, numbers, caption and details, from its module and a study or a simulation."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from agrae_lab.runs import replacing
from analysis.io.parquet import FrameError
from analysis.io.simulation import Simulation
from analysis.io.study import Study, on_sound_runs
from analysis.presentation.captions import describe_reward
from analysis.presentation.legend import add_legend
from analysis.presentation.panel_layout import place_panels
from analysis.presentation.style import ONE_COLUMN, STYLE, TWO_COLUMNS, sort_arms
from analysis.presentation.table_layout import Layout, latex, markdown

FIGURE_ENDINGS = ("svg", "csv", "md")
FORMATS = ("pdf", "png")  # written on request only: they take most of the time
MOST_SVG = 500_000  # bytes; a report shows the PNG of a larger drawing
TABLE_ENDINGS = ("csv", "md", "tex")

MOST_ARMS = 24  # of one drawing: more lines are indistinguishable and take minutes to lay out

_PANEL_HEIGHT = {1: 2.2, 2: 2.2, 3: 1.9}  # inches, by number of panels side by side
_CAPTION_POINTS = 6.0
_MOST_NARROW = 5  # arms of a drawing that is one column wide: intervals of more stand too close


Drawable = Any  # a figure module, or an object with its names (analysis/figures/__init__.py)


@dataclass(frozen=True)
class Rendered:
    """Outcome of one figure or table."""

    name: str
    question: str
    caption: str = ""  # at most two sentences
    details: str = ""  # definitions, methods and exceptions; a table has them in its layout's notes
    reason: str = ""  # why there is none; "" if there is one
    refused: bool = False  # True if the data are at fault
    left_out: tuple[str, ...] = ()  # runs with a broken file, a sentence each
    paper: str = ""  # the paper's counterpart: "Figure 6"
    layout: Layout | None = None  # of a table


def render(
    module: Drawable, study: Study | Simulation, folder: Path, *, formats: Collection[str] = FORMATS
) -> Rendered:
    """Write `<NAME>.svg`, `.csv` and `.md` (caption and details) into the folder, and return the outcome.

    Without data no file is written. The PNG carries the caption, since it is often passed on alone. PDF and SVG do not:
    the page that shows them sets the caption. If the data have changed, a PDF or PNG of an earlier call is deleted
    unless it is written anew.

    Args:
        formats: Further files to write, of FORMATS. A drawing whose SVG exceeds MOST_SVG always has a PNG.
    """
    table, outcome = _table(module, study)
    if table is None:
        return outcome
    drawn, left_out = _drawn_arms(table)
    caption = module.caption(drawn)
    details = " ".join(filter(None, (*_own_details(module, drawn), *_reward_sentences(study), left_out)))
    folder.mkdir(parents=True, exist_ok=True)
    changed = _write_csv(table, folder / f"{module.NAME}.csv")
    paragraphs = [f"**{module.QUESTION}** {caption}", *([f"Details: {details}"] if details else [])]
    _write_text("\n\n".join(paragraphs) + "\n", folder / f"{module.NAME}.md")
    written = _draw_files(module, drawn, caption, folder, formats)
    for ending in set(FORMATS) - written if changed else ():
        (folder / f"{module.NAME}.{ending}").unlink(missing_ok=True)
    return replace(outcome, caption=caption, details=details)


def _draw_files(
    module: Drawable, table: pd.DataFrame, caption: str, folder: Path, formats: Collection[str]
) -> set[str]:
    """Write the SVG and the other formats of a drawing; return the endings of the others."""
    with mpl.rc_context(STYLE):
        figure = build(module, table)
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
    _write_text(drawing, folder / f"{module.NAME}.svg")
    return wanted


def render_table(module: ModuleType, study: Study, folder: Path) -> Rendered:
    """Write `<NAME>.csv` (shares, intervals), `.md` and `.tex` (booktabs) into the folder, and return the outcome.

    Without data no file is written.
    """
    table, outcome = lay_out(module, study)
    if table is None or outcome.layout is None:
        return outcome
    folder.mkdir(parents=True, exist_ok=True)
    _write_csv(table, folder / f"{module.NAME}.csv")
    _write_text(markdown(outcome.layout), folder / f"{module.NAME}.md")
    _write_text(latex(outcome.layout, module.NAME), folder / f"{module.NAME}.tex")
    return outcome


def lay_out(module: ModuleType, study: Study) -> tuple[pd.DataFrame | None, Rendered]:
    """Return a table's numbers and its outcome with the layout, without writing a file; None without data."""
    table, outcome = _table(module, study)
    if table is None:
        return None, outcome
    layout = module.layout(table)
    layout = replace(layout, notes=(*layout.notes, *_reward_sentences(study)))
    return table, replace(outcome, caption=layout.caption, details=" ".join(layout.notes), layout=layout)


def _drawn_arms(table: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Return the rows of the first MOST_ARMS arms in display order, and a sentence if arms are left out."""
    arms = sort_arms(list(table["arm"].dropna().unique())) if "arm" in table else []
    if len(arms) <= MOST_ARMS:
        return table, ""
    kept = table[table["arm"].isin(arms[:MOST_ARMS]) | table["arm"].isna()]
    return kept, f"Drawn: {MOST_ARMS} of {len(arms)} arms; the CSV has all."


def _own_details(module: Drawable, table: pd.DataFrame) -> Sequence[str]:
    """Return the sentences of a figure's optional function `details`."""
    return module.details(table) if hasattr(module, "details") else ()


def _reward_sentences(study: Study | Simulation) -> list[str]:
    """Return a sentence on the training reward, unless it was accuracy alone."""
    reward = describe_reward(getattr(study, "runs", ()))
    return [reward] if reward else []


def _table(module: Drawable, study: Study | Simulation) -> tuple[pd.DataFrame | None, Rendered]:
    """Return a module's table and its outcome; None instead of the table without data."""
    about = Rendered(module.NAME, module.QUESTION, paper=getattr(module, "PAPER", ""))
    try:
        table, left_out = on_sound_runs(module.table, study) if isinstance(study, Study) else (module.table(study), [])
    except FrameError as error:
        return None, replace(about, reason=str(error), refused=True)
    about = replace(about, left_out=tuple(left_out))
    return (None, replace(about, reason=_reason_for_none(module, study))) if table.empty else (table, about)


def _reason_for_none(module: Drawable, study: Study | Simulation) -> str:
    """Return the reason for an empty table: the module's own (EMPTY) if the study has recorded something."""
    is_recorded = any(run.metrics_path.is_file() for run in getattr(study, "runs", ()))
    return module.EMPTY if is_recorded and hasattr(module, "EMPTY") else "no data yet"


def _write_csv(table: pd.DataFrame, target: Path) -> bool:
    """Write the table; return True if the file is new or its content has changed."""
    text = table.to_csv(index=False)
    if target.is_file() and target.read_bytes() == text.encode():
        return False
    _write_text(text, target)
    return True


def _write_text(text: str, target: Path) -> None:
    with replacing(target) as path:
        path.write_text(text, encoding="utf-8")


def build(module: Drawable, table: pd.DataFrame) -> Figure:
    """Return the figure: one axes for each value of `panel`, and the names of lines once.

    A single panel of few arms is as wide as one column of a two-column paper; all other figures fill the page's width.
    """
    panels = list(table["panel"].unique())
    columns = getattr(module, "COLUMNS", {1: 1, 3: 3}.get(len(panels), 2))
    rows = -(-len(panels) // columns)
    few = "arm" not in table or table["arm"].nunique() <= _MOST_NARROW
    width = ONE_COLUMN if columns == 1 and few else TWO_COLUMNS
    figure = Figure(figsize=(width, _PANEL_HEIGHT[columns] * rows))
    grid = figure.add_gridspec(rows, columns)
    for i, panel in enumerate(panels):
        ax = figure.add_subplot(grid[i])
        module.draw(table[table["panel"] == panel], ax)
        ax.set_title(_title(panel, width / columns))
    place_panels(figure, grid, above=add_legend(figure, (width / columns, _PANEL_HEIGHT[columns])))
    return figure


def _title(panel: str, width: float) -> str:
    """Return the title in lines that fit the axes, which take about 60 % of a panel's width (inches)."""
    return textwrap.fill(panel, int(0.6 * width * 72 / (STYLE["axes.titlesize"] * 0.55)), break_long_words=False)


def add_caption(figure: Figure, caption: str) -> None:
    """Add text below the figure; only a file saved with a tight bounding box shows it."""
    characters = int(figure.get_figwidth() * 72 / (_CAPTION_POINTS * 0.52))
    text = textwrap.fill(caption, characters)
    figure.text(0.01, -0.01, text, va="top", ha="left", fontsize=_CAPTION_POINTS, color="0.25")
