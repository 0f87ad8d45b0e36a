"""HTML page of a study's result."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from analysis.claims.verdicts import NO_DATA, RULE
from analysis.presentation.render import MOST_SVG, Rendered
from analysis.presentation.style import dark, label, sort_arms
from analysis.report import result as report
from analysis.report.headline import headline, skipped
from analysis.report.html import completions, configs, intervals, provenance, reproduce
from analysis.report.html.completions import COLUMNS, Sample
from analysis.report.html.embed import csp_hash, data_uri, json_for_script, visible
from analysis.report.protocol import protocol_sentences
from analysis.report.result import Result

_PIXELS_PER_POINT = 1.8  # a two-column figure fills the width of the page


@dataclass(frozen=True)
class FigureImage:
    """A figure's images, for a light page and, unless it is a PNG, for a dark page."""

    name: str
    question: str
    caption: str
    details: str
    paper: str
    width: int | None  # pixels; text then has the same size in all figures. None: the printed size is unknown
    light: str
    dark: str | None


def report_page(result: Result, sample: Sample, folder: Path) -> str:
    """Return the report as HTML; `folder` holds the files of its figures."""
    study = result.study
    style, script = _static("report.css"), _static("report.js")
    experiment, _, model = study.name.partition("/")
    values: dict[str, Any] = {
        "csp": f"default-src 'none'; img-src data:; style-src {csp_hash(style)}; script-src {csp_hash(script)}; "
        "base-uri 'none'; form-action 'none'",
        "style": Markup(style),
        "script": Markup(script),
        "experiment": experiment,
        "model": model or ", ".join(study.models),
        "study": study,
        "arms": [label(arm) for arm in study.arms],
        "protocol": protocol_sentences(study),
        "headline": headline(result) or [report.NO_ANSWER],
        "lead_figures": _figure_images(result.lead_figures, folder),
        "lead_tables": result.lead_tables,
        "claims_line": report.claims_line(result.verdicts),
        "skipped": skipped((*result.figures, *result.tables)),
        "verdicts": [v for v in result.verdicts if v.verdict != NO_DATA],
        "without_data": [v for v in result.verdicts if v.verdict == NO_DATA],
        "rule": RULE,
        "multiplicity": report.multiplicity(result.verdicts),
        "refused": [*result.refused, *sample.refused],
        "remarks": result.remarks,
        "unfinished": [report.run_state(run) for run in study.unfinished],
        "has_diverged": report.has_diverged(study),
        "figures": _figure_images(_without(result.figures, result.lead_figures), folder),
        "tables": sorted(_without(result.tables, result.lead_tables), key=_paper_order),
        "runs": report.run_rows(study),
        "differences": configs.differences(study),
        "facts": provenance.facts(study),
        "analysis": provenance.analysis_versions(),
        "total_time": provenance.total_time(study),
        "commands": reproduce.script(study, experiment),
        "sampling": completions.describe(sample),
        "data": json_for_script(browser_data(sample)),
        "texts": report,
        "drawn_parts": intervals.drawn_parts,
        "width": intervals.WIDTH,
    }
    return _environment().get_template("report.html").render(values)


def _without(rendered: Sequence[Rendered], shown: Sequence[Rendered]) -> list[Rendered]:
    """Return what was made and is not shown with the answer."""
    return [output for output in rendered if not output.reason and output not in shown]


def browser_data(sample: Sample) -> dict[str, Any]:
    """Return the data of the page's script: completions by column, each name and image once, counts by cell."""
    arms = sort_arms(list(dict.fromkeys(cell.arm for cell in sample.cells)))
    sources = list(dict.fromkeys(cell.source for cell in sample.cells))
    rows = sample.rows
    return {
        "arms": [label(arm) for arm in arms],
        "sources": sources,
        "cells": [
            [arms.index(cell.arm), cell.seed, sources.index(cell.source), cell.recorded, cell.shown]
            for cell in sample.cells
        ],
        "arm": [arms.index(arm) for arm in rows["arm"]],
        "source": [sources.index(source) for source in rows["source"]],
        "images": sample.images,
        **{name: [_plain(value) for value in rows[name]] for name in COLUMNS if name not in ("arm", "source")},
    }


def _plain(value: Any) -> Any:
    """Return a value for JSON: a missing one as None, a whole number as int."""
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return None
    value = value.item() if hasattr(value, "item") else value
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _figure_images(figures: Sequence[Rendered], folder: Path) -> list[FigureImage]:
    """Return the paper's figures in its order, then the others."""
    return [_figure_image(figure, folder) for figure in sorted(figures, key=_paper_order) if not figure.reason]


def _paper_order(rendered: Rendered) -> tuple[float, str]:
    number = re.search(r"\d+", rendered.paper)
    return (int(number[0]) if number else math.inf, rendered.name)


def _figure_image(figure: Rendered, folder: Path) -> FigureImage:
    about = (figure.name, figure.question, figure.caption, figure.details, figure.paper)
    drawn = folder / f"{figure.name}.svg"
    if drawn.is_file() and drawn.stat().st_size <= MOST_SVG:
        light = drawn.read_text(encoding="utf-8")
        points = re.search(r'<svg[^>]* width="([\d.]+)pt"', light)
        width = round(float(points[1]) * _PIXELS_PER_POINT) if points else None
        on_both = (data_uri("image/svg+xml", text.encode()) for text in (light, dark(light)))
        return FigureImage(*about, width, *on_both)
    return FigureImage(*about, None, data_uri("image/png", (folder / f"{figure.name}.png").read_bytes()), None)


def _static(name: str) -> str:
    return files(__package__).joinpath("static", name).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader(str(__package__)),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
