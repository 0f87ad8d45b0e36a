"""Looks of the arms: apart for the colour-blind, apart in grey, the same everywhere; text on a dark page."""

from __future__ import annotations

import re
from itertools import combinations

import matplotlib as mpl
import numpy as np
import pytest

from analysis.presentation.style import (
    LABELS,
    STYLE,
    colour,
    dark,
    dash,
    label,
    line_style,
    look,
    marker,
    on_dark,
    sort_arms,
)

PAPER = [arm for arm in LABELS if arm not in ("dr_grpo", "rloo")]
PAIRS = list(combinations(PAPER, 2))
WHITE, DARK_PAGE = "#FFFFFF", on_dark("#ffffff")

# sRGB (IEC 61966-2-1) and CIE 1976 L*a*b*, white D65.
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
# Machado, Oliveira and Fernandes 2009, doi:10.1109/TVCG.2009.113, severity 1.0, on linear RGB.
SIGHT = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
}


def linear(hexadecimal: str) -> np.ndarray:
    parts = np.array([int(hexadecimal[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


def lab(linear_rgb: np.ndarray) -> np.ndarray:
    t = TO_XYZ @ np.clip(linear_rgb, 0, 1) / TO_XYZ.sum(axis=1)
    f = np.where(t > 216 / 24389, np.cbrt(t), (24389 / 27 * t + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def distance(a: str, b: str, sight: str) -> float:
    return float(np.linalg.norm(lab(SIGHT[sight] @ linear(a)) - lab(SIGHT[sight] @ linear(b))))


def lightness(hexadecimal: str) -> float:
    return float(lab(linear(hexadecimal))[0])


def contrast(a: str, b: str) -> float:
    """WCAG 2: 1 … 21."""
    dim, bright = sorted(float(TO_XYZ[1] @ linear(x)) for x in (a, b))
    return (bright + 0.05) / (dim + 0.05)


def test_the_measures_are_right() -> None:
    assert lab(linear("#FF0000")) == pytest.approx([53.24, 80.09, 67.20], abs=0.05)  # the textbook value of sRGB red
    assert contrast("#000000", WHITE) == pytest.approx(21.0)
    # red and green of equal lightness, told apart by normal sight alone
    assert distance("#C0504D", "#6F8F2F", "normal") > 3 * distance("#C0504D", "#6F8F2F", "deuteranopia")


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize("page", ["light", "dark"])
def test_the_paper_s_arms_are_apart_for_every_eye(sight: str, page: str) -> None:
    shown = colour if page == "light" else lambda arm: on_dark(colour(arm))
    nearest = min((distance(shown(a), shown(b), sight), a, b) for a, b in PAIRS)
    assert nearest[0] > 17, nearest


def test_the_paper_s_arms_stand_out_from_the_page() -> None:
    for arm in PAPER:
        assert contrast(colour(arm), WHITE) > 2.8, arm
        assert contrast(on_dark(colour(arm)), DARK_PAGE) > 3, arm


def test_the_paper_s_arms_are_apart_in_grey() -> None:
    """Every pair differs in its marker, and in its dash or by 15 of 100 in lightness."""
    for a, b in PAIRS:
        assert marker(a) != marker(b)
        assert dash(a) != dash(b) or abs(lightness(colour(a)) - lightness(colour(b))) >= 15, (a, b)


def test_any_other_arm_has_one_look_everywhere() -> None:
    for arm in ("my_own", "a_grae+l1", "grpo (num_steps 8)", "dr_grpo"):
        assert line_style(arm) == line_style(arm)
        assert contrast(colour(arm), WHITE) > 2.8
        assert contrast(on_dark(colour(arm)), DARK_PAGE) > 3
    assert len({str(line_style(f"arm_{i}")) for i in range(200)}) > 50


def test_names_for_readers() -> None:
    names = {
        "a_grae_sample_only": "A-GRAE (sample level only)",
        "grpo (num_steps 8, tau 0.5)": "GRPO (num_steps 8, tau 0.5)",
        "my_own_$x$": "my own $x$",
        "a_grae+l1": "A-GRAE + l1",
        "a_grae_l1": "A-GRAE + l1",
        "grpo_l1x": "grpo l1x",
        "grpo+dapo": "DAPO",
        "a_grae+dr_grpo+dr_grpo": "Dr.GRPO + A-GRAE",
        "a_grae+dapo (num_steps 8)": "DAPO + A-GRAE (num_steps 8)",
        "grpo+l1+dapo": "GRPO + l1 + dapo",
        "grpo+dapo+resampled+overlong": "DAPO + resampled + overlong",
    }
    assert {arm: label(arm) for arm in names} == names
    assert len(set(LABELS.values())) == len(LABELS)
    assert sort_arms(["zeta", "a_grae", "grpo (k 2)", "base"]) == ["base", "grpo (k 2)", "a_grae", "zeta"]


def test_an_arm_at_grpos_mass_has_its_methods_colour_and_its_own_dash() -> None:
    for name in ("a_grae_l1", "a_grae+l1"):
        assert (look(name).colour, look(name).marker) == (look("a_grae").colour, look("a_grae").marker)
        assert look(name).dash != look("a_grae").dash
    assert look("grpo2l1").colour != look("grpo").colour


def test_configurations_of_an_arm_have_its_colour_and_are_told_apart() -> None:
    one, other = (look(f"grpo (temperature {value})") for value in (0.7, 1.0))
    assert one.colour == other.colour == look("grpo").colour
    assert (one.marker, one.dash) != (other.marker, other.dash)


def test_nothing_is_set_globally() -> None:
    with mpl.rc_context(STYLE):
        assert mpl.rcParams["pdf.fonttype"] == 42
    assert mpl.rcParams["pdf.fonttype"] == 3


def test_a_dark_page_mirrors_lightness() -> None:
    svg = (
        '<svg a="1"><g id="x"><path style="fill: #ffffff; stroke: #000000" clip-path="url(#x)"/><use xlink:href="#x"/>'
    )
    turned = dark(svg)
    page, ink = (on_dark(c).lower() for c in ("#ffffff", "#000000"))
    assert f"fill: {page}; stroke: {ink}" in turned.lower()
    assert re.match(f'<svg fill="{ink}" a="1">', turned.lower())
    assert re.findall(r'id="(.*?)"|url\(#(.*?)\)|href="#(.*?)"', turned) == [
        ("dark-x", "", ""), ("", "dark-x", ""), ("", "", "dark-x")
    ]  # fmt: skip
    assert lightness(page) < 10
    assert lightness(ink) > 90
    greys = [lightness(on_dark(f"#{part:02x}{part:02x}{part:02x}")) for part in range(0, 256, 15)]
    assert greys == sorted(greys, reverse=True)


def test_text_that_looks_like_a_colour_stays() -> None:
    assert ">#ffffff fill</text>" in dark('<svg ><text style="fill: #ffffff">#ffffff fill</text>')
