"""Figures fit for print and for a page: sizes, fonts, text, the same bytes every time."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import matplotlib as mpl
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from agrae_lab.runs import list_experiments
from analysis import figures
from analysis.figures import find, mass_vs_p, passk, passk_gain
from analysis.io.study import Study, load_study, merge_studies
from analysis.presentation.panel_layout import place_panels
from analysis.presentation.render import FIGURE_ENDINGS, build, render
from analysis.presentation.style import STYLE, dark, label

SMALLEST_POINTS = 6.0
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def study(demo_root) -> Study:
    studies = [load_study(demo_root.path, experiment) for experiment in list_experiments(demo_root.path)]
    return merge_studies(studies, name="all", question="?")


@pytest.fixture(scope="module")
def folder(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("print")
    render(passk, study, folder)
    return folder


def panels(names: list[str]) -> ModuleType:
    """A figure module with panels of these names, and a long legend."""
    module = ModuleType("panels")

    def draw(table: pd.DataFrame, ax: Axes) -> Axes:
        for i in range(6):
            ax.plot([0, 1], [0, i], label=f"an arm with a long name, number {i}")
        return ax

    module.__dict__.update(NAME="panels", QUESTION="?", draw=draw, table=lambda _: pd.DataFrame({"panel": names}))
    return module


def drawn(figure: Figure) -> tuple[float, float]:
    """Inches by which anything is drawn beyond the left and right edge of the page."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    box = figure.get_tightbbox(canvas.get_renderer())
    return -box.x0 / figure.dpi, box.x1 / figure.dpi - figure.get_figwidth()


@pytest.mark.parametrize(
    ("names", "width", "grid"),
    [
        (["one"], 3.3, (1, 1)),
        (["a", "b"], 6.9, (1, 2)),
        (["a benchmark: Pass@1", "a benchmark: Pass@16", "a benchmark: Pass@256"], 6.9, (1, 3)),
        (list("abcdef"), 6.9, (3, 2)),
    ],
)
def test_figures_are_as_wide_as_a_column_or_the_page(names, width, grid) -> None:
    module = panels(names)
    with mpl.rc_context(STYLE):
        figure = build(module, module.table(None))
        beyond = drawn(figure)
        heights = [ax.get_position().height * figure.get_figheight() for ax in figure.axes]
    assert figure.get_figwidth() == pytest.approx(width)
    assert figure.axes[0].get_subplotspec().get_gridspec().get_geometry() == grid
    assert max(beyond) <= 0.02
    assert min(heights) > 1.2  # the legend takes nothing from the panels


@pytest.mark.parametrize(("num_arms", "width"), [(5, 3.3), (6, 6.9)])
def test_a_panel_of_many_arms_is_as_wide_as_the_page(num_arms: int, width: float) -> None:
    arms = pd.DataFrame({"panel": "one", "arm": [f"arm_{i}" for i in range(num_arms)]})
    with mpl.rc_context(STYLE):
        assert build(panels(["one"]), arms).get_figwidth() == pytest.approx(width)


def test_the_legend_has_the_panels_order_where_the_first_lacks_a_line() -> None:
    module = panels(["first", "second"])
    lines = {"first": ["b", "c", "last"], "second": ["a", "b", "c"]}
    module.__dict__["draw"] = lambda table, ax: [ax.plot([0], [0], label=x) for x in lines[table["panel"].iloc[0]]]
    with mpl.rc_context(STYLE):
        figure = build(module, module.table(None))
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "b", "c", "last"]


@pytest.mark.parametrize("module", [passk, passk_gain, find("entropy")], ids=lambda module: module.NAME)
def test_axis_labels_stand_beside_the_labels_of_ticks(module: ModuleType, study: Study) -> None:
    """Also where names beside the lines make the panel narrower."""
    table = module.table(study)
    long_names = {"positive_dominant": "a_grae_sample_only", "negative_dominant": "a_grae_group_only"}
    four = table[table["arm"].isin(["grpo", "a_grae", *long_names])].replace({"arm": long_names})
    with mpl.rc_context(STYLE):
        figure = build(module, four)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
    renderer = canvas.get_renderer()
    for ax in figure.axes:
        for axis in (ax.xaxis, ax.yaxis):
            label = axis.label.get_window_extent(renderer)
            ticks = [tick.get_window_extent(renderer) for tick in axis.get_ticklabels() if tick.get_text()]
            assert not any(label.overlaps(tick) for tick in ticks), axis.label.get_text()


@pytest.mark.parametrize(("where", "widens"), [(0.5, False), (0.0, True)])
def test_a_long_label_of_a_tick_takes_a_margin_at_the_end_alone(where: float, widens: bool) -> None:
    def left(label: str) -> float:
        figure = Figure(figsize=(3, 2))
        grid = figure.add_gridspec(1, 1)
        ax = figure.add_subplot(grid[0])
        ax.set(xlim=(0, 1), xticks=[where], xticklabels=[label])
        place_panels(figure, grid)
        return float(ax.get_position().x0)

    assert (left("a label of some length") > left("a")) == widens


@pytest.mark.parametrize("module", [passk, passk_gain, mass_vs_p], ids=lambda module: module.NAME)
def test_all_text_can_be_read_and_is_on_the_page(module: ModuleType, study: Study) -> None:
    with mpl.rc_context(STYLE):
        figure = build(module, module.table(study))
        beyond = drawn(figure)
    texts = [text for text in figure.findobj(Text) if text.get_text().strip() and text.get_visible()]
    assert len(texts) > 10
    assert min(text.get_fontsize() for text in texts) >= SMALLEST_POINTS
    assert max(beyond) <= 0.0


def test_the_pdf_is_a_vector_file_of_that_width_with_its_fonts(folder: Path) -> None:
    pdf = (folder / "passk.pdf").read_bytes()
    (box,) = set(re.findall(rb"/MediaBox \[ ([\d. ]+) \]", pdf))
    assert float(box.split()[2]) / 72 == pytest.approx(6.9, abs=0.01)  # one panel of eight arms
    assert b"/FontFile2" in pdf  # a TrueType font program
    assert b"/Type3" not in pdf
    assert b"/Subtype /Image" not in pdf


@pytest.mark.skipif(shutil.which("pdffonts") is None, reason="no pdffonts here")
def test_every_font_of_the_pdf_is_embedded_truetype(folder: Path) -> None:
    done = subprocess.run(["pdffonts", folder / "passk.pdf"], capture_output=True, text=True, check=True)
    fonts = done.stdout.splitlines()[2:]
    assert fonts
    for font in fonts:
        assert "TrueType" in font
        assert re.search(r"\byes\b", font)  # the first of emb, sub, uni


def test_svg_keeps_text_as_text_on_no_ground_of_its_own(folder: Path, study: Study) -> None:
    drawing = (folder / "passk.svg").read_text()
    for text in (drawing, dark(drawing)):
        root = ElementTree.fromstring(text)
        texts = {"".join(element.itertext()).strip() for element in root.iter(f"{SVG}text")}
        assert {"Pass@k (%)", "64", *(label(arm) for arm in study.arms)} <= texts
        ground = root.find(f".//{SVG}path")
        assert ground is not None
        assert "fill: none" in str(ground.get("style"))
        assert not list(root.iter(f"{SVG}image"))


def test_light_and_dark_share_no_element_name(folder: Path) -> None:
    drawing = (folder / "passk.svg").read_text()
    light, turned = (set(re.findall(r' id="(.*?)"', text)) for text in (drawing, dark(drawing)))
    assert light
    assert {f"dark-{name}" for name in light} == turned
    assert not list(folder.glob("*dark*"))  # reports make it of the light one


def test_the_same_figure_is_the_same_bytes(folder: Path, study: Study, tmp_path: Path) -> None:
    rendered = render(passk, study, tmp_path)
    assert (rendered.name, rendered.reason, rendered.paper) == ("passk", "", passk.PAPER)
    pd.testing.assert_frame_equal(
        pd.read_csv(tmp_path / "passk.csv"), pd.read_csv(io.StringIO(passk.table(study).to_csv(index=False)))
    )
    for ending in FIGURE_ENDINGS:
        assert (tmp_path / f"passk.{ending}").read_bytes() == (folder / f"passk.{ending}").read_bytes(), ending


def test_names_are_hostile(new_root, tmp_path: Path) -> None:
    """Whatever a benchmark is called, the SVG is well formed and its name is text."""
    module = panels(["<script>alert(1)</script> & $\\alpha", '"]]>'])
    module.__dict__["caption"] = lambda _: "caption <b>"
    render(module, None, tmp_path)  # type: ignore[arg-type]
    drawing = (tmp_path / "panels.svg").read_text()
    for text in (drawing, dark(drawing)):
        assert not list(ElementTree.fromstring(text).iter(f"{SVG}script"))
        assert "<script" not in text


def test_every_figure_says_what_of_the_paper_it_is() -> None:
    papers = {module.NAME: getattr(module, "PAPER", None) for module in figures.discover()}
    assert papers["passk"] == "Figures 2, 4, 7 and 8"
    assert papers["mass_vs_p"] == "Figure 6"
    assert all(re.fullmatch(r"|Figures? [\d, and]+", paper) for paper in papers.values() if paper is not None)
