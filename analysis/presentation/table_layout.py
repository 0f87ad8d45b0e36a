"""Layout of a table for readers, and its Markdown and LaTeX (booktabs)."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

BEST, SECOND = "best", "second"
NO_VALUE = "–"


@dataclass(frozen=True)
class Cell:
    """Cell of a table. `math` is the text as LaTeX mathematics, for a formula."""

    text: str = NO_VALUE
    interval: str = ""
    mark: str = ""  # BEST, SECOND or none
    math: str = ""


@dataclass(frozen=True)
class Row:
    """Line of a table. `published`: numbers of the paper; `beneath`: belongs to the row above."""

    name: str
    cells: tuple[Cell, ...]
    published: bool = False
    beneath: bool = False


@dataclass(frozen=True)
class Block:
    """Group of rows, such as those of one benchmark; `title` may be empty."""

    title: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Layout:
    """Table for readers. `head` names the columns, the column of row names first.

    `spans` are headings above the columns, from the second column on: text and number of columns.
    """

    caption: str
    head: tuple[str, ...]
    blocks: tuple[Block, ...]
    notes: tuple[str, ...] = ()
    spans: tuple[tuple[str, int], ...] = ()


def percent(share: float, digits: int = 1) -> str:
    """Return a share in percent as text: 0.1234 → `12.3`, NaN → `–`; what rounds to zero has no minus."""
    return NO_VALUE if math.isnan(share) else f"{100 * share:z.{digits}f}".replace("-", "−")


def share_cell(estimate: float, lo: float, hi: float, mark: str = "") -> Cell:
    """Return a cell with a share in percent and its interval, if there is one."""
    interval = "" if math.isnan(lo) else f"[{percent(lo)}, {percent(hi)}]"
    return Cell(percent(estimate), interval, mark)


def markdown(layout: Layout) -> str:
    """Return one Markdown table per block; the best is bold, the second best italic."""
    parts = [f"**{_escape(layout.caption)}**"]
    for block in layout.blocks:
        lines = [_spanned_head(layout), ["---"] * len(layout.head)]
        for row in block.rows:
            lines.append([_escape(row.name), *map(_markdown_cell, row.cells)])
        title = f"{_escape(block.title)}\n\n" if block.title else ""
        parts.append(title + "\n".join("| " + " | ".join(line) + " |" for line in lines))
    if layout.notes:
        parts.append(f"Details: {_escape(' '.join(layout.notes))}")
    return "\n\n".join(parts) + "\n"


def _spanned_head(layout: Layout) -> list[str]:
    """Return the column names, each with the heading above it: Markdown has no cells over several columns."""
    above = [text for text, width in layout.spans for _ in range(width)] or [""] * (len(layout.head) - 1)
    names = [f"{span}: {name}" if span else name for span, name in zip(above, layout.head[1:], strict=True)]
    return [_escape(name) for name in (layout.head[0], *names)]


def _markdown_cell(cell: Cell) -> str:
    around = {BEST: "**", SECOND: "*"}.get(cell.mark, "")
    return " ".join(filter(None, (f"{around}{_escape(cell.text)}{around}", cell.interval)))


def _escape(text: str) -> str:
    """Return text on one line with all markup characters escaped."""
    flat = " ".join(text.split())
    return "".join(f"\\{c}" if c in "\\`*_<>[]#|" else c for c in flat)


def latex(layout: Layout, name: str) -> str:
    """Return a LaTeX float `tab:<name>` over the page's width: best bold, second best underlined, intervals beneath."""
    columns = "l" + "c" * (len(layout.head) - 1)
    lines = [
        r"% needs \usepackage{booktabs}",
        r"\begin{table*}",
        rf"\caption{{{latex_text(layout.caption)}}}",
        rf"\label{{tab:{name}}}",
        r"\vspace{4pt}\centering\footnotesize\setlength{\tabcolsep}{2pt}",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        *_latex_spans(layout.spans),
        _latex_line(map(latex_text, layout.head)),
    ]
    for block in layout.blocks:
        lines.append(r"\midrule")
        if block.title:
            lines.append(rf"\multicolumn{{{len(layout.head)}}}{{l}}{{\textit{{{latex_text(block.title)}}}}} \\")
        for row in block.rows:
            lines += _latex_row(row)
    notes = [rf"\par\vspace{{4pt}}\raggedright {latex_text(' '.join(layout.notes))}"] if layout.notes else []
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", *notes, r"\end{table*}", ""])


def _latex_spans(spans: Sequence[tuple[str, int]]) -> list[str]:
    if not any(text for text, _ in spans):
        return []
    cells, rules, column = [""], [], 2
    for text, width in spans:
        cells.append(rf"\multicolumn{{{width}}}{{c}}{{{latex_text(text)}}}")
        if text:
            rules.append(rf"\cmidrule(lr){{{column}-{column + width - 1}}}")
        column += width
    return [_latex_line(cells), " ".join(rules)]


def _latex_row(row: Row) -> list[str]:
    name = rf"\textit{{{latex_text(row.name)}}}" if row.published else latex_text(row.name)
    name = rf"\quad {name}" if row.beneath else name
    lines = [_latex_line([name, *map(_latex_cell, row.cells)])]
    if any(cell.interval for cell in row.cells):
        small = (
            rf"{{\fontsize{{6}}{{7}}\selectfont {latex_text(c.interval)}}}" if c.interval else "" for c in row.cells
        )
        lines.append(_latex_line(["", *small]) + "[2pt]")
    return lines


def _latex_cell(cell: Cell) -> str:
    text = f"${cell.math}$" if cell.math else latex_text(cell.text)
    command = {BEST: r"\textbf", SECOND: r"\underline"}.get(cell.mark)
    return f"{command}{{{text}}}" if command else text


def _latex_line(cells: Iterable[str]) -> str:
    # the empty group keeps a leading "[" from being read as an argument of the "\\" before it
    return " & ".join(cell or "{}" for cell in cells) + r" \\"


_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{c: f"\\{c}" for c in "&%$#_"},
    **{c: f"\\ensuremath{{{c}}}" for c in "<>|"},
    "–": "--",
    "—": "---",
    "−": r"\ensuremath{-}",
    "×": r"\ensuremath{\times}",
    "·": r"\ensuremath{\cdot}",
    "±": r"\ensuremath{\pm}",
    "≤": r"\ensuremath{\le}",
    "≥": r"\ensuremath{\ge}",
    "√": r"\ensuremath{\surd}",
    "…": r"\dots{}",
    "’": "'",
    "Σ": r"\ensuremath{\Sigma}",
    "Δ": r"\ensuremath{\Delta}",
    "α": r"\ensuremath{\alpha}",
    "β": r"\ensuremath{\beta}",
    "γ": r"\ensuremath{\gamma}",
    "π": r"\ensuremath{\pi}",
    "τ": r"\ensuremath{\tau}",
    "ω": r"\ensuremath{\omega}",
}


def latex_text(text: str) -> str:
    """Return text with LaTeX commands escaped. A character unknown to pdfLaTeX becomes its code point."""
    return "".join(_LATEX.get(c) or (c if _is_typesettable(c) else f"U+{ord(c):04X}") for c in " ".join(text.split()))


def _is_typesettable(c: str) -> bool:
    """Return True for printable ASCII and for accented ASCII letters of Western Europe."""
    if c.isascii():
        return c.isprintable()
    return ord(c) < 0x100 and unicodedata.normalize("NFD", c)[0].isascii()
