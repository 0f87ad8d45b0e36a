"""Page that compares all estimators, and its figure: `docs/estimators.md`, `docs/figures/estimators.{png,pdf}`.

The page is a pure function of the registry; only the figure needs Matplotlib.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from agrae_lab.advantages.catalogue import facts
from agrae_lab.advantages.catalogue.facts import NUM_GENERATIONS, Description, Entry, one_line
from agrae_lab.advantages.estimator import SLOTS
from agrae_lab.advantages.presets import make
from agrae_lab.advantages.properties.laws import ALWAYS, DECLARABLE, MEANING

LAWS = [law for law in MEANING if law in DECLARABLE]
_COLUMNS = 4  # of the figure, two panels each
_RATES = [k / NUM_GENERATIONS for k in range(NUM_GENERATIONS + 1)]
_BLUE, _RED = "#0072B2", "#D55E00"  # of the correct, of the incorrect completions

_INTRODUCTION = f"""\
<!-- Written by `python -m agrae_lab.advantages page`; a test holds it to that. -->
# Estimators

Every estimator is a row of links: base → sample → group → token → match. Equations and tables without another source
are those of A-GRAE's paper, arXiv 2602.05548. For 0/1 rewards, an estimator that looks at a group's rewards alone is
two numbers for each success rate p = k/G: A+ of a correct and A− of an incorrect completion. Tables and figure show
their means for G = {NUM_GENERATIONS}: {facts.BATCH}. The flavor is "paper". In the examples, `Tensor` is torch's, and
`Context` comes from `agrae_lab.advantages`.

![A+, A− and the mass by sign of every estimator against p](figures/estimators.png)

*Each pair: on the left the advantage of a correct completion, A+ (blue), and of an incorrect one, A− (vermilion); on
the right the mass of each sign per completion, p·A+ and (1 − p)·|A−|. Where the two coincide on the right, ΣA = 0 in
every group. Grey: plain GRPO, to compare the panels' scales. G = {NUM_GENERATIONS}: {facts.BATCH}.*

## Overview

Laws: """

LAW_HEADS = {
    "permutation_equivariant": "order",
    "zero_on_ties": "ties",
    "shift_invariant": "shift",
    "zero_sum": "sum",
    "sign_preserving": "sign",
    "groups_independent": "alone",
}


def write(out: Path) -> list[Path]:
    """Write `estimators.md` into `out`, and its figure into `out/figures`; return their paths.

    Raises:
        ModuleNotFoundError: Matplotlib is not installed.
    """
    figures = out / "figures"
    figures.mkdir(parents=True, exist_ok=True)
    page = out / "estimators.md"
    page.write_text(markdown(), encoding="utf-8")
    return [page, *draw(facts.presets(), figures / "estimators")]


def markdown() -> str:
    """Return the page as Markdown."""
    presets = facts.presets()
    parts = [_INTRODUCTION + _legend(), _overview(presets)]
    parts += ["## Presets", *(section(entry) for entry in presets)]
    for slot in SLOTS[1:]:
        if entries := facts.other_links(slot):
            parts += [f"## Links of the {slot} slot", *_link_sections(entries, presets)]
    return "\n\n".join(parts) + "\n"


def _link_sections(entries: list[Entry], presets: list[Entry]) -> list[str]:
    """Return a section for each link of a slot, without those that are a preset by themselves."""
    same = {e.name: next((p.name for p in presets if p.estimator.same_formula(e.estimator)), None) for e in entries}
    known = [f"`{link}`: [{_escape(preset)}](#{preset})" for link, preset in same.items() if preset]
    shown = [section(entry) for entry in entries if not same[entry.name]]
    return ([f"Shown as presets above: {', '.join(known)}."] if known else []) + shown


def _legend() -> str:
    words = [f"*{LAW_HEADS[law]}* {MEANING[law]} (`{law}`)" for law in LAWS]
    always = "; ".join(f"{MEANING[law]} (`{law}`)" for law in sorted(ALWAYS))
    return "; ".join(words) + f". Every estimator: {always}."


def _overview(entries: list[Entry]) -> str:
    heads = ["estimator", "formula", "source", *(LAW_HEADS[law] for law in LAWS), "needs", "state"]
    rows = [heads, ["---"] * 3 + [":-:"] * len(LAWS) + ["---", ":-:"]]
    for entry in entries:
        texts = list(entry.descriptions.values())
        formulas = "; then ".join(_code(one_line(d.formula)) for d in texts)
        sources = "; ".join(dict.fromkeys(_escape(d.source) for d in texts if d.source))
        ticks = ["✓" if law in entry.estimator.laws else "" for law in LAWS]
        needs = ", ".join(sorted(entry.estimator.requires))
        link = f"[{_escape(entry.name)}](#{entry.name})"
        rows.append([link, formulas, sources, *ticks, needs, "✓" if entry.estimator.is_stateful else ""])
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)


def section(entry: Entry) -> str:
    """Return the section of one estimator."""
    blocks = [f"### {_escape(entry.name)}", _slots(entry)]
    for slot, description in entry.descriptions.items():
        blocks += _link_blocks(slot, getattr(entry.estimator, slot), description)
    laws = ", ".join(law for law in LAWS if law in entry.estimator.laws)
    blocks.append(f"Laws kept: {_escape(laws) or 'none'}.")
    if entry.estimator.requires:
        blocks.append(f"Needs beside rewards: {', '.join(sorted(entry.estimator.requires))}.")
    if entry.estimator.is_stateful:
        blocks.append("Remembers earlier batches.")
    return "\n\n".join([*blocks, _advantage_table(entry)])


def _slots(entry: Entry) -> str:
    return " → ".join(f"{slot} `{link.name}`" for slot, link in entry.filled.items())


def _link_blocks(slot: str, link: Any, description: Description) -> list[str]:
    """Return purpose, formula, source, settings, paragraphs and example of one link."""
    blocks = [_escape(description.purpose)] if description.purpose else []
    blocks.append(f"```text\n{description.formula}\n```")
    if description.source:
        blocks.append(f"Source: {_escape(description.source)}.")
    if values := facts.values(link):
        blocks.append("\n".join(_setting(slot, value) for value in values))
    if description.remark:
        blocks.append(_escape(description.remark))
    blocks += [_escape(text) for text in description.paragraphs]
    return blocks + ([f"```python\n{description.example}\n```"] if description.example else [])


def _setting(slot: str, value: facts.Value) -> str:
    """Return a list item: value, bounds and description of a setting."""
    words = _escape("; ".join(filter(None, [value.bounds, value.description])))
    return f"- {_code(f'{slot}.{value}')}: {words}."


def _advantage_table(entry: Entry) -> str:
    heads = ["k", *map(str, range(NUM_GENERATIONS + 1))]
    positive, negative = entry.advantages
    rows = [heads, ["---"] + ["--:"] * (NUM_GENERATIONS + 1)]
    rows += [["A+", *map(_number, positive)], ["A−", *map(_number, negative)]]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _number(value: float | None) -> str:
    """Return three decimals; no sign on a zero."""
    return "" if value is None else f"{round(value, 3) + 0.0:.3f}".replace("-", "−")


def _escape(text: str) -> str:
    """Escape Markdown's own characters outside of `code`."""
    pieces = re.split(r"(`[^`]*`)", text)
    return "".join(p if p.startswith("`") else re.sub(r"([*_<\[\]\\])", r"\\\1", p) for p in pieces)


def _code(text: str) -> str:
    return f"`{text}`"


def draw(entries: list[Entry], path: Path) -> list[Path]:
    """Draw the figure of these estimators into `path` with .png and .pdf; return both paths.

    Raises:
        ModuleNotFoundError: Matplotlib is not installed.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    grpo = Entry("grpo", make("grpo"))
    rows = -(-len(entries) // _COLUMNS)
    style: dict[Any, Any] = {"font.family": "DejaVu Sans", "font.size": 7, "pdf.fonttype": 42, "axes.linewidth": 0.6}
    with matplotlib.rc_context(style):
        width, height = 4.0 * _COLUMNS, 1.65 * rows + 0.4  # inches
        figure = Figure(figsize=(width, height))
        FigureCanvasAgg(figure)
        axes = figure.subplots(rows, 2 * _COLUMNS).flat
        sides = {"left": 0.35 / width, "right": 1 - 0.1 / width, "bottom": 0.2 / height, "top": 1 - 0.55 / height}
        figure.subplots_adjust(**sides, wspace=0.2, hspace=0.33)
        for i, entry in enumerate(entries):
            lines = _panels(entry, grpo, axes[2 * i], axes[2 * i + 1])
        for ax in axes[2 * len(entries) :]:
            ax.set_visible(False)
        names = ["plain GRPO", "correct completions: A+, right p·A+", "incorrect ones: A−, right (1 − p)·|A−|"]
        figure.legend(lines, names, loc="upper center", ncols=3, frameon=False, fontsize=9)
        paths = [path.with_suffix(".png"), path.with_suffix(".pdf")]
        figure.savefig(paths[0], dpi=110, metadata={"Software": None})
        figure.savefig(paths[1], metadata={"CreationDate": None})
    return paths


def _panels(entry: Entry, grpo: Entry, left: Any, right: Any) -> list[Any]:
    """Draw A+ and A− on the left, the mass of each sign on the right, over plain GRPO in grey; return the lines."""
    for ax, curves, plain in ((left, entry.advantages, grpo.advantages), (right, _masses(entry), _masses(grpo))):
        grey = [ax.plot(_RATES, _floats(values), color="0.8", linewidth=2.5)[0] for values in plain]
        blue = ax.plot(_RATES, _floats(curves[0]), color=_BLUE, marker="o", markersize=4, linewidth=2)[0]
        red = ax.plot(_RATES, _floats(curves[1]), color=_RED, marker="^", markersize=2.5, linewidth=1)[0]  # seen on it
        top = max(abs(v) for values in (*curves, *plain) for v in values if v is not None)
        ax.set_ylim((-1.1 if ax is left else -0.05) * top, 1.1 * top)
        ax.axhline(0, color="0.5", linewidth=0.5, zorder=0)
        ax.spines[["top", "right"]].set_visible(False)
        ax.set_xticks([0, 0.5, 1], ["p = 0", "½", "1"])
        ax.tick_params(length=2, labelsize=6)
    left.set_title(entry.name, loc="left", fontsize=8, fontweight="bold", parse_math=False)
    right.set_title("mass by sign", loc="left", fontsize=6, color="0.4")
    return [grey[0], blue, red]


def _masses(entry: Entry) -> tuple[list[float | None], list[float | None]]:
    """Return p·A+ and (1 − p)·|A−|; 0 without such a completion."""
    positive, negative = entry.advantages
    return (
        [p * (a or 0.0) for p, a in zip(_RATES, positive, strict=True)],
        [(1 - p) * abs(a or 0.0) for p, a in zip(_RATES, negative, strict=True)],
    )


def _floats(values: list[float | None]) -> list[float]:
    return [float("nan") if v is None else v for v in values]
